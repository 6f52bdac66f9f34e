package preview

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

// CoverageGap is something that could not be seen.
type CoverageGap struct {
	// Source is what was looked for, such as Pod or release payload.
	Source string
	// Why says why it was not seen, and what to do about it where something can be done.
	Why string
	// Absent is true when the cluster does not have the API, so that nothing is missed.
	Absent bool
	// Essential is true when nobody may call a change safe without it.
	Essential bool
}

// ViewerRole is the ClusterRole that lets a plan see everything.
const ViewerRole = "safe-mirror-plan-viewer"

// lenientReader answers "there are none" for what may not be read, and remembers that. What decides
// the nodes' configuration is not read through it: without that there is nothing to tolerate for.
type lenientReader struct {
	client.Reader
	scheme *runtime.Scheme
	// tolerates tells whether there can be said to be none all the same.
	tolerates func(schema.GroupKind, error) bool

	mu        sync.Mutex
	tolerated map[schema.GroupKind]error
}

func (t *lenientReader) Get(ctx context.Context, key client.ObjectKey, object client.Object,
	opts ...client.GetOption) error {
	err := t.Reader.Get(ctx, key, object, opts...)
	kind, excused := t.tolerate(object, err)
	if !excused {
		return err
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: strings.ToLower(kind.Kind)},
		key.Name)
}

func (t *lenientReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := t.Reader.List(ctx, list, opts...)
	if _, excused := t.tolerate(list, err); excused {
		return nil
	}
	return err
}

func (t *lenientReader) tolerate(object runtime.Object, err error) (schema.GroupKind, bool) {
	if err == nil {
		return schema.GroupKind{}, false
	}
	gvk, unknown := apiutil.GVKForObject(object, t.scheme)
	if unknown != nil {
		return schema.GroupKind{}, false
	}
	kind := schema.GroupKind{Group: gvk.Group, Kind: strings.TrimSuffix(gvk.Kind, "List")}
	if !t.tolerates(kind, err) {
		return kind, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tolerated == nil {
		t.tolerated = map[schema.GroupKind]error{}
	}
	t.tolerated[kind] = err
	return kind, true
}

// isForbidden excuses what may not be read.
func isForbidden(_ schema.GroupKind, err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// isAbsentFile excuses, in files, that they say nothing of the mirror sets or of the cluster's own
// configuration: what a cluster has none of leaves no file behind.
func isAbsentFile(kind schema.GroupKind, err error) bool {
	return meta.IsNoMatchError(err) && (kind.Group == configv1.GroupName || kind.Kind == "ImageContentSourcePolicy")
}

// gaps are what was excused; why makes the words.
func (t *lenientReader) gaps(gapFor func(schema.GroupKind, error) CoverageGap) []CoverageGap {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []CoverageGap
	for kind, err := range t.tolerated {
		g := gapFor(kind, err)
		g.Source = kind.Kind
		out = append(out, g)
	}
	return out
}

func forbiddenGap(kind schema.GroupKind, err error) CoverageGap {
	return CoverageGap{Essential: Essential(kind.Kind),
		Why: fmt.Sprintf("reading it is not allowed (%v): ask for the ClusterRole %s", err, ViewerRole)}
}

func absentFileGap(schema.GroupKind, error) CoverageGap {
	return CoverageGap{Why: "no file holds any: it is taken as if there were none"}
}

// sortGaps puts those first that matter most.
func sortGaps(gaps []CoverageGap) {
	slices.SortFunc(gaps, func(a, b CoverageGap) int {
		return cmp.Or(gapRank(a)-gapRank(b), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Why, b.Why))
	})
}

func gapRank(g CoverageGap) int {
	switch {
	case g.Essential:
		return 0
	case g.Absent:
		return 2
	default:
		return 1
	}
}

// strictConfigReader reads MachineConfigs strictly: they are the configuration of the nodes. The
// rest of what a prediction reads past a cache has a default to fall back on.
type strictConfigReader struct {
	strict client.Reader
	*lenientReader
}

func (h *strictConfigReader) Get(ctx context.Context, key client.ObjectKey, object client.Object,
	opts ...client.GetOption) error {
	if _, ok := object.(*mcfgv1.MachineConfig); ok {
		return h.strict.Get(ctx, key, object, opts...)
	}
	return h.lenientReader.Get(ctx, key, object, opts...)
}
