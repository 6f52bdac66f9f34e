package sim

import (
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiServer is the API server: the objects as they are, a version for each write, and watches that
// feed caches.
type apiServer struct {
	sim      *Simulation
	version  int64
	live     objects
	policy   policyObject          // is, too
	rollouts table[*rolloutObject] // are always read past the caches
	// revisions are the ControllerRevisions with earlier mirror sets, by name. They are read past
	// the caches, too.
	revisions map[string]MirrorSpec
	caches    []*cache
}

// kind tells what has changed.
type kind string

const (
	kindPool      kind = "MachineConfigPool"
	kindNode      kind = "Node"
	kindPod       kind = "Pod"
	kindMirrorSet kind = "ImageTagMirrorSet"
	kindRollout   kind = "SafeMirrorRollout"
)

// nextVersion is the version of the next write, as the text that objects carry.
func (a *apiServer) nextVersion() string {
	a.version++
	a.sim.markChanged()
	return strconv.FormatInt(a.version, 10)
}

// writePool stores a changed copy of the pool. A changed spec is a new generation, and who changed
// spec.paused and spec.maxUnavailable is in managedFields.
func (a *apiServer) writePool(manager string, p *mcfgv1.MachineConfigPool) {
	old, existed := a.live.pools.get(p.Name)
	p.ResourceVersion = a.nextVersion()
	p.Generation = 1
	if existed {
		p.Generation = old.Generation
		if !sameSpec(old, p) {
			p.Generation++
		}
		if old.Spec.Paused != p.Spec.Paused {
			p.ManagedFields = withManager(p.ManagedFields, manager, fieldPaused, a.sim.now)
		}
		if maxUnavailableText(old) != maxUnavailableText(p) {
			p.ManagedFields = withManager(p.ManagedFields, manager, fieldMaxUnavailable, a.sim.now)
		}
	}
	a.live.pools.put(p.Name, p)
	a.publish(kindPool, p.Name, func(o *objects) { o.pools.put(p.Name, p) })
	a.sim.checker.checkPoolWrite(manager, old, p)
	a.sim.trace.pool(a.sim.now, p)
}

func sameSpec(a, b *mcfgv1.MachineConfigPool) bool {
	return a.Spec.Paused == b.Spec.Paused && a.Spec.Configuration.Name == b.Spec.Configuration.Name &&
		maxUnavailableText(a) == maxUnavailableText(b)
}

func maxUnavailableText(p *mcfgv1.MachineConfigPool) string {
	if p.Spec.MaxUnavailable == nil {
		return ""
	}
	return p.Spec.MaxUnavailable.String()
}

// The fields of a pool whose last writer matters.
const (
	fieldPaused         = `{"f:spec":{"f:paused":{}}}`
	fieldMaxUnavailable = `{"f:spec":{"f:maxUnavailable":{}}}`
)

// withManager notes that the author wrote the field last.
func withManager(fields []metav1.ManagedFieldsEntry, manager, field string, now time.Time) []metav1.ManagedFieldsEntry {
	at := metav1.NewTime(now)
	var out []metav1.ManagedFieldsEntry
	for _, f := range fields {
		if f.Manager != manager || f.FieldsV1.GetRawString() != field {
			out = append(out, f)
		}
	}
	return append(out, metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(field),
	})
}

// editPool changes the pool, if it is there.
func (a *apiServer) editPool(manager, name string, change func(*mcfgv1.MachineConfigPool)) {
	if p, ok := a.live.pools.get(name); ok {
		edited := p.DeepCopy()
		change(edited)
		a.writePool(manager, edited)
	}
}

// editNode changes the node, if it is there.
func (a *apiServer) editNode(name string, change func(*corev1.Node)) {
	if n, ok := a.live.nodes.get(name); ok {
		edited := n.DeepCopy()
		change(edited)
		a.writeNode(edited)
	}
}

func (a *apiServer) writeNode(n *corev1.Node) {
	n.ResourceVersion = a.nextVersion()
	a.live.nodes.put(n.Name, n)
	a.publish(kindNode, n.Name, func(o *objects) { o.nodes.put(n.Name, n) })
	a.sim.trace.node(a.sim.now, n)
}

func (a *apiServer) deleteNode(name string) {
	a.nextVersion()
	a.live.nodes.remove(name)
	a.publish(kindNode, name, func(o *objects) { o.nodes.remove(name) })
	a.sim.trace.gone(a.sim.now, name)
}

func (a *apiServer) writePod(p pod) {
	a.nextVersion()
	row := &p
	a.live.pods.put(p.name, row)
	a.publish(kindPod, p.name, func(o *objects) { o.pods.put(row.name, row) })
}

func (a *apiServer) deletePod(name string) {
	a.nextVersion()
	a.live.pods.remove(name)
	a.publish(kindPod, name, func(o *objects) { o.pods.remove(name) })
}

func (a *apiServer) writeMirrorSet(s mirrorSet) {
	a.nextVersion()
	a.sim.checker.setChanged = a.sim.now
	row := &s
	a.live.sets.put(s.name, row)
	a.publish(kindMirrorSet, s.name, func(o *objects) { o.sets.put(row.name, row) })
}

func (a *apiServer) deleteMirrorSet(name string) {
	a.nextVersion()
	a.sim.checker.setChanged = a.sim.now
	a.live.sets.remove(name)
	a.publish(kindMirrorSet, name, func(o *objects) { o.sets.remove(name) })
}

// editRollout changes the rollout, if it is there.
func (a *apiServer) editRollout(name string, change func(*rolloutObject)) {
	c, ok := a.rollouts.get(name)
	if !ok {
		return
	}
	edited := c.copy()
	change(edited)
	a.writeRollout(edited)
}

// editSpec changes the spec of the first rollout, which is a new generation.
func (a *apiServer) editSpec(change func(*rolloutObject)) {
	a.editRollout("shop", func(c *rolloutObject) {
		change(c)
		c.spec.Generation++
	})
}

// writeRollout stores the rollout; one that is being deleted and has no finalizer is gone.
func (a *apiServer) writeRollout(c *rolloutObject) {
	old, _ := a.rollouts.get(c.spec.Name)
	a.version++
	c.version = a.version
	if old == nil || old.spec.Generation != c.spec.Generation ||
		!equality.Semantic.DeepEqual(old.status.Record, c.status.Record) {
		a.sim.markChanged() // what else a status says may go to and fro for ever
	}
	a.sim.checker.checkRolloutWrite(old, c)
	if c.spec.Deleting && !c.spec.Finalizer {
		a.sim.logf("api", "SafeMirrorRollout %s is gone", c.spec.Name)
		a.rollouts.remove(c.spec.Name)
	} else {
		a.rollouts.put(c.spec.Name, c)
	}
	a.publish(kindRollout, c.spec.Name, func(*objects) {})
}

// publish sends the change to every cache, each of which sees it in its own time and in order.
func (a *apiServer) publish(k kind, name string, change func(*objects)) {
	for _, c := range a.caches {
		c.receive(k, name, change)
	}
}

// cache is what one client has seen of the API server.
type cache struct {
	sim     *Simulation
	objects *objects
	// delay is how long the next change takes to arrive.
	delay func() time.Duration
	// onChange is called for each change that has arrived.
	onChange    func(k kind, name string)
	lastArrival time.Time
	closed      bool
}

// newCache lists everything, as a client does at its start, and gets the changes from then on.
func (a *apiServer) newCache(lag func() time.Duration, changed func(k kind, name string)) *cache {
	c := &cache{sim: a.sim, objects: a.live.copy(), delay: lag, onChange: changed}
	a.caches = append(a.caches, c)
	return c
}

func (a *apiServer) removeCache(c *cache) {
	c.closed = true
	for i := range a.caches {
		if a.caches[i] == c {
			a.caches = append(a.caches[:i:i], a.caches[i+1:]...)
			return
		}
	}
}

func (c *cache) receive(k kind, name string, change func(*objects)) {
	at := c.sim.now.Add(c.delay())
	if at.Before(c.lastArrival) {
		at = c.lastArrival
	}
	c.lastArrival = at
	c.sim.at(at, func() {
		if c.closed {
			return
		}
		change(c.objects)
		c.onChange(k, name)
	})
}
