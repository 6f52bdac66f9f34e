package sim

import (
	"slices"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
)

// pausedFieldEntries are the entries about spec.paused, the newest last.
func pausedFieldEntries(p *mcfgv1.MachineConfigPool) []metav1.ManagedFieldsEntry {
	return slices.DeleteFunc(slices.Clone(p.ManagedFields),
		func(f metav1.ManagedFieldsEntry) bool { return f.FieldsV1.GetRawString() != fieldPaused })
}

func byOperator(f metav1.ManagedFieldsEntry) bool { return f.Manager == pool.FieldManager }

// pausedByOperator tells whether the operator wrote spec.paused last.
func pausedByOperator(p *mcfgv1.MachineConfigPool) bool {
	all := pausedFieldEntries(p)
	return len(all) > 0 && byOperator(all[len(all)-1])
}

// sameStatus compares what a status write would change.
func sameStatus(a, b v1alpha1.SafeMirrorRolloutStatus) bool { return equality.Semantic.DeepEqual(a, b) }

// checkEnd checks how the run has ended: finished with everything restored, or blocked by something
// that the scenario explains (I5, I7).
func (c *checker) checkEnd(why string) {
	switch {
	case len(c.violations) > 0:
	case why == "too many steps":
		c.violate("I7", "the world does not come to rest: %d steps", c.sim.steps)
	case !c.sim.rolloutsFinished():
		if c.sim.blockedBy() == "" {
			c.violate("I7", "%s, nothing accounts for it, and the rollout is not settled: %s", why,
				c.sim.describeRollouts())
		}
		c.checkRollbackReachedNodes()
	default:
		c.checkPolicyRestored()
		c.checkNotesRemoved()
		for _, p := range c.sim.apiServer.live.pools.list() {
			if prior, known := c.prior[p.Name]; known && !c.sim.faults.editedByUser[p.Name] {
				c.checkPoolRestored(p, prior)
			}
		}
	}
}

// checkPoolRestored: a pool is as it was, and so are its nodes.
func (c *checker) checkPoolRestored(p *mcfgv1.MachineConfigPool, prior priorPool) {
	excused := c.sim.blockedBy() != ""
	l, err := pool.ReadPauseRecord(p)
	switch {
	case (err != nil || l != nil) && excused:
		return
	case err != nil || l != nil:
		c.violate("I5", "pool %s has a pause record at the end", p.Name)
		return
	case len(c.finalizerForced) > 0 && c.sim.faults.happened["ledger-removed"] > 0:
		return // no record of the pause is left
	case p.Spec.Paused != prior.paused || maxUnavailableText(p) != prior.maxUnavailable:
		c.violate("I5", "pool %s is left paused=%t maxUnavailable=%q, and was paused=%t maxUnavailable=%q",
			p.Name, p.Spec.Paused, maxUnavailableText(p), prior.paused, prior.maxUnavailable)
	}
	if !excused && !p.Spec.Paused && !c.sim.nodesUpdating() {
		c.checkNodesRestored(p)
	}
}

func (c *checker) checkNodesRestored(p *mcfgv1.MachineConfigPool) {
	for _, n := range c.sim.apiServer.live.members(p.Name) {
		if tainted(n) || n.Spec.Unschedulable || n.Annotations[currentConfig] != p.Spec.Configuration.Name {
			c.violate("I5", "node %s is left tainted=%t cordoned=%t on %s, its pool has %s",
				n.Name, tainted(n), n.Spec.Unschedulable, n.Annotations[currentConfig], p.Spec.Configuration.Name)
		}
	}
}

// checkRollbackReachedNodes: a node that is stuck in a drain does not keep a rollback from bringing
// the others back. One that is at rest and has been cordoned, or went down, since the beginning
// does: that is somebody else's doing, and holds every release until it is undone (R11).
func (c *checker) checkRollbackReachedNodes() {
	for _, check := range []func() string{c.sim.leaderMissing, c.sim.podsUnhealthy, c.sim.podUnschedulable,
		c.sim.registryUnavailable, c.sim.poolTakenOver, c.sim.waitsForUser, c.sim.changesPending} {
		if check() != "" {
			return
		}
	}
	for _, r := range c.sim.apiServer.rollouts.list() {
		if r.status.Record.Rollback == nil || c.hasNewlyUnavailable(r) {
			continue
		}
		for _, n := range c.sim.apiServer.live.nodes.list() {
			lists, _ := c.sim.rendered.content(n.Annotations[currentConfig]).conf.mirrorsOf(r.source)
			if done(n) && !unavailable(n) && lists != previousOf(r.status.Record) {
				c.violate("I7", "node %s is at rest with mirrors that were rolled back, and nothing keeps it there: %s",
					n.Name, c.sim.describeRollouts())
				return
			}
		}
	}
}

// hasNewlyUnavailable tells whether a node is at rest and unavailable that was available when the
// rollout wrote down what its pools were like.
func (c *checker) hasNewlyUnavailable(r *rolloutObject) bool {
	for _, p := range c.sim.apiServer.live.pools.list() {
		if slices.ContainsFunc(c.sim.apiServer.live.members(p.Name),
			func(n *corev1.Node) bool { return done(n) && unavailable(n) && c.availableOnRecord(r, p.Name, n.Name) }) {
			return true
		}
	}
	return false
}

// describeRollouts says where the rollouts stand.
func (sim *Simulation) describeRollouts() string {
	var out []string
	for _, r := range sim.apiServer.rollouts.list() {
		text := r.spec.Name + " in " + string(r.status.Phase)
		for _, b := range r.status.Blockers {
			text += "; " + b.Message
		}
		out = append(out, text)
	}
	return strings.Join(out, " / ")
}

// blockedBy names what in the world keeps a rollout from going on, for as long as it is so; empty
// when there is nothing.
func (sim *Simulation) blockedBy() string {
	for _, check := range []func() string{sim.leaderMissing, sim.nodeUnavailable, sim.budgetBlocks, sim.podsUnhealthy,
		sim.podUnschedulable, sim.registryUnavailable, sim.poolTakenOver, sim.waitsForUser, sim.changesPending} {
		if why := check(); why != "" {
			return why
		}
	}
	return ""
}

func (sim *Simulation) leaderMissing() string {
	for _, p := range sim.processes {
		if p.alive && p.isLeader {
			if p.faults.rejectWrites || p.faults.loseResponses {
				return p.name + " cannot write"
			}
			if len(p.faults.unreadable) > 0 {
				return p.name + " cannot read"
			}
			return ""
		}
	}
	return "no replica leads"
}

func (sim *Simulation) nodeUnavailable() string {
	for _, n := range sim.apiServer.live.nodes.list() {
		switch {
		case !ready(n):
			return "node " + n.Name + " is down"
		case n.Spec.Unschedulable && done(n):
			return "node " + n.Name + " is cordoned"
		}
	}
	return ""
}

func (sim *Simulation) budgetBlocks() string {
	for _, k := range sim.workloads.list {
		if k.overlapping || k.budget == 0 {
			return "the budget of " + k.name + " allows nothing"
		}
	}
	return ""
}

func (sim *Simulation) podsUnhealthy() string {
	for _, k := range sim.workloads.list {
		if k.unhealthy {
			return "the pods of " + k.name + " are not ready anywhere"
		}
	}
	return ""
}

// nowhere: a pod that fits on no node stays without one, and its workload short of it.
func (sim *Simulation) podUnschedulable() string {
	for _, p := range sim.apiServer.live.pods.list() {
		if p.node == "" && sim.workloads.findNode(sim.workloads.find(p.workload)) == "" {
			return "no node has room for pod " + p.name
		}
	}
	return ""
}

// registryUnavailable looks at the hosts that a rollout needs: the source, and the mirror that it
// goes to. On the way back to no mirror the mirror is needed no more.
func (sim *Simulation) registryUnavailable() string {
	shop, there := sim.apiServer.rollouts.get("shop")
	ended := !there || shop.status.Record.CompletedGeneration != 0 // the mirror is not filled any more
	for _, k := range sim.workloads.list {
		lost := sim.faults.happened["image-vanishes"] + sim.faults.happened["mirror-wiped"] +
			sim.faults.happened["workload-added"]
		if host, image := splitReference(k.ref); ended && host == shopSource && lost > 0 &&
			sim.registries.serveError("m1", image) != "" {
			return "m1 lacks " + image
		}
	}
	for _, r := range sim.apiServer.rollouts.list() {
		wanted, _, _ := (&process{sim: sim}).desiredSets(r, &sim.apiServer.live)
		for _, host := range []string{wanted.mirror(), r.source} {
			if h := sim.registries.hosts[host]; h != nil && h.down {
				return "registry " + host + " is down"
			} else if h != nil && h.refusesNodes {
				return "registry " + host + " refuses nodes"
			} else if h != nil && h.flaky {
				return "registry " + host + " fails every other request"
			}
		}
	}
	return ""
}

func (sim *Simulation) poolTakenOver() string {
	for _, p := range sim.apiServer.live.pools.list() {
		ledger, err := pool.ReadPauseRecord(p)
		_, forced := sim.checker.finalizerForced["shop"]
		switch {
		case forced && err == nil && ledger != nil && ledger.Rollout == "shop":
			return "pool " + p.Name + " is held for a rollout whose finalizer was taken off by force"
		case sim.faults.unpaused[p.Name] > 1:
			return "somebody keeps unpausing pool " + p.Name
		case sim.faults.happened["user-pauses"] > 0 && p.Spec.Paused && !pausedByOperator(p):
			return "somebody has paused pool " + p.Name
		}
	}
	return ""
}

func (sim *Simulation) waitsForUser() string {
	if sim.faults.upgrading != "" {
		return "the cluster is being upgraded"
	}
	if sim.faults.happened["status-lost"] > 0 && sim.faults.happened["ledger-removed"] > 0 {
		return "both records of the pause were removed"
	}
	if p := sim.apiServer.policy; sim.faults.happened["policy-edited"] > 0 && p.record != nil &&
		p.entry != policyReload {
		return "somebody has changed the policy for registries.conf"
	}
	if sim.faults.gitopsReverts {
		return "a pipeline takes the mirror set away"
	}
	for _, r := range sim.apiServer.rollouts.list() {
		aborted := slices.ContainsFunc(r.status.Blockers,
			func(b v1alpha1.Blocker) bool { return strings.Contains(b.Message, "aborts the rollout") })
		switch {
		case r.spec.Held:
			return r.spec.Name + " is held"
		case r.spec.ApplyApproval && (len(r.status.Record.Approvals) == 0 ||
			(r.status.Pass == v1alpha1.PassEnforce && len(r.status.Record.Approvals) < 2)):
			return r.spec.Name + " waits for an approval"
		case aborted && r.status.Record.Rollback == nil:
			return r.spec.Name + " is aborted and waits for a choice"
		}
	}
	return ""
}

func (sim *Simulation) changesPending() string {
	for _, p := range sim.apiServer.live.pools.list() {
		for _, n := range sim.apiServer.live.members(p.Name) {
			if sim.rendered.content(n.Annotations[currentConfig]).otherConfig != sim.rendered.content(p.Spec.Configuration.Name).otherConfig {
				return "other changes are queued in pool " + p.Name
			}
		}
	}
	return ""
}
