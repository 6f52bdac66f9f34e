package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Violation is an invariant of docs/architecture.md that a run has broken. The rule "model" is the
// simulator's own: it met something that it does not know.
type Violation struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	At      string `json:"at"`
}

// checker holds what happens against the invariants. It knows the truth, which the operator does
// not: it checks each write against the state at that moment, and accepts what a change explains
// that is too recent for any process to have seen it.
type checker struct {
	sim        *Simulation
	violations []Violation

	prior map[string]priorPool // the pools as they were before the rollout
	// proofs are when each reference was last proven to be pullable in each configuration.
	proofs map[proofKey]time.Time
	// releaseNodes are the nodes that each release has moved; movers are the nodes on their way and
	// what moved them.
	releaseNodes map[string][]string
	updates      map[string]nodeUpdate
	// unavailableSince is since when each node has been unavailable for another reason than a move.
	unavailableSince map[string]time.Time
	// recoveries are when nodes of each pool that were so became available, or were deleted;
	// openSince is when it was last opened.
	recoveries map[string][]time.Time
	openSince  map[string]time.Time
	// deadLeader is when the last leader died for good, and left how many nodes moved since.
	deadLeader        *process
	updatedSinceDeath int
	// statusLost are rollouts whose status was taken away, force those whose finalizer was.
	statusLost, finalizerForced map[string]time.Time
	// canaryPulls are when a node of each pool has pulled each reference under each rendered
	// configuration, asked by the operator.
	canaryPulls map[canaryKey]time.Time
	// setChanged is when a mirror set was last written or deleted.
	setChanged time.Time
	// rendered is when each pool was last rendered anew.
	rendered map[string]time.Time
	// rollbackSince is since when each rollout rolls back, by the true clock.
	rollbackSince map[string]time.Time
}

type priorPool struct {
	paused         bool
	maxUnavailable string
	unavailable    map[string]bool
}

// proofKey is a reference and where it was shown to be pullable from. What other sources are
// mirrored to makes no difference to it.
type proofKey struct {
	ref     string
	mirrors MirrorSpec
}

func keyOf(ref string, in registriesConf) proofKey {
	host, _ := splitReference(ref)
	l, _ := in.mirrorsOf(host)
	return proofKey{ref, l}
}

// nodeUpdate is what gave a node its new configuration.
type nodeUpdate struct {
	release       string // the pool and the time of the intent; empty when it was not a release of ours
	rollout       string // whose release it is
	size          int    // how many nodes that release is for
	at            time.Time
	extraCapacity bool // it had the room of a node that came back in that moment
}

// maxProofAge is how old a proof may be, and glance what lies between a look and the write that
// follows from it.
const (
	maxProofAge  = 15 * time.Minute
	reactionTime = time.Second
)

func newChecker(sim *Simulation) *checker {
	return &checker{
		sim: sim, prior: map[string]priorPool{}, proofs: map[proofKey]time.Time{}, releaseNodes: map[string][]string{},
		updates:     map[string]nodeUpdate{},
		canaryPulls: map[canaryKey]time.Time{},
		recoveries:  map[string][]time.Time{}, openSince: map[string]time.Time{},
		unavailableSince: map[string]time.Time{}, statusLost: map[string]time.Time{},
		finalizerForced: map[string]time.Time{}, rollbackSince: map[string]time.Time{},
		rendered: map[string]time.Time{},
	}
}

func (c *checker) violate(rule, format string, args ...any) {
	v := Violation{Rule: rule, Message: fmt.Sprintf(format, args...),
		At: c.sim.now.Sub(startTime).Round(time.Millisecond).String()}
	c.sim.logf("VIOLATION", "%s: %s", v.Rule, v.Message)
	c.violations = append(c.violations, v)
}

// recordCluster remembers the cluster before the rollout.
func (c *checker) recordCluster() {
	for _, p := range c.sim.apiServer.live.pools.list() {
		c.recordPool(p)
	}
}

func (c *checker) recordPool(p *mcfgv1.MachineConfigPool) {
	prior := priorPool{paused: p.Spec.Paused, maxUnavailable: maxUnavailableText(p), unavailable: map[string]bool{}}
	for _, n := range c.sim.apiServer.live.members(p.Name) {
		if !ready(n) || n.Spec.Unschedulable {
			prior.unavailable[n.Name] = true
		}
	}
	c.prior[p.Name] = prior
}

func (c *checker) recordNewPool(name string) {
	if p, ok := c.sim.apiServer.live.pools.get(name); ok {
		c.recordPool(p)
	}
}

// recordProof notes that an engine has proven a reference.
func (c *checker) recordProof(ref string, in registriesConf) { c.proofs[keyOf(ref, in)] = c.sim.now }

// recordCanaryPull notes that a node has pulled for a canary.
func (c *checker) recordCanaryPull(key canaryKey) { c.canaryPulls[key] = c.sim.now }

func (c *checker) recordLeaderDeath(p *process)         { c.deadLeader, c.updatedSinceDeath = p, 0 }
func (c *checker) recordLostStatus(rollout string)      { c.statusLost[rollout] = c.sim.now }
func (c *checker) recordForcedFinalizer(rollout string) { c.finalizerForced[rollout] = c.sim.now }
func (c *checker) recordCordon(node string, _ bool)     { c.unavailableSince[node] = c.sim.now }
func (c *checker) recent(t time.Time) bool              { return c.sim.age(t) < reactionTime }
func openWindow(l *rollout.PauseRecord) *rollout.UnpauseWindow {
	if l == nil || l.Release == nil || l.Release.Closed {
		return nil
	}
	return l.Release
}

// checkStep looks at the whole world after something was written.
func (c *checker) checkStep() {
	var moving []nodeUpdate
	most := 1
	for _, n := range c.sim.apiServer.live.nodes.list() {
		m, moves := c.updates[n.Name]
		if moves && done(n) {
			delete(c.updates, n.Name)
			moves = false
		}
		if moves && m.release != "" && !m.extraCapacity && !c.stuckBeforeRollback(n, m) {
			moving = append(moving, m)
			most = max(most, m.size)
		}
		c.recordAvailability(n, moves)
	}
	other := func(m nodeUpdate) bool { return m.release != moving[0].release }
	if len(moving) > most || slices.ContainsFunc(moving, other) {
		c.violate("I11", "%d nodes are on their way at the same time by releases: %v", len(moving), c.updates)
	}
}

// stuckBeforeRollback tells whether the node was stuck already when a rollback began: the rollback
// does not wait for it.
func (c *checker) stuckBeforeRollback(n *corev1.Node, m nodeUpdate) bool {
	for _, name := range c.sim.apiServer.rollouts.names {
		if c.beforeRollback(name, m) {
			return true
		}
	}
	_, there := c.sim.apiServer.live.nodes.get(n.Name)
	return !there
}

func (c *checker) beforeRollback(rolloutName string, m nodeUpdate) bool {
	since, back := c.rollbackSince[rolloutName]
	return back && m.at.Before(since.Add(reactionTime))
}

// recordAvailability notes since when a node is unavailable for another reason than a move.
func (c *checker) recordAvailability(n *corev1.Node, moves bool) {
	unfit := !ready(n) || (n.Spec.Unschedulable && !moves && done(n))
	_, known := c.unavailableSince[n.Name]
	switch {
	case unfit && !known:
		c.unavailableSince[n.Name] = c.sim.now
	case !unfit && known:
		delete(c.unavailableSince, n.Name)
		c.recordRecovery(n)
	}
}

// recordRecovery notes that the room which the node has taken up is free.
func (c *checker) recordRecovery(n *corev1.Node) {
	c.recoveries[poolNameOf(n)] = append(c.recoveries[poolNameOf(n)], c.sim.now)
}

// deleted: a node that was unavailable takes up no room any more.
func (c *checker) recordDeletion(n *corev1.Node) {
	if _, bad := c.unavailableSince[n.Name]; bad {
		delete(c.unavailableSince, n.Name)
		c.recordRecovery(n)
	}
}

// recoveredSince is how many nodes more than it is for the open pool may move, by what the MCO read
// when it began: one for each node that had been counted as unavailable and came back, or was
// deleted, so shortly before that nobody could have closed the pool. There is no more room by that
// than was made for nodes that are unavailable (I1); but another one than meant has it.
func (c *checker) recoveredSince(poolName string, read time.Time) int {
	n := 0
	for _, at := range c.recoveries[poolName] {
		if at.After(c.openSince[poolName]) && (read.Sub(at) < reactionTime || !c.someReplicaWorks()) {
			n++
		}
	}
	return n
}

// someReplicaWorks tells whether some replica sees what happens at once, and can write.
func (c *checker) someReplicaWorks() bool {
	return slices.ContainsFunc(c.sim.processes, func(p *process) bool {
		return p.alive && p.frozenFor() == 0 && p.faults.cacheLag == 0 && !p.faults.rejectWrites &&
			!p.faults.loseResponses && len(p.faults.unreadable) == 0
	})
}

// checkDecision judges a decision by itself (I3, I4, I7, I8).
func (c *checker) checkDecision(o rollout.Observed, d rollout.Decision) {
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
	case fmt.Sprint(keysOf(d.Actions), d.Phase, d.Why, len(d.Facts), d.RecheckAt) != fmt.Sprint(keysOf(again.Actions),
		again.Phase, again.Why, len(again.Facts), again.RecheckAt):
		c.violate("I8", "decides %v in %s, and then %v in %s on the same look", keysOf(d.Actions), d.Phase,
			keysOf(again.Actions), again.Phase)
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

// checkTarget judges the MCO's giving a configuration to a node, by the pool that it had read, and
// when.
func (c *checker) checkTarget(p *mcfgv1.MachineConfigPool, n *corev1.Node, read time.Time) {
	ledger, _ := pool.ReadPauseRecord(p)
	pulse := openWindow(ledger)
	if pulse == nil {
		c.updates[n.Name] = nodeUpdate{at: c.sim.now}
		return
	}
	if maxUnavailableText(p) != strconv.Itoa(pulse.MaxUnavailable) {
		c.updates[n.Name] = nodeUpdate{at: c.sim.now} // somebody else has made room
		return
	}
	size := c.recordUpdate(p, n, pulse, c.recoveredSince(p.Name, read))
	if since, back := c.rollbackSince[ledger.Rollout]; back && !c.isPreviousConfig(ledger.Rollout, p) &&
		c.sim.age(since) > 3*reactionTime {
		c.violate("I10", "node %s is given %s, which is rolled back since %s", n.Name, pulse.Target,
			c.sim.age(since).Round(time.Second))
	}
	if c.deadLeader != nil && c.anyReplicaAlive() && c.sim.faults.happened["two-leaders"] == 0 &&
		c.sim.leaderMissing() == "no replica leads" {
		if c.updatedSinceDeath++; c.updatedSinceDeath > size {
			c.violate("I14", "%d nodes have moved since %s died for good", c.updatedSinceDeath, c.deadLeader.name)
		}
	}
	if !c.sim.faults.everUnpaused(p.Name) && c.sim.faults.happened["max-edited"] == 0 {
		c.checkProofs(ledger.Rollout, p.Spec.Configuration.Name, "node "+n.Name+" is given "+p.Spec.Configuration.Name)
	}
}

// recordUpdate notes which release gave the node its configuration, and returns how many nodes that
// release is for. returned is how many more it may have moved, because so many nodes came back in
// that moment.
func (c *checker) recordUpdate(p *mcfgv1.MachineConfigPool, n *corev1.Node, pulse *rollout.UnpauseWindow,
	returned int) int {
	size := max(1, pulse.Size)
	release := releaseKey(p, pulse)
	c.releaseNodes[release] = append(c.releaseNodes[release], n.Name)
	nodes := c.releaseNodes[release]
	c.updates[n.Name] = nodeUpdate{release: release, rollout: pauseOwner(p), size: size, at: c.sim.now,
		extraCapacity: len(nodes) > size && len(nodes) <= size+returned}
	if len(nodes) > size+returned && c.anyReplicaAlive() {
		c.violate("I14", "the release of pool %s has moved %d nodes: %v", release, len(nodes), nodes)
	}
	return size
}

// pauseOwner is the rollout whose pause record is on the pool.
func pauseOwner(p *mcfgv1.MachineConfigPool) string {
	if ledger, err := pool.ReadPauseRecord(p); err == nil && ledger != nil {
		return ledger.Rollout
	}
	return ""
}

func releaseKey(p *mcfgv1.MachineConfigPool, pulse *rollout.UnpauseWindow) string {
	return fmt.Sprintf("%s at %s over %d to %s", p.Name, pulse.IntendedAt.Format(time.TimeOnly), pulse.UpdatedBefore,
		pulse.Target)
}

// isPreviousConfig tells whether the configuration is the one to which the rollout rolls back.
func (c *checker) isPreviousConfig(rolloutName string, p *mcfgv1.MachineConfigPool) bool {
	r, ok := c.sim.apiServer.rollouts.get(rolloutName)
	if !ok {
		return true
	}
	lists, _ := c.sim.rendered.content(p.Spec.Configuration.Name).conf.mirrorsOf(r.source)
	return lists == previousOf(r.status.Record)
}

// anyReplicaAlive tells whether any replica is alive: without one, no process pauses an open pool.
func (c *checker) anyReplicaAlive() bool {
	return slices.ContainsFunc(c.sim.processes, func(p *process) bool { return p.alive && p.frozenFor() == 0 })
}

// checkProofs holds a configuration that nodes are to get against the proofs (I2): every reference
// of the rollout's source was proven in it, not longer ago than a proof is good for, with a margin
// for a clock that was wrong and for what has happened meanwhile. A node that runs those mirrors
// already, or has never left the source, gets nothing new.
func (c *checker) checkProofs(rolloutName, config, what string) {
	r, ok := c.sim.apiServer.rollouts.get(rolloutName)
	if !ok {
		return
	}
	target := c.sim.rendered.content(config).conf
	if l, _ := target.mirrorsOf(r.source); l == "" && r.status.Record.Rollback == nil {
		return
	}
	for _, ref := range c.sim.references() {
		if host, _ := splitReference(ref); host != r.source {
			continue
		}
		if k := c.workloadOf(ref); k == nil || c.sim.age(k.created) > time.Minute {
			c.checkProof(ref, target, what)
		}
	}
}

// checkProof holds one reference against the age of a proof, with a margin for a clock that was
// wrong and for what a node was given later than its pool was opened.
func (c *checker) checkProof(ref string, target registriesConf, what string) {
	margin := maxProofAge + 2*time.Minute
	if c.sim.faults.happened["clock-ahead"]+c.sim.faults.happened["clock-behind"] > 0 {
		margin += 20 * time.Minute
	}
	at, proven := c.proofs[keyOf(ref, target)]
	switch {
	case !proven:
		c.violate("I2", "%s, and %s was never proven to be pullable in %q", what, ref, target)
	case c.sim.age(at) > margin:
		c.violate("I2", "%s, and %s was last proven to be pullable in %q %s ago", what, ref, target,
			c.sim.age(at).Round(time.Second))
	}
}

// checkPullFailure: a node that has a new configuration cannot pull. That is our doing when it was
// never proven.
func (c *checker) checkPullFailure(k *workload, d *daemon, why string) {
	if !k.created.IsZero() || c.sim.faults.happened["set-edited"]+c.sim.faults.happened["user-unpauses"] > 0 {
		return // it came later than the proofs, or other people's mirrors came to nodes
	}
	target := d.activeConf()
	if len(changedRefs([]string{k.ref}, "", target)) == 0 {
		return
	}
	if _, proven := c.proofs[keyOf(k.ref, target)]; !proven {
		c.violate("I2", "pod of %s cannot be started on node %s, which has a configuration in which %s was never proven: %s", k.name, d.name, k.ref, why)
	}
}

// checkNodeStartFailure: a new machine cannot become a node.
func (c *checker) checkNodeStartFailure(d *daemon, why string) {
	target := d.activeConf()
	if c.sim.faults.happened["set-edited"]+c.sim.faults.happened["user-unpauses"] > 0 {
		return // other people's mirrors
	}
	if _, proven := c.proofs[keyOf(nodeStartRef, target)]; !proven &&
		len(changedRefs([]string{nodeStartRef}, "", target)) > 0 {
		c.violate("I2", "machine %s cannot become a node with a configuration in which %s was never proven: %s", d.name,
			nodeStartRef, why)
	}
}

// checkRollbackReason: a rollout rolls back because a user requests it or because the update of a
// node failed, and for no other reason (I10).
func (c *checker) checkRollbackReason(r *rolloutObject) {
	asked := slices.ContainsFunc(r.spec.Requests, func(q rollout.Request) bool {
		return q.Verb == v1alpha1.RequestRollback || q.Verb == v1alpha1.RequestAbort
	})
	switch {
	case asked, r.spec.Deleting && r.spec.RollbackOnDelete:
	case r.spec.RollbackOnFailure && r.status.Record.Rollback.Reason == "DrainTimedOut":
	default:
		c.violate("I10", "SafeMirrorRollout %s rolls back for the reason %s, and no user requested it", r.spec.Name,
			r.status.Record.Rollback.Reason)
	}
}

func (f *faults) everUnpaused(poolName string) bool { return f.unpaused[poolName] > 0 }
