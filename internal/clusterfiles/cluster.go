package clusterfiles

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Cluster is a cluster that can only be read. It is safe for concurrent use; what it returns
// belongs to the caller.
type Cluster struct {
	scheme *runtime.Scheme
	tables map[schema.GroupVersionKind]*table
	// responses are those of a recording, nil for files. They come before the tables, which a
	// recording has only for the kinds of which it was asked for all.
	responses map[request]*response
	// notServed are the kinds that the recorded cluster did not serve.
	notServed map[schema.GroupVersionKind]bool
}

var _ client.Reader = (*Cluster)(nil)

// table holds the objects of one kind, sorted by namespace and name.
type table struct {
	codec
	entries []entry
	byNode  map[string][]int // pods only
}

type entry struct {
	namespace, name string
	node            string // spec.nodeName of a pod
	order           recency
	data            []byte
}

// recency decides which of two states of one object is kept.
type recency struct {
	version   uint64 // resourceVersion; 0 when there is none
	file, seq int
}

func (e entry) compare(other entry) int {
	return cmp.Or(strings.Compare(e.namespace, other.namespace), strings.Compare(e.name, other.name))
}

// Has reports whether the files hold objects, or an empty list, of this kind and version; for a
// recording, whether all objects of the kind were asked for and seen.
func (c *Cluster) Has(gvk schema.GroupVersionKind) bool { return c.tables[gvk] != nil }

// Get fills obj. The error is NotFound when the files hold the kind but not this object, and
// NoMatch when they say nothing about the kind. A replay gives what was answered when it was
// recorded, and an error for a question that was not asked then.
func (c *Cluster) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(obj, c.scheme)
	if err != nil {
		return err
	}
	if a, ok := c.responses[getRequest(gvk, obj, key)]; ok {
		return a.fillObject(obj)
	}
	t, err := c.table(gvk, "object "+key.String())
	if err != nil {
		return err
	}
	i, found := slices.BinarySearchFunc(t.entries, entry{namespace: key.Namespace, name: key.Name}, entry.compare)
	if !found {
		return apierrors.NewNotFound(resourceOf(gvk), key.Name)
	}
	return t.decode(t.entries[i].data, obj)
}

// List fills list, sorted by namespace and name. Label selectors, the namespace, limit and continue
// are honoured, and of field selectors metadata.name, metadata.namespace and spec.nodeName.
func (c *Cluster) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := listKind(list, c.scheme)
	if err != nil {
		return err
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	if a, ok := c.responses[listRequest(gvk, list, o)]; ok {
		return a.fillList(list, o.Limit, o.Continue)
	}
	t, err := c.table(gvk, "list")
	if err != nil {
		return err
	}
	q, err := newQuery(o)
	if err != nil {
		return err
	}
	return t.list(list, q)
}

// readAheadKind is the kind of a list's items.
func listKind(list client.ObjectList, scheme *runtime.Scheme) (schema.GroupVersionKind, error) {
	gvk, err := apiutil.GVKForObject(list, scheme)
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	return gvk, err
}

func (c *Cluster) table(gvk schema.GroupVersionKind, what string) (*table, error) {
	if t := c.tables[gvk]; t != nil {
		return t, nil
	}
	if c.responses != nil && !c.notServed[gvk] {
		return nil, fmt.Errorf("the recording holds no answer to this question (%s of %s): make a new one with this version", what, gvk)
	}
	return nil, &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
}

// newTable sorts the entries and keeps the newest state of each object. older are those it dropped
// for a newer state.
func newTable(c codec, entries []entry) (t *table, older []entry) {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(a.compare(b), cmp.Compare(b.order.version, a.order.version),
			cmp.Compare(a.order.file, b.order.file), cmp.Compare(a.order.seq, b.order.seq))
	})
	t = &table{codec: c, byNode: map[string][]int{}}
	for _, e := range entries {
		if n := len(t.entries); n > 0 && t.entries[n-1].compare(e) == 0 {
			if kept := t.entries[n-1].order; kept.version != e.order.version || kept.version == 0 {
				older = append(older, e)
			}
			continue
		}
		t.entries = append(t.entries, e)
	}
	t.entries = slices.Clip(t.entries)
	for i, e := range t.entries {
		if e.node != "" {
			t.byNode[e.node] = append(t.byNode[e.node], i)
		}
	}
	return t, older
}
