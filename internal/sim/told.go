package sim

import (
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// allowed is how many nodes of the pool may be under way at once (I1): what the user asks for, and no more than the pool had before; of
// the control plane one. Where somebody has changed the pool's own limit, or nodes came and went, the larger of what may have been seen.
func (c *checker) allowed(r *custom, p *mcfgv1.MachineConfigPool) int {
	if p.Name == "master" {
		return 1
	}
	own := func(text string, nodes int) int {
		q := &mcfgv1.MachineConfigPool{}
		q.Spec.MaxUnavailable = parsed(text)
		return maxUnavailable(q, nodes)
	}
	nodes := len(c.w.api.live.members(p.Name))
	if c.w.faults.hit["node-deleted"]+c.w.faults.hit["node-added"] > 0 {
		nodes++
	}
	limit := own(c.prior[p.Name].maxUnavailable, nodes)
	if c.w.faults.meddled[p.Name] {
		for _, rec := range r.status.Record.Pools {
			if rec.Name == p.Name {
				limit = max(limit, own(rec.MaxUnavailable, nodes))
			}
		}
	}
	return min(limit, max(1, r.view.AtOnce))
}

// told judges that the operator gives a node its configuration, at the moment of the write.
func (c *checker) told(n *corev1.Node, target string) {
	p, ok := c.w.api.live.pools.get(poolOf(n))
	if !ok {
		c.violate("I4", "node %s is told to run %s, and has no pool", n.Name, target)
		return
	}
	what := "node " + n.Name + " is told to run " + target
	ledger, _ := pool.ReadLedger(p)
	switch {
	case ledger == nil || ledger.Release == nil:
		if c.w.faults.hit["ledger-removed"] == 0 {
			c.violate("I5", "%s, and pool %s does not say so", what, p.Name)
		}
		return
	case !slices.Contains(ledger.Release.Nodes, n.Name) || ledger.Release.Target != target:
		c.violate("I5", "%s, and pool %s says %+v", what, p.Name, *ledger.Release)
	case !p.Spec.Paused && c.w.faults.unpaused[p.Name] == 0:
		c.violate("I14", "%s while pool %s is not paused", what, p.Name)
	case p.Spec.Configuration.Name != target && !c.recent(c.rendered[p.Name]):
		c.violate("I12", "%s, and pool %s is rendered as %s", what, p.Name, p.Spec.Configuration.Name)
	case !done(n) || unavailable(n):
		c.violate("I1", "%s, and it is not at rest", what)
	}
	r, ok := c.w.api.customs.get(ledger.Rollout)
	if at, forced := c.force[ledger.Rollout]; !ok && forced && c.recent(at) {
		return // it went between the look and the write
	}
	if !ok {
		c.violate("I4", "%s for SafeMirrorRollout %s, which is gone", what, ledger.Rollout)
		return
	}
	c.intended(r, n.Name, target, what)
	c.batch(r, p, n, ledger.Release)
	c.still(p.Name, releaseKey(p, ledger.Release), r, what)
	c.sets(r, what)
	c.unproven(ledger.Rollout, target, what)
	if since, back := c.back[ledger.Rollout]; back && !c.leadsBack(ledger.Rollout, p) && c.w.age(since) > 3*glance {
		c.violate("I10", "%s, which is rolled back since %s", what, c.w.age(since))
	}
	c.onlyOne(r)
}

// intended: the node is on record before it is told (I4).
func (c *checker) intended(r *custom, node, target, what string) {
	intent := r.status.Record.Release
	_, lost := c.lost[r.view.Name]
	switch {
	case lost, c.leaders() > 1:
	case intent == nil || !slices.Contains(intent.TargetNodes, node) || intent.TargetConfig != target:
		c.violate("I4", "%s, and what is on record is %+v", what, intent)
	}
}

// batch holds the release against what is allowed at once (I1).
func (c *checker) batch(r *custom, p *mcfgv1.MachineConfigPool, n *corev1.Node, release *rollout.Pulse) {
	if most := c.allowed(r, p); len(release.Nodes) > most {
		c.violate("I1", "%d nodes of pool %s are released at once, and %d are allowed", len(release.Nodes), p.Name, most)
	}
	c.moves(p, n, release, 0) // the pool is never open, so nobody else's room counts
}
