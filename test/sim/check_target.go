package sim

import (
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// maxConcurrent is how many nodes of the pool may be updating at once (I1): the user's limit, and
// no more than the pool's previous one; one of the control plane. Where somebody has changed
// the pool's own limit, or nodes came and went, the larger of what may have been seen.
func (c *checker) maxConcurrent(r *rolloutObject, p *mcfgv1.MachineConfigPool) int {
	if p.Name == "master" {
		return 1
	}
	own := func(text string, nodes int) int {
		q := &mcfgv1.MachineConfigPool{}
		q.Spec.MaxUnavailable = parseMaxUnavailable(text)
		return maxUnavailable(q, nodes)
	}
	nodes := len(c.sim.apiServer.live.members(p.Name))
	if c.sim.faults.happened["node-deleted"]+c.sim.faults.happened["node-added"] > 0 {
		nodes++
	}
	limit := own(c.prior[p.Name].maxUnavailable, nodes)
	if c.sim.faults.editedByUser[p.Name] {
		for _, rec := range r.status.Record.Pools {
			if rec.Name == p.Name {
				limit = max(limit, own(rec.MaxUnavailable, nodes))
			}
		}
	}
	return min(limit, max(1, r.spec.MaxConcurrent))
}

// checkNodeTarget judges that the operator gives a node its configuration, at the moment of the
// write.
func (c *checker) checkNodeTarget(n *corev1.Node, target string) {
	p, ok := c.sim.apiServer.live.pools.get(poolNameOf(n))
	if !ok {
		c.violate("I4", "node %s is assigned %s, and has no pool", n.Name, target)
		return
	}
	what := "node " + n.Name + " is assigned " + target
	ledger, _ := pool.ReadPauseRecord(p)
	switch {
	case ledger == nil || ledger.Release == nil:
		if c.sim.faults.happened["ledger-removed"] == 0 {
			c.violate("I5", "%s, and pool %s does not say so", what, p.Name)
		}
		return
	case !slices.Contains(ledger.Release.Nodes, n.Name) || ledger.Release.Target != target:
		c.violate("I5", "%s, and pool %s says %+v", what, p.Name, *ledger.Release)
	case !p.Spec.Paused && c.sim.faults.unpaused[p.Name] == 0:
		c.violate("I14", "%s while pool %s is not paused", what, p.Name)
	case p.Spec.Configuration.Name != target && !c.recent(c.rendered[p.Name]):
		c.violate("I12", "%s, and pool %s is rendered as %s", what, p.Name, p.Spec.Configuration.Name)
	case !done(n) || unavailable(n):
		c.violate("I1", "%s, and it is not at rest", what)
	}
	r, ok := c.sim.apiServer.rollouts.get(ledger.Rollout)
	if at, forced := c.finalizerForced[ledger.Rollout]; !ok && forced && c.recent(at) {
		return // it went between the look and the write
	}
	if !ok {
		c.violate("I4", "%s for SafeMirrorRollout %s, which is gone", what, ledger.Rollout)
		return
	}
	c.checkIntent(r, n.Name, target, what)
	c.checkBatchSize(r, p, n, ledger.Release)
	c.checkQuiet(p.Name, releaseKey(p, ledger.Release), r, what)
	c.checkMirrorSets(r, what)
	c.checkProofs(ledger.Rollout, target, what)
	if since, back := c.rollbackSince[ledger.Rollout]; back && !c.isPreviousConfig(ledger.Rollout, p) &&
		c.sim.age(since) > 3*reactionTime {
		c.violate("I10", "%s, which is rolled back since %s", what, c.sim.age(since))
	}
	c.checkOneRollout(r)
}

// checkIntent: the node is on record before it is assigned a configuration (I4).
func (c *checker) checkIntent(r *rolloutObject, node, target, what string) {
	intent := r.status.Record.Release
	_, lost := c.statusLost[r.spec.Name]
	switch {
	case lost, c.leaders() > 1:
	case intent == nil || !slices.Contains(intent.TargetNodes, node) || intent.TargetConfig != target:
		c.violate("I4", "%s, and what is on record is %+v", what, intent)
	}
}

// checkBatchSize holds the release against what is allowed at once (I1).
func (c *checker) checkBatchSize(r *rolloutObject, p *mcfgv1.MachineConfigPool, n *corev1.Node,
	release *rollout.UnpauseWindow) {
	if most := c.maxConcurrent(r, p); len(release.Nodes) > most {
		c.violate("I1", "%d nodes of pool %s are released at once, and %d are allowed", len(release.Nodes),
			p.Name, most)
	}
	c.recordUpdate(p, n, release, 0) // the pool is never open, so only this release counts
}
