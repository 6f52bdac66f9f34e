package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Violation is an invariant of docs/architecture.md that a run has broken. The rule "model" is the simulator's own: it met something
// that it does not know.
type Violation struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	At      string `json:"at"`
}

// checker holds what happens against the invariants. It knows the truth, which the operator does not: it judges each write by the
// world at that very moment, and allows for what had happened so shortly before that nobody could have seen it.
type checker struct {
	w          *World
	violations []Violation

	prior map[string]priorPool // the pools as they were before the rollout
	// proofs are when each reference was last proven to be pullable in each configuration.
	proofs map[proofKey]time.Time
	// pulses are the nodes that each release has moved; movers are the nodes on their way and what moved them.
	pulses map[string][]string
	movers map[string]mover
	// bad is since when each node has been unavailable for another reason than a move.
	bad map[string]time.Time
	// comebacks are when nodes of each pool that were so became available, or were deleted; openSince is when it was last opened.
	comebacks map[string][]time.Time
	openSince map[string]time.Time
	// dead is when the last leader died for good, and left how many nodes moved since.
	dead *process
	left int
	// lost are rollouts whose status was taken away, force those whose finalizer was.
	lost, force map[string]time.Time
	// canaries are when a node of each pool has pulled each reference under each rendered configuration, asked by the operator.
	canaries map[canaryKey]time.Time
	// setChanged is when a mirror set was last written or deleted.
	setChanged time.Time
	// rendered is when each pool was last rendered anew.
	rendered map[string]time.Time
	// back is since when each rollout goes back, by the true clock.
	back map[string]time.Time
}

type priorPool struct {
	paused         bool
	maxUnavailable string
	unavailable    map[string]bool
}

// proofKey is a reference and where it was shown to be pullable from. What other sources are mirrored to makes no difference to it.
type proofKey struct {
	ref   string
	lists Lists
}

func keyOf(ref string, in conf) proofKey {
	host, _ := split(ref)
	l, _ := in.lists(host)
	return proofKey{ref, l}
}

// mover is what gave a node its new configuration.
type mover struct {
	release string // the pool and the time of the intent; empty when it was not a release of ours
	rollout string // whose release it is
	size    int    // how many nodes that release is for
	at      time.Time
	extra   bool // it had the room of a node that came back in that moment
}

// proofAge is how old a proof may be, and glance what lies between a look and the write that follows from it.
const (
	proofAge = 15 * time.Minute
	glance   = time.Second
)

func newChecker(w *World) *checker {
	return &checker{
		w: w, prior: map[string]priorPool{}, proofs: map[proofKey]time.Time{}, pulses: map[string][]string{}, movers: map[string]mover{},
		canaries:  map[canaryKey]time.Time{},
		comebacks: map[string][]time.Time{}, openSince: map[string]time.Time{},
		bad: map[string]time.Time{}, lost: map[string]time.Time{}, force: map[string]time.Time{}, back: map[string]time.Time{}, rendered: map[string]time.Time{},
	}
}

func (c *checker) violate(rule, format string, args ...any) {
	v := Violation{Rule: rule, Message: fmt.Sprintf(format, args...), At: c.w.now.Sub(start).Round(time.Millisecond).String()}
	c.w.tell("VIOLATION", "%s: %s", v.Rule, v.Message)
	c.violations = append(c.violations, v)
}

// begin remembers the cluster before the rollout.
func (c *checker) begin() {
	for _, p := range c.w.api.live.pools.list() {
		c.remember(p)
	}
}

func (c *checker) remember(p *mcfgv1.MachineConfigPool) {
	prior := priorPool{paused: p.Spec.Paused, maxUnavailable: maxText(p), unavailable: map[string]bool{}}
	for _, n := range c.w.api.live.members(p.Name) {
		if !ready(n) || n.Spec.Unschedulable {
			prior.unavailable[n.Name] = true
		}
	}
	c.prior[p.Name] = prior
}

func (c *checker) newPool(name string) {
	if p, ok := c.w.api.live.pools.get(name); ok {
		c.remember(p)
	}
}

// proven notes that an engine has proven a reference.
func (c *checker) proven(ref string, in conf) { c.proofs[keyOf(ref, in)] = c.w.now }

// shown notes that a node has pulled for a canary.
func (c *checker) shown(key canaryKey) { c.canaries[key] = c.w.now }

func (c *checker) alone(p *process)             { c.dead, c.left = p, 0 }
func (c *checker) forget(rollout string)        { c.lost[rollout] = c.w.now }
func (c *checker) forced(rollout string)        { c.force[rollout] = c.w.now }
func (c *checker) cordoned(node string, _ bool) { c.bad[node] = c.w.now }
func (c *checker) recent(t time.Time) bool      { return c.w.age(t) < glance }
func openPulse(l *rollout.Ledger) *rollout.Pulse {
	if l == nil || l.Release == nil || l.Release.Closed {
		return nil
	}
	return l.Release
}

// step looks at the whole world after something was written.
func (c *checker) step() {
	var moving []mover
	most := 1
	for _, n := range c.w.api.live.nodes.list() {
		m, moves := c.movers[n.Name]
		if moves && done(n) {
			delete(c.movers, n.Name)
			moves = false
		}
		if moves && m.release != "" && !m.extra && !c.excused(n, m) {
			moving = append(moving, m)
			most = max(most, m.size)
		}
		c.watch(n, moves)
	}
	other := func(m mover) bool { return m.release != moving[0].release }
	if len(moving) > most || slices.ContainsFunc(moving, other) {
		c.violate("I11", "%d nodes are on their way at the same time by releases: %v", len(moving), c.movers)
	}
}

// excused tells whether the node was stuck already when a rollback began: the rollback does not wait for it.
func (c *checker) excused(n *corev1.Node, m mover) bool {
	for _, name := range c.w.api.customs.names {
		if c.beforeRollback(name, m) {
			return true
		}
	}
	_, there := c.w.api.live.nodes.get(n.Name)
	return !there
}

func (c *checker) beforeRollback(rolloutName string, m mover) bool {
	since, back := c.back[rolloutName]
	return back && m.at.Before(since.Add(glance))
}

// watch notes since when a node is unavailable for another reason than a move.
func (c *checker) watch(n *corev1.Node, moves bool) {
	unfit := !ready(n) || (n.Spec.Unschedulable && !moves && done(n))
	_, known := c.bad[n.Name]
	switch {
	case unfit && !known:
		c.bad[n.Name] = c.w.now
	case !unfit && known:
		delete(c.bad, n.Name)
		c.cameBack(n)
	}
}

// cameBack notes that the room which the node has taken up is free.
func (c *checker) cameBack(n *corev1.Node) {
	c.comebacks[poolOf(n)] = append(c.comebacks[poolOf(n)], c.w.now)
}

// deleted: a node that was unavailable takes up no room any more.
func (c *checker) deleted(n *corev1.Node) {
	if _, bad := c.bad[n.Name]; bad {
		delete(c.bad, n.Name)
		c.cameBack(n)
	}
}

// returned is how many nodes more than it is for the open pool may move, by what the MCO read when it began: one for each node that had
// been counted as unavailable and came back, or was deleted, so shortly before that nobody could have closed the pool. There is no more
// room by that than was made for nodes that are unavailable (I1); but another one than meant has it.
func (c *checker) returned(poolName string, read time.Time) int {
	n := 0
	for _, at := range c.comebacks[poolName] {
		if at.After(c.openSince[poolName]) && (read.Sub(at) < glance || !c.sighted()) {
			n++
		}
	}
	return n
}

// sighted tells whether some replica sees what happens at once, and can write.
func (c *checker) sighted() bool {
	return slices.ContainsFunc(c.w.procs, func(p *process) bool {
		return p.alive && p.thaws() == 0 && p.ills.lag == 0 && !p.ills.refused && !p.ills.lost && len(p.ills.unseen) == 0
	})
}

// decided judges a decision by itself (I3, I4, I7, I8).
func (c *checker) decided(o rollout.Observed, d rollout.Decision) {
	disruptive := 0
	for _, a := range d.Actions {
		if a.Disruptive() {
			disruptive++
		}
	}
	again := rollout.Decide(o)
	switch {
	case disruptive > 1:
		c.violate("I3", "%d disruptive actions in one decision: %v", disruptive, keysOf(d.Actions))
	case disruptive > 0 && len(d.Facts) > 0:
		c.violate("I4", "%v together with %d facts that are not stored yet", keysOf(d.Actions), len(d.Facts))
	case fmt.Sprint(keysOf(d.Actions), d.Phase, d.Why, len(d.Facts), d.RecheckAt) != fmt.Sprint(keysOf(again.Actions), again.Phase, again.Why, len(again.Facts), again.RecheckAt):
		c.violate("I8", "decides %v in %s, and then %v in %s on the same look", keysOf(d.Actions), d.Phase, keysOf(again.Actions), again.Phase)
	case d.Complete:
	case len(d.Actions)+len(d.Facts)+len(d.Blockers) == 0:
		c.violate("I7", "neither progress nor a blocker in %s", d.Phase)
	case d.RecheckAt.Before(o.Now) || d.RecheckAt.After(o.Now.Add(time.Minute)):
		c.violate("I7", "looks again at %s, decided at %s", d.RecheckAt, o.Now)
	}
	for _, b := range d.Blockers {
		if b.Kind == "" || b.Name == "" || b.Message == "" {
			c.violate("I7", "a blocker without a name in %s: %+v", d.Phase, b)
		}
	}
}

func keysOf(actions []rollout.Action) []string {
	out := make([]string, 0, len(actions))
	for _, a := range actions {
		out = append(out, a.Key())
	}
	return out
}

// targeted judges the MCO's giving a configuration to a node, by the pool that it had read, and when.
func (c *checker) targeted(p *mcfgv1.MachineConfigPool, n *corev1.Node, read time.Time) {
	ledger, _ := pool.ReadLedger(p)
	pulse := openPulse(ledger)
	if pulse == nil {
		c.movers[n.Name] = mover{at: c.w.now}
		return
	}
	if maxText(p) != strconv.Itoa(pulse.Room) {
		c.movers[n.Name] = mover{at: c.w.now} // somebody else has made room
		return
	}
	size := c.moves(p, n, pulse, c.returned(p.Name, read))
	if since, back := c.back[ledger.Rollout]; back && !c.leadsBack(ledger.Rollout, p) && c.w.age(since) > 3*glance {
		c.violate("I10", "node %s is given %s, which is rolled back since %s", n.Name, pulse.Target, c.w.age(since).Round(time.Second))
	}
	if c.dead != nil && c.guarded() && c.w.faults.hit["two-leaders"] == 0 && c.w.nobodyLeads() == "no replica leads" {
		if c.left++; c.left > size {
			c.violate("I14", "%d nodes have moved since %s died for good", c.left, c.dead.name)
		}
	}
	if !c.w.faults.everUnpaused(p.Name) && c.w.faults.hit["max-edited"] == 0 {
		c.unproven(ledger.Rollout, p.Spec.Configuration.Name, "node "+n.Name+" is given "+p.Spec.Configuration.Name)
	}
}

// moves notes which release gave the node its configuration, and returns how many nodes that release is for. returned is how many more it
// may have moved, because so many nodes came back in that moment.
func (c *checker) moves(p *mcfgv1.MachineConfigPool, n *corev1.Node, pulse *rollout.Pulse, returned int) int {
	size := max(1, pulse.Size)
	release := releaseKey(p, pulse)
	c.pulses[release] = append(c.pulses[release], n.Name)
	nodes := c.pulses[release]
	c.movers[n.Name] = mover{release: release, rollout: holder(p), size: size, at: c.w.now, extra: len(nodes) > size && len(nodes) <= size+returned}
	if len(nodes) > size+returned && c.guarded() {
		c.violate("I14", "the release of pool %s has moved %d nodes: %v", release, len(nodes), nodes)
	}
	return size
}

// holder is the rollout whose ledger is on the pool.
func holder(p *mcfgv1.MachineConfigPool) string {
	if ledger, err := pool.ReadLedger(p); err == nil && ledger != nil {
		return ledger.Rollout
	}
	return ""
}

func releaseKey(p *mcfgv1.MachineConfigPool, pulse *rollout.Pulse) string {
	return fmt.Sprintf("%s at %s over %d to %s", p.Name, pulse.IntendedAt.Format(time.TimeOnly), pulse.Updated, pulse.Target)
}

// leadsBack tells whether the configuration is the one to which the rollout goes back.
func (c *checker) leadsBack(rolloutName string, p *mcfgv1.MachineConfigPool) bool {
	r, ok := c.w.api.customs.get(rolloutName)
	if !ok {
		return true
	}
	lists, _ := c.w.renderings.content(p.Spec.Configuration.Name).conf.lists(r.source)
	return lists == previousOf(r.status.Record)
}

// guarded tells whether any replica is alive: with none, nobody is there to close a pool.
func (c *checker) guarded() bool {
	return slices.ContainsFunc(c.w.procs, func(p *process) bool { return p.alive && p.thaws() == 0 })
}

// unproven holds a configuration that nodes are to get against the proofs (I2): every reference of the rollout's source was proven in
// it, not longer ago than a proof is good for, with a margin for a clock that was wrong and for what has happened meanwhile. A node that
// runs those mirrors already, or has never left the source, gets nothing new.
func (c *checker) unproven(rolloutName, config, what string) {
	r, ok := c.w.api.customs.get(rolloutName)
	if !ok {
		return
	}
	target := c.w.renderings.content(config).conf
	if l, _ := target.lists(r.source); l == "" && r.status.Record.Rollback == nil {
		return
	}
	for _, ref := range c.w.references() {
		if host, _ := split(ref); host != r.source {
			continue
		}
		if k := c.byRef(ref); k == nil || c.w.age(k.created) > time.Minute {
			c.proof(ref, target, what)
		}
	}
}

// proof holds one reference against the age of a proof, with a margin for a clock that was wrong and for what a node was given later than
// its pool was opened.
func (c *checker) proof(ref string, target conf, what string) {
	margin := proofAge + 2*time.Minute
	if c.w.faults.hit["clock-ahead"]+c.w.faults.hit["clock-behind"] > 0 {
		margin += 20 * time.Minute
	}
	at, proven := c.proofs[keyOf(ref, target)]
	switch {
	case !proven:
		c.violate("I2", "%s, and %s was never proven to be pullable in %q", what, ref, target)
	case c.w.age(at) > margin:
		c.violate("I2", "%s, and %s was last proven to be pullable in %q %s ago", what, ref, target, c.w.age(at).Round(time.Second))
	}
}

// pullFailed: a node that has a new configuration cannot pull. That is our doing when it was never proven.
func (c *checker) pullFailed(k *workload, d *daemon, why string) {
	if !k.created.IsZero() || c.w.faults.hit["set-edited"]+c.w.faults.hit["user-unpauses"] > 0 {
		return // it came later than the proofs, or other people's mirrors came to nodes
	}
	target := d.conf()
	if len(changed([]string{k.ref}, "", target)) == 0 {
		return
	}
	if _, proven := c.proofs[keyOf(k.ref, target)]; !proven {
		c.violate("I2", "pod of %s cannot be started on node %s, which has a configuration in which %s was never proven: %s", k.name, d.name, k.ref, why)
	}
}

// bornDead: a new machine cannot become a node.
func (c *checker) bornDead(d *daemon, why string) {
	target := d.conf()
	if c.w.faults.hit["set-edited"]+c.w.faults.hit["user-unpauses"] > 0 {
		return // other people's mirrors
	}
	if _, proven := c.proofs[keyOf(birthRef, target)]; !proven && len(changed([]string{birthRef}, "", target)) > 0 {
		c.violate("I2", "machine %s cannot become a node with a configuration in which %s was never proven: %s", d.name, birthRef, why)
	}
}

// reasonable: a rollout goes back because somebody asks for it, or because a node did not get through, and not by itself (I10).
func (c *checker) reasonable(r *custom) {
	asked := slices.ContainsFunc(r.view.Requests, func(q rollout.Request) bool {
		return q.Verb == v1alpha1.RequestRollback || q.Verb == v1alpha1.RequestAbort
	})
	switch {
	case asked, r.view.Deleting && r.view.RollbackOnDelete:
	case r.view.RollbackOnFailure && r.status.Record.Rollback.Reason == "DrainTimedOut":
	default:
		c.violate("I10", "SafeMirrorRollout %s goes back for the reason %s, and nobody has asked for it", r.view.Name, r.status.Record.Rollback.Reason)
	}
}

func (f *faults) everUnpaused(poolName string) bool { return f.unpaused[poolName] > 0 }
