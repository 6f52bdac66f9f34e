package sim

import (
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// api is the API server: the objects as they are, a version for each write, and watches that feed caches.
type api struct {
	w       *World
	version int64
	live    objects
	policy  policyObject   // is, too
	customs table[*custom] // are always read past the caches
	// revisions are the ControllerRevisions with earlier mirror sets, by name. They are read past the caches, too.
	revisions map[string]Lists
	caches    []*cache
}

// kind tells what has changed.
type kind string

const (
	kindPool   kind = "MachineConfigPool"
	kindNode   kind = "Node"
	kindPod    kind = "Pod"
	kindSet    kind = "ImageTagMirrorSet"
	kindCustom kind = "SafeMirrorRollout"
)

// next is the version of the next write, as the text that objects carry.
func (a *api) next() string {
	a.version++
	a.w.stirs()
	return strconv.FormatInt(a.version, 10)
}

// writePool stores a changed copy of the pool. A changed spec is a new generation, and who changed spec.paused and spec.maxUnavailable is
// in managedFields.
func (a *api) writePool(author string, p *mcfgv1.MachineConfigPool) {
	old, existed := a.live.pools.get(p.Name)
	p.ResourceVersion = a.next()
	p.Generation = 1
	if existed {
		p.Generation = old.Generation
		if !sameSpec(old, p) {
			p.Generation++
		}
		if old.Spec.Paused != p.Spec.Paused {
			p.ManagedFields = managed(p.ManagedFields, author, fieldPaused, a.w.now)
		}
		if maxText(old) != maxText(p) {
			p.ManagedFields = managed(p.ManagedFields, author, fieldMax, a.w.now)
		}
	}
	a.live.pools.put(p.Name, p)
	a.publish(kindPool, p.Name, func(o *objects) { o.pools.put(p.Name, p) })
	a.w.check.poolWritten(author, old, p)
	a.w.trace.pool(a.w.now, p)
}

func sameSpec(a, b *mcfgv1.MachineConfigPool) bool {
	return a.Spec.Paused == b.Spec.Paused && a.Spec.Configuration.Name == b.Spec.Configuration.Name && maxText(a) == maxText(b)
}

func maxText(p *mcfgv1.MachineConfigPool) string {
	if p.Spec.MaxUnavailable == nil {
		return ""
	}
	return p.Spec.MaxUnavailable.String()
}

// The fields of a pool whose last writer matters.
const (
	fieldPaused = `{"f:spec":{"f:paused":{}}}`
	fieldMax    = `{"f:spec":{"f:maxUnavailable":{}}}`
)

// managed notes that the author wrote the field last.
func managed(fields []metav1.ManagedFieldsEntry, author, field string, now time.Time) []metav1.ManagedFieldsEntry {
	at := metav1.NewTime(now)
	var out []metav1.ManagedFieldsEntry
	for _, f := range fields {
		if f.Manager != author || f.FieldsV1.GetRawString() != field {
			out = append(out, f)
		}
	}
	return append(out, metav1.ManagedFieldsEntry{
		Manager: author, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(field),
	})
}

// editPool changes the pool, if it is there.
func (a *api) editPool(author, name string, change func(*mcfgv1.MachineConfigPool)) {
	if p, ok := a.live.pools.get(name); ok {
		edited := p.DeepCopy()
		change(edited)
		a.writePool(author, edited)
	}
}

// editNode changes the node, if it is there.
func (a *api) editNode(name string, change func(*corev1.Node)) {
	if n, ok := a.live.nodes.get(name); ok {
		edited := n.DeepCopy()
		change(edited)
		a.writeNode(edited)
	}
}

func (a *api) writeNode(n *corev1.Node) {
	n.ResourceVersion = a.next()
	a.live.nodes.put(n.Name, n)
	a.publish(kindNode, n.Name, func(o *objects) { o.nodes.put(n.Name, n) })
	a.w.trace.node(a.w.now, n)
}

func (a *api) deleteNode(name string) {
	a.next()
	a.live.nodes.remove(name)
	a.publish(kindNode, name, func(o *objects) { o.nodes.remove(name) })
	a.w.trace.gone(a.w.now, name)
}

func (a *api) writePod(p pod) {
	a.next()
	row := &p
	a.live.pods.put(p.name, row)
	a.publish(kindPod, p.name, func(o *objects) { o.pods.put(row.name, row) })
}

func (a *api) deletePod(name string) {
	a.next()
	a.live.pods.remove(name)
	a.publish(kindPod, name, func(o *objects) { o.pods.remove(name) })
}

func (a *api) writeSet(s mirrorSet) {
	a.next()
	a.w.check.setChanged = a.w.now
	row := &s
	a.live.sets.put(s.name, row)
	a.publish(kindSet, s.name, func(o *objects) { o.sets.put(row.name, row) })
}

func (a *api) deleteSet(name string) {
	a.next()
	a.w.check.setChanged = a.w.now
	a.live.sets.remove(name)
	a.publish(kindSet, name, func(o *objects) { o.sets.remove(name) })
}

// editCustom changes the rollout, if it is there.
func (a *api) editCustom(name string, change func(*custom)) {
	c, ok := a.customs.get(name)
	if !ok {
		return
	}
	edited := c.copy()
	change(edited)
	a.writeCustom(edited)
}

// editSpec changes the spec of the first rollout, which is a new generation.
func (a *api) editSpec(change func(*custom)) {
	a.editCustom("shop", func(c *custom) {
		change(c)
		c.view.Generation++
	})
}

// writeCustom stores the rollout; one that is being deleted and has no finalizer is gone.
func (a *api) writeCustom(c *custom) {
	old, _ := a.customs.get(c.view.Name)
	a.version++
	c.version = a.version
	if old == nil || old.view.Generation != c.view.Generation || !equality.Semantic.DeepEqual(old.status.Record, c.status.Record) {
		a.w.stirs() // what else a status says may go to and fro for ever
	}
	a.w.check.customWritten(old, c)
	if c.view.Deleting && !c.view.Finalizer {
		a.w.tell("api", "SafeMirrorRollout %s is gone", c.view.Name)
		a.customs.remove(c.view.Name)
	} else {
		a.customs.put(c.view.Name, c)
	}
	a.publish(kindCustom, c.view.Name, func(*objects) {})
}

// publish sends the change to every cache, each of which sees it in its own time and in order.
func (a *api) publish(k kind, name string, change func(*objects)) {
	for _, c := range a.caches {
		c.receive(k, name, change)
	}
}

// cache is what one client has seen of the API server.
type cache struct {
	w    *World
	seen *objects
	// lag is how long the next change takes to arrive.
	lag func() time.Duration
	// changed is told of each change that has arrived.
	changed func(k kind, name string)
	last    time.Time
	closed  bool
}

// watch lists everything, as a client does at its start, and is told of changes from then on.
func (a *api) watch(lag func() time.Duration, changed func(k kind, name string)) *cache {
	c := &cache{w: a.w, seen: a.live.copy(), lag: lag, changed: changed}
	a.caches = append(a.caches, c)
	return c
}

func (a *api) unwatch(c *cache) {
	c.closed = true
	for i := range a.caches {
		if a.caches[i] == c {
			a.caches = append(a.caches[:i:i], a.caches[i+1:]...)
			return
		}
	}
}

func (c *cache) receive(k kind, name string, change func(*objects)) {
	at := c.w.now.Add(c.lag())
	if at.Before(c.last) {
		at = c.last
	}
	c.last = at
	c.w.at(at, func() {
		if c.closed {
			return
		}
		change(c.seen)
		c.changed(k, name)
	})
}
