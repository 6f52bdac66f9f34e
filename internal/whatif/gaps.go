package whatif

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Gap is something that could not be seen.
type Gap struct {
	// Source is what was looked for, such as Pod or release payload.
	Source string
	// Why says why it was not seen, and what to do about it where something can be done.
	Why string
	// Absent is true when the cluster does not have the API, so that nothing is missed.
	Absent bool
	// Essential is true when nobody may call a change safe without it.
	Essential bool
}

// Role is the ClusterRole that lets a plan see everything.
const Role = "safe-mirror-plan-viewer"

// tolerant answers "there are none" for what may not be read, and remembers that. What decides the nodes' configuration is not read
// through it: without that there is nothing to tolerate for.
type tolerant struct {
	client.Reader
	scheme *runtime.Scheme
	// excuses tells whether there can be said to be none all the same.
	excuses func(schema.GroupKind, error) bool

	mu      sync.Mutex
	excused map[schema.GroupKind]error
}

func (t *tolerant) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	err := t.Reader.Get(ctx, key, object, opts...)
	kind, excused := t.note(object, err)
	if !excused {
		return err
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: strings.ToLower(kind.Kind)}, key.Name)
}

func (t *tolerant) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := t.Reader.List(ctx, list, opts...)
	if _, excused := t.note(list, err); excused {
		return nil
	}
	return err
}

func (t *tolerant) note(object runtime.Object, err error) (schema.GroupKind, bool) {
	if err == nil {
		return schema.GroupKind{}, false
	}
	gvk, unknown := apiutil.GVKForObject(object, t.scheme)
	if unknown != nil {
		return schema.GroupKind{}, false
	}
	kind := schema.GroupKind{Group: gvk.Group, Kind: strings.TrimSuffix(gvk.Kind, "List")}
	if !t.excuses(kind, err) {
		return kind, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.excused == nil {
		t.excused = map[schema.GroupKind]error{}
	}
	t.excused[kind] = err
	return kind, true
}

// refusals excuses what may not be read.
func refusals(_ schema.GroupKind, err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// blanks excuses, in files, that they say nothing of the mirror sets or of the cluster's own configuration: what a cluster has none of
// leaves no file behind.
func blanks(kind schema.GroupKind, err error) bool {
	return meta.IsNoMatchError(err) && (kind.Group == configv1.GroupName || kind.Kind == "ImageContentSourcePolicy")
}

// gaps are what was excused; why makes the words.
func (t *tolerant) gaps(why func(schema.GroupKind, error) Gap) []Gap {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Gap
	for kind, err := range t.excused {
		g := why(kind, err)
		g.Source = kind.Kind
		out = append(out, g)
	}
	return out
}

func refused(kind schema.GroupKind, err error) Gap {
	return Gap{Essential: Essential(kind.Kind), Why: fmt.Sprintf("reading it is not allowed (%v): ask for the ClusterRole %s", err, Role)}
}

func blank(schema.GroupKind, error) Gap {
	return Gap{Why: "no file holds any: it is taken as if there were none"}
}

// sortGaps puts those first that matter most.
func sortGaps(gaps []Gap) {
	slices.SortFunc(gaps, func(a, b Gap) int {
		return cmp.Or(order(a)-order(b), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Why, b.Why))
	})
}

func order(g Gap) int {
	switch {
	case g.Essential:
		return 0
	case g.Absent:
		return 2
	default:
		return 1
	}
}

// halfTolerant reads MachineConfigs strictly: they are the configuration of the nodes. The rest of what a prediction reads past a cache
// has a default to fall back on.
type halfTolerant struct {
	strict client.Reader
	*tolerant
}

func (h *halfTolerant) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if _, ok := object.(*mcfgv1.MachineConfig); ok {
		return h.strict.Get(ctx, key, object, opts...)
	}
	return h.tolerant.Get(ctx, key, object, opts...)
}
