package crash

import (
	"net/http"
	"slices"
	"strings"
)

// request is what a request to the API server is about.
type request struct {
	verb, group, resource, subresource, namespace, name string
	dry                                                 bool // it asks what would come of it
}

// parse reads method and path. Paths that are about no object, as those of discovery, have no
// resource.
//
//	PATCH /apis/machineconfiguration.openshift.io/v1/machineconfigpools/worker   patch machineconfigpools worker
//	POST  /api/v1/namespaces/safe-mirror-operator/pods                           create pods, named in the body
func parse(r *http.Request) request {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	out := request{dry: r.URL.Query().Has("dryRun")}
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		out.group, parts = parts[1], parts[3:]
	default:
		return request{}
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		out.namespace, parts = parts[1], parts[2:]
	}
	out.resource = parts[0]
	if len(parts) > 1 {
		out.name = parts[1]
	}
	if len(parts) > 2 {
		out.subresource = parts[2]
	}
	out.verb = verb(r, out.name != "")
	return out
}

func verb(r *http.Request, named bool) string {
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	default:
		if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
			return "watch"
		}
		if named {
			return "get"
		}
		return "list"
	}
}

// uncounted groups are written to without changing anything that a rollout is about: leases,
// events, and questions in the form of a POST.
var uncounted = []string{"coordination.k8s.io", "events.k8s.io", "authorization.k8s.io", "authentication.k8s.io"}

// changes tells whether the request is a write that counts.
func (q request) changes() bool {
	return !q.dry && slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, q.verb) &&
		q.resource != "" && q.resource != "events" && !slices.Contains(uncounted, q.group)
}
