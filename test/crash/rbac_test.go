package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
)

// rule is a rule of config/rbac that the operator is bound to by default.
type rule struct {
	rbacv1.PolicyRule
	role, namespace string // without a namespace it is good in all of them
}

// rules are those of the files that are installed with the operator.
func rules(t *testing.T) []rule {
	t.Helper()
	var out []rule
	for _, name := range []string{"role.yaml", "leader_election_role.yaml", "probe.yaml", "secret_reader_role.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", name))
		if err != nil {
			t.Fatal(err)
		}
		documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var role rbacv1.Role // a ClusterRole is one without a namespace
			if err := documents.Decode(&role); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, r := range role.Rules {
				out = append(out, rule{r, role.Name, role.Namespace})
			}
		}
	}
	if len(out) < 10 {
		t.Fatalf("%d rules read: the files are elsewhere", len(out))
	}
	return out
}

func (r rule) grants(right Permission) bool {
	return slices.Contains(r.Verbs, right.Verb) && slices.Contains(r.APIGroups, right.Group) &&
		slices.Contains(r.Resources, right.Resource) &&
		(r.namespace == "" || r.namespace == right.Namespace)
}

// each lists the rule's rights one by one.
func (r rule) each() []Permission {
	var out []Permission
	for _, group := range r.APIGroups {
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				out = append(out, Permission{verb, group, resource, r.namespace})
			}
		}
	}
	return out
}

// parsePermission reads a line of testdata/rights.txt.
func parsePermission(line string) Permission {
	verb, rest, _ := strings.Cut(line, " ")
	what, namespace, _ := strings.Cut(rest, " in ")
	resource, group, _ := strings.Cut(what, ".")
	return Permission{verb, group, resource, namespace}
}

func notGranted(have []rule) (out []string) {
	for _, line := range Permissions() {
		right := parsePermission(line)
		if !slices.ContainsFunc(have, func(r rule) bool { return r.grants(right) }) {
			out = append(out, line)
		}
	}
	return out
}

// What a rollout makes use of is granted.
func TestUsedPermissionsAreGranted(t *testing.T) {
	for _, line := range notGranted(rules(t)) {
		t.Errorf("not granted: %s", line)
	}
}

// unusedPermissions are the rights that the recorded rollout has no use for, and what they are for.
// Those to read the kinds that name images are not listed: internal/inventory does, and a cluster
// has those that it has.
var unusedPermissions = map[string]string{
	"create imagetagmirrorsets.config.openshift.io":           "an apply that creates the object asks for it beside patch",
	"create imagedigestmirrorsets.config.openshift.io":        "an apply that creates the object asks for it beside patch",
	"patch imagedigestmirrorsets.config.openshift.io":         "the recorded rollout has tag mirrors only",
	"delete imagetagmirrorsets.config.openshift.io":           "a spec that has no tag mirrors any more, and a rollback",
	"delete imagedigestmirrorsets.config.openshift.io":        "a spec that has no digest mirrors any more, and a rollback",
	"delete safemirrorreports.safemirror.io":                  "a report that has become shorter",
	"patch nodes":                                             "spec.release.mechanism Targeted: one annotation of a node; the recorded rollout unpauses its pools",
	"patch machineconfigurations.operator.openshift.io":       "spec.release.disruption Reload: the node disruption policy for registries.conf",
	"list clusterautoscalers.autoscaling.openshift.io":        "a warning of what adds and removes nodes; the recorded cluster has no such kind",
	"get persistentvolumes":                                   "where a replacement can go; no pod of the recorded rollout has a volume",
	"list persistentvolumes":                                  "where a replacement can go; no pod of the recorded rollout has a volume",
	"watch persistentvolumes":                                 "where a replacement can go; no pod of the recorded rollout has a volume",
	"get persistentvolumeclaims":                              "where a replacement can go; no pod of the recorded rollout has a volume",
	"list persistentvolumeclaims":                             "where a replacement can go; no pod of the recorded rollout has a volume",
	"watch persistentvolumeclaims":                            "where a replacement can go; no pod of the recorded rollout has a volume",
	"patch events":                                            "an event that is repeated is counted up",
	"patch events.events.k8s.io":                              "an event that is repeated is counted up",
	"create controllerrevisions.apps in safe-mirror-operator": "the mirror sets before a rollout; the recorded rollout finds none",
	"delete controllerrevisions.apps in safe-mirror-operator": "the mirror sets before a rollout; the recorded rollout finds none",
	"get secrets in safe-mirror-operator":                     "credentials of spec.mirroring",
	"list secrets in safe-mirror-operator":                    "credentials of spec.mirroring",
	"watch secrets in safe-mirror-operator":                   "credentials of spec.mirroring",
	"get configmaps in safe-mirror-operator":                  "the CA bundle that spec.mirroring names",
}

// What is granted is made use of, or there is a reason for it.
func TestGrantedPermissionsAreUsed(t *testing.T) {
	names := readsImages(t)
	found := map[string]bool{}
	for _, r := range rules(t) {
		for _, right := range r.each() {
			key := right.String()
			if isUsed(r, right) || (reads(right) && (names[right.Resource] || isRead(r, right))) {
				continue
			}
			if _, known := unusedPermissions[key]; !known {
				t.Errorf("role %s grants %q, which nothing uses: take it away, or say what it is for", r.role, key)
			}
			found[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(unusedPermissions)) {
		if !found[key] {
			t.Errorf("%q is said to be granted and unused, and is not: %s", key, unusedPermissions[key])
		}
	}
}

func isUsed(r rule, right Permission) bool {
	return slices.ContainsFunc(Permissions(), func(line string) bool {
		use := parsePermission(line)
		return use.Verb == right.Verb && r.grants(use) && use.Group == right.Group && use.Resource == right.Resource
	})
}

// isRead tells whether the rule lets the resource be read in another way that is made use of: who
// may get the objects may as well list them.
func isRead(r rule, right Permission) bool {
	return slices.ContainsFunc([]string{"get", "list", "watch"}, func(verb string) bool {
		right.Verb = verb
		return isUsed(r, right)
	})
}

func reads(r Permission) bool { return slices.Contains([]string{"get", "list", "watch"}, r.Verb) }

// readsImages are the resources of the kinds that internal/inventory reads.
func readsImages(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, k := range inventory.Kinds() {
		plural := strings.ToLower(k.Kind)
		switch {
		case strings.HasSuffix(plural, "y"):
			plural = strings.TrimSuffix(plural, "y") + "ies"
		default:
			plural += "s"
		}
		out[plural] = true
	}
	return out
}

// A rule that is taken away is missed: something that a rollout does is not granted any more,
// unless the whole of the rule is for what this rollout does not do.
func TestRemovedRuleIsMissed(t *testing.T) {
	all := rules(t)
	names := readsImages(t)
	for i, r := range all {
		t.Run(fmt.Sprintf("%s %v", r.role, r.Resources), func(t *testing.T) {
			idle := true
			for _, right := range r.each() {
				_, known := unusedPermissions[right.String()]
				idle = idle && (known || (reads(right) && names[right.Resource])) && !isUsed(r, right)
			}
			without := slices.Concat(all[:i], all[i+1:])
			if lost := notGranted(without); (len(lost) == 0) != idle {
				t.Errorf("without it %d rights are missed (%v), and it is idle: %t", len(lost), lost, idle)
			}
		})
	}
}
