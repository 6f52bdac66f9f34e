package sim

import (
	"cmp"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// policyObject is MachineConfiguration/cluster, as far as registries.conf is concerned. An entry is "reload", "drain", or empty for none.
type policyObject struct {
	generation, observed int64
	entry, effective     string
	ledger               *rollout.PolicyLedger
	by                   string
}

const reloads = "reload"

// writePolicy changes the object. The Machine Config Operator puts it into effect a while later, when nothing else keeps it busy.
func (a *api) writePolicy(by, entry string, ledger *rollout.PolicyLedger) {
	a.next()
	p := &a.policy
	p.ledger = ledger
	if p.entry == entry {
		return
	}
	p.entry, p.by = entry, by
	p.generation++
	generation := p.generation
	a.w.after(a.w.between(500*time.Millisecond, 6*time.Second), func() {
		if p.generation == generation {
			p.observed, p.effective = generation, entry
			a.w.stirs()
			for _, proc := range a.w.procs {
				if proc.alive {
					proc.wake(soon)
				}
			}
			a.w.pokeAll()
		}
	})
}

// pokeAll lets daemons look that wait for the policy.
func (w *World) pokeAll() {
	for _, name := range w.api.live.nodes.names {
		if d := w.nodes[name]; d != nil && !d.gone {
			d.poke()
		}
	}
}

// policy is what the operator sees of it.
func (p *process) policy(name string) rollout.Policy {
	o := p.w.api.policy
	out := rollout.Policy{Generation: o.generation, ObservedGeneration: o.observed, Reloads: o.effective == reloads, Effective: cmp.Or(o.effective, "a drain for most changes"),
		Entry: o.entry, Ours: o.entry == reloads, ChangedBy: o.by}
	switch {
	case o.ledger != nil && o.ledger.Rollout == name:
		out.Ledger = o.ledger
	case o.ledger != nil:
		out.Foreign = o.ledger.Rollout
	}
	return out
}

// ensurePolicy is internal/disruption.Ensure.
func (p *process) ensurePolicy(c *custom, a rollout.EnsurePolicy) error {
	have := p.policy(c.view.Name)
	switch {
	case have.Foreign != "", !have.Ours && have.Entry != a.Ledger.Prior:
		return &refused{"the policy has changed meanwhile"}
	case have.Ledger != nil && have.Ours:
		return nil
	}
	return p.write(func() error {
		p.w.check.policed(c, a)
		p.w.tell(p.name, "writes the policy by which nodes reload")
		ledger := a.Ledger
		p.w.api.writePolicy(p.name, reloads, &ledger)
		return nil
	})
}

// restorePolicy is internal/disruption.Restore.
func (p *process) restorePolicy(name string) error {
	have := p.policy(name)
	if have.Ledger == nil {
		return nil
	}
	entry := have.Ledger.Prior
	if !have.Ours {
		entry = have.Entry
	}
	return p.write(func() error {
		p.w.check.policyRestored(name, have.Ours)
		p.w.tell(p.name, "gives back the policy of before: %q", entry)
		p.w.api.writePolicy(p.name, entry, nil)
		return nil
	})
}

// inEffect tells whether the Machine Config Operator has put the newest policy into effect; a daemon waits for that.
func (p *policyObject) inEffect() bool { return p.observed == p.generation }

// reload tells whether the node only reloads for the target.
func (d *daemon) reload(from, target string) bool {
	return d.w.api.policy.effective == reloads && d.w.renderings.content(from).other == d.w.renderings.content(target).other
}

// policed judges that the policy is written: what was there before is on record (I4), and no node is on its way.
func (c *checker) policed(r *custom, a rollout.EnsurePolicy) {
	now, ok := c.w.api.customs.get(r.view.Name)
	if !ok {
		c.violate("I4", "the policy of SafeMirrorRollout %s is written, which is gone", r.view.Name)
		return
	}
	rec := now.status.Record.NodeDisruptionPolicy
	if _, lost := c.lost[r.view.Name]; !lost && (rec == nil || rec.Restored || rec.Previous != a.Ledger.Prior) {
		c.violate("I4", "the policy is written, and what was there before is on record as %+v", rec)
	}
	c.unfinished("the policy is written")
}

// policyRestored judges that the policy is given back: a node that is on its way would be drained.
func (c *checker) policyRestored(name string, ours bool) {
	for _, n := range c.w.api.live.nodes.list() {
		m, moves := c.movers[n.Name]
		if ours && moves && m.release != "" && !done(n) && !c.recent(m.at) {
			c.violate("policy", "the policy of before is given back for %s while node %s is on its way", name, n.Name)
		}
	}
}

// drains judges that a node is drained although the user wants it to reload.
func (c *checker) drains(d *daemon, from, target string) {
	if c.w.faults.hit["policy-edited"] > 0 || c.w.renderings.content(from).other != c.w.renderings.content(target).other {
		return
	}
	m, moves := c.movers[d.name]
	for _, r := range c.w.api.customs.list() {
		if r.view.Reload && moves && m.rollout == r.view.Name {
			c.violate("policy", "node %s is drained for %s, and %s wants it to reload", d.name, target, r.view.Name)
		}
	}
}

// policyAsBefore: at the end the policy is what it was, unless somebody else has changed it.
func (c *checker) policyAsBefore() {
	p := c.w.api.policy
	if p.ledger != nil || (c.w.faults.hit["policy-edited"] == 0 && p.entry != c.w.scenario.Policy) {
		c.violate("I5", "the policy for registries.conf is left as %q, with ledger %v, and was %q", p.entry, p.ledger, c.w.scenario.Policy)
	}
}

// orphanedPolicy gives back the policy of a rollout that is gone; see controllers/orphanedpolicy.go.
func (p *process) orphanedPolicy() {
	ledger := p.w.api.policy.ledger
	if ledger == nil {
		return
	}
	if _, there := p.w.api.customs.get(ledger.Rollout); there {
		return
	}
	for _, mcp := range p.w.api.live.pools.list() {
		l, _ := pool.ReadLedger(mcp)
		if p.w.moves() || (openPulse(l) != nil && !mcp.Spec.Paused) {
			p.schedule("", time.Minute)
			return
		}
	}
	_ = p.restorePolicy(ledger.Rollout) // the next look tries again
}
