package crash

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Permission is what somebody has to be granted for a request: a verb on a resource, in one
// namespace or, when that is empty, in all of them.
type Permission struct {
	Verb, Group, Resource, Namespace string
}

// used is what the run without a fault has made use of.
//
//go:embed testdata/rights.txt
var used string

// Permissions are those that the operator is known to make use of, a line each.
func Permissions() []string { return strings.Split(strings.TrimSpace(used), "\n") }

// String is one line of a list of rights.
func (r Permission) String() string {
	out := fmt.Sprintf("%s %s", r.Verb, r.Resource)
	if r.Group != "" {
		out += "." + r.Group
	}
	if r.Namespace != "" {
		out += " in " + r.Namespace
	}
	return out
}

func (q request) permission() Permission {
	resource := q.resource
	if q.subresource != "" {
		resource += "/" + q.subresource
	}
	return Permission{Verb: q.verb, Group: q.group, Resource: resource, Namespace: q.namespace}
}

// recordPermission keeps what was asked for. Everybody may ask what they may do, and discover what
// there is.
func (p *Proxy) recordPermission(q request) {
	if q.resource == "" || q.group == "authorization.k8s.io" || q.group == "authentication.k8s.io" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[q.permission()] = true
}

// noteDenied keeps what the server refused for want of a right.
func (p *Proxy) noteDenied(answer *http.Response) error {
	if answer.StatusCode != http.StatusForbidden {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied[parse(answer.Request).permission()] = true
	return nil
}

// Used are the rights that were made use of since Arm, sorted.
func (p *Proxy) Used() []Permission { return p.sorted(p.used) }

// Denied are those that were wanted and not granted.
func (p *Proxy) Denied() []Permission { return p.sorted(p.denied) }

func (p *Proxy) sorted(rights map[Permission]bool) []Permission {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Permission
	for r := range rights {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Permission) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
