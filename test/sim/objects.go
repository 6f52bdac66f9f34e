package sim

import (
	"slices"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Objects are never changed in place: whoever writes one makes a copy first, so that a cache may
// hold on to what it has seen.

// table holds objects of one kind by name, in the order of their names.
type table[T any] struct {
	names []string
	rows  map[string]T
}

func (t *table[T]) get(name string) (T, bool) {
	row, ok := t.rows[name]
	return row, ok
}

func (t *table[T]) put(name string, row T) {
	if t.rows == nil {
		t.rows = map[string]T{}
	}
	if _, known := t.rows[name]; !known {
		i, _ := slices.BinarySearch(t.names, name)
		t.names = slices.Insert(t.names, i, name)
	}
	t.rows[name] = row
}

func (t *table[T]) remove(name string) {
	if i, known := slices.BinarySearch(t.names, name); known {
		t.names = slices.Delete(t.names, i, i+1)
		delete(t.rows, name)
	}
}

func (t *table[T]) list() []T {
	out := make([]T, 0, len(t.names))
	for _, name := range t.names {
		out = append(out, t.rows[name])
	}
	return out
}

func (t *table[T]) copy() table[T] {
	out := table[T]{names: slices.Clone(t.names), rows: make(map[string]T, len(t.rows))}
	for name, row := range t.rows {
		out.rows[name] = row
	}
	return out
}

// objects are the kinds that are watched: what the API server has, or what a cache has seen of it.
type objects struct {
	pools table[*mcfgv1.MachineConfigPool]
	nodes table[*corev1.Node]
	pods  table[*pod]
	sets  table[*mirrorSet]
}

func (o *objects) copy() *objects {
	return &objects{pools: o.pools.copy(), nodes: o.nodes.copy(), pods: o.pods.copy(), sets: o.sets.copy()}
}

// members are the nodes of the pool. The label of the role says so; a node of the model has one
// role.
func (o *objects) members(poolName string) []*corev1.Node {
	var out []*corev1.Node
	for _, n := range o.nodes.list() {
		if poolNameOf(n) == poolName {
			out = append(out, n)
		}
	}
	return out
}

// poolLabel names the pool of a node. Beside it a node carries the label of its role, which is what
// the pools select.
const poolLabel = "sim/pool"

func poolNameOf(n *corev1.Node) string { return n.Labels[poolLabel] }

// mirrorSet is an ImageTagMirrorSet, or an ImageDigestMirrorSet: where images of one source are
// pulled from instead.
type mirrorSet struct {
	name    string
	source  string
	mirrors MirrorSpec
	// owner is the rollout whose mark it carries; empty for somebody else's.
	owner string
	// digest is true for an ImageDigestMirrorSet.
	digest bool
	// previous is what its owner found there first.
	previous MirrorSpec
}

// MirrorSpec is what a mirror set says of its source, in a short form: "m1" is the mirror m1 with
// the source as a fallback, "m1!" is the mirror m1 alone, and "" is no mirror at all.
type MirrorSpec string

func (l MirrorSpec) mirror() string {
	if l.sourceBlocked() {
		return string(l[:len(l)-1])
	}
	return string(l)
}

// sourceBlocked tells whether the source is not contacted any more.
func (l MirrorSpec) sourceBlocked() bool { return len(l) > 0 && l[len(l)-1] == '!' }

// rolloutObject is a SafeMirrorRollout. Its status is the real one.
type rolloutObject struct {
	version int64
	spec    rollout.Spec
	// source and lists are what its spec wants.
	source  string
	mirrors MirrorSpec
	// digests is true when it wants an ImageDigestMirrorSet as well, staged when the source is to
	// be blocked in a second pass.
	digests, staged bool
	// noCanaryPulls is true when nothing is asked of the first nodes.
	noCanaryPulls bool
	status        v1alpha1.SafeMirrorRolloutStatus
}

func (c *rolloutObject) copy() *rolloutObject {
	out := *c
	out.spec.Requests = slices.Clone(c.spec.Requests)
	out.spec.Stages = slices.Clone(c.spec.Stages)
	out.status = *c.status.DeepCopy()
	return &out
}

// pod is a pod, as far as drains and pulls are concerned.
type pod struct {
	name        string
	workload    string
	node        string // empty while it is not scheduled
	created     time.Time
	running     bool // its image is there and its container has started
	ready       bool
	terminating bool // it is terminating
	message     string
}
