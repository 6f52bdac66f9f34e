package sim

import (
	"cmp"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// policyObject is MachineConfiguration/cluster, as far as registries.conf is concerned. An entry is
// "reload", "drain", or empty for none.
type policyObject struct {
	generation, observedGeneration int64
	entry, effective               string
	record                         *rollout.PolicyRecord
	changedBy                      string
}

const policyReload = "reload"

// writePolicy changes the object. The Machine Config Operator puts it into effect a while later,
// when nothing else keeps it busy.
func (a *apiServer) writePolicy(by, entry string, ledger *rollout.PolicyRecord) {
	a.nextVersion()
	p := &a.policy
	p.record = ledger
	if p.entry == entry {
		return
	}
	p.entry, p.changedBy = entry, by
	p.generation++
	generation := p.generation
	a.sim.after(a.sim.between(500*time.Millisecond, 6*time.Second), func() {
		if p.generation == generation {
			p.observedGeneration, p.effective = generation, entry
			a.sim.markChanged()
			for _, proc := range a.sim.processes {
				if proc.alive {
					proc.wake(minRequeue)
				}
			}
			a.sim.syncDaemons()
		}
	})
}

// syncDaemons lets daemons look that wait for the policy.
func (sim *Simulation) syncDaemons() {
	for _, name := range sim.apiServer.live.nodes.names {
		if d := sim.nodes[name]; d != nil && !d.gone {
			d.sync()
		}
	}
}

// observePolicy is what the operator sees of it.
func (p *process) observePolicy(name string) rollout.NodeDisruptionPolicy {
	o := p.sim.apiServer.policy
	out := rollout.NodeDisruptionPolicy{Generation: o.generation, ObservedGeneration: o.observedGeneration,
		Reloads: o.effective == policyReload, Effective: cmp.Or(o.effective, "a drain for most changes"),
		Entry: o.entry, Ours: o.entry == policyReload, ChangedBy: o.changedBy}
	switch {
	case o.record != nil && o.record.Rollout == name:
		out.Record = o.record
	case o.record != nil:
		out.ForeignOwner = o.record.Rollout
	}
	return out
}

// ensurePolicy is internal/openshift/nodedisruption.Ensure.
func (p *process) ensurePolicy(c *rolloutObject, a rollout.EnsurePolicy) error {
	have := p.observePolicy(c.spec.Name)
	switch {
	case have.ForeignOwner != "", !have.Ours && have.Entry != a.Record.Prior:
		return &actionRefused{"the policy has changed meanwhile"}
	case have.Record != nil && have.Ours:
		return nil
	}
	return p.write(func() error {
		p.sim.checker.checkPolicyWrite(c, a)
		p.sim.logf(p.name, "writes the policy by which nodes reload")
		ledger := a.Record
		p.sim.apiServer.writePolicy(p.name, policyReload, &ledger)
		return nil
	})
}

// restorePolicy is internal/openshift/nodedisruption.Restore.
func (p *process) restorePolicy(name string) error {
	have := p.observePolicy(name)
	if have.Record == nil {
		return nil
	}
	entry := have.Record.Prior
	if !have.Ours {
		entry = have.Entry
	}
	return p.write(func() error {
		p.sim.checker.checkPolicyRestore(name, have.Ours)
		p.sim.logf(p.name, "restores the previous policy: %q", entry)
		p.sim.apiServer.writePolicy(p.name, entry, nil)
		return nil
	})
}

// inEffect tells whether the Machine Config Operator has put the newest policy into effect; a
// daemon waits for that.
func (p *policyObject) inEffect() bool { return p.observedGeneration == p.generation }

// onlyReloads tells whether the node only reloads for the target.
func (d *daemon) onlyReloads(from, target string) bool {
	return d.sim.apiServer.policy.effective == policyReload &&
		d.sim.rendered.content(from).otherConfig == d.sim.rendered.content(target).otherConfig
}

// checkPolicyWrite judges that the policy is written: what was there before is on record (I4), and
// no node is on its way.
func (c *checker) checkPolicyWrite(r *rolloutObject, a rollout.EnsurePolicy) {
	now, ok := c.sim.apiServer.rollouts.get(r.spec.Name)
	if !ok {
		c.violate("I4", "the policy of SafeMirrorRollout %s is written, which is gone", r.spec.Name)
		return
	}
	rec := now.status.Record.NodeDisruptionPolicy
	if _, lost := c.statusLost[r.spec.Name]; !lost && (rec == nil || rec.Restored || rec.Previous != a.Record.Prior) {
		c.violate("I4", "the policy is written, and what was there before is on record as %+v", rec)
	}
	c.checkPartialWrite("the policy is written")
}

// checkPolicyRestore checks the restoration of the policy: it would drain a node that is updating.
func (c *checker) checkPolicyRestore(name string, ours bool) {
	for _, n := range c.sim.apiServer.live.nodes.list() {
		m, moves := c.updates[n.Name]
		if ours && moves && m.release != "" && !done(n) && !c.recent(m.at) {
			c.violate("policy", "the previous policy is restored for %s while node %s is updating", name, n.Name)
		}
	}
}

// checkDrain judges that a node is drained although the user wants it to reload.
func (c *checker) checkDrain(d *daemon, from, target string) {
	if c.sim.faults.happened["policy-edited"] > 0 ||
		c.sim.rendered.content(from).otherConfig != c.sim.rendered.content(target).otherConfig {
		return
	}
	m, moves := c.updates[d.name]
	for _, r := range c.sim.apiServer.rollouts.list() {
		if r.spec.Reload && moves && m.rollout == r.spec.Name {
			c.violate("policy", "node %s is drained for %s, and %s wants it to reload", d.name, target, r.spec.Name)
		}
	}
}

// checkPolicyRestored: at the end the policy is what it was, unless somebody else has changed it.
func (c *checker) checkPolicyRestored() {
	p := c.sim.apiServer.policy
	if p.record != nil || (c.sim.faults.happened["policy-edited"] == 0 && p.entry != c.sim.scenario.Policy) {
		c.violate("I5", "the policy for registries.conf is left as %q, with policy record %v, and was %q", p.entry, p.record,
			c.sim.scenario.Policy)
	}
}

// restoreOrphanedPolicy restores the policy of a rollout that is gone; see
// controllers/orphanedpolicy.go.
func (p *process) restoreOrphanedPolicy() {
	ledger := p.sim.apiServer.policy.record
	if ledger == nil {
		return
	}
	if _, there := p.sim.apiServer.rollouts.get(ledger.Rollout); there {
		return
	}
	for _, mcp := range p.sim.apiServer.live.pools.list() {
		l, _ := pool.ReadPauseRecord(mcp)
		if p.sim.nodesUpdating() || (openWindow(l) != nil && !mcp.Spec.Paused) {
			p.schedule("", time.Minute)
			return
		}
	}
	_ = p.restorePolicy(ledger.Rollout) // the next look tries again
}
