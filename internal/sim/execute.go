package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// refused is the outcome of an action that a fresh look no longer asks for.
type refused struct{ why string }

func (r *refused) Error() string { return r.why }

// unknown is an action of which the simulator knows nothing. A run that meets one fails.
type unknown struct{ action rollout.Action }

func (u *unknown) Error() string {
	return fmt.Sprintf("rollout asks for the action %s (%T), of which the simulator knows nothing: model it in internal/sim/execute.go", u.action.Key(), u.action)
}

// execute carries out one action as internal/execute does: before a disruptive one the same decision is made once more on a fresh look,
// and its action is taken as that look has it. Between that look and the write others may write, too.
func (p *process) execute(c *custom, a rollout.Action, then func(error)) {
	if !a.Disruptive() {
		then(p.do(c, a))
		return
	}
	fresh, b, err := p.stillSafe(c, a)
	if err != nil {
		then(err)
		return
	}
	p.later(p.w.between(time.Millisecond, 40*time.Millisecond), func() {
		if t, ok := b.(rollout.TargetNodes); ok {
			p.target(t, then)
			return
		}
		then(p.do(fresh, b))
	})
}

func (p *process) stillSafe(c *custom, a rollout.Action) (*custom, rollout.Action, error) {
	fresh, ok := p.w.api.customs.get(c.view.Name)
	if !ok || fresh.view.Generation != c.view.Generation {
		return nil, nil, fmt.Errorf("SafeMirrorRollout %s has changed since it was looked at", c.view.Name)
	}
	o := p.observe(fresh, &p.w.api.live)
	for _, b := range rollout.Decide(o).Actions {
		if b.Key() == a.Key() {
			if why, safe := rollout.StillSafe(o, b); !safe {
				return nil, nil, fmt.Errorf("%s is decided and is not safe on the same look: %s", b.Key(), why)
			}
			return fresh, b, nil
		}
	}
	why, _ := rollout.StillSafe(o, a)
	p.w.tell(p.name, "does not %s after all: %s", a.Key(), why)
	return nil, nil, &refused{why}
}

func (p *process) do(c *custom, a rollout.Action) error {
	switch a := a.(type) {
	case rollout.EnsureFinalizer:
		return p.finalizer(c, true)
	case rollout.RemoveFinalizer:
		return p.finalizer(c, false)
	case rollout.SavePrevious:
		return p.savePrevious(c, a)
	case rollout.EnsureTransfers:
		p.engine.ensure(a.Copy, a.NotOlderThan)
		return nil
	case rollout.EnsureProbes:
		p.probes.ensure(a.Plan)
		return nil
	case rollout.EnsureCanary:
		if a.Sweep {
			p.birds.sweep()
			return nil
		}
		o := p.observe(c, p.cache.seen)
		pools, _ := o.Pools.Get()
		p.birds.ensure(a.Plan, pools)
		return nil
	case rollout.TryAgain:
		p.engine.again()
		return nil
	case rollout.PausePool:
		return p.onPool(a.Pool, "pauses pool "+a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
			return pool.Pause(context.Background(), poolClient{p: p}, mcp, a.Ledger)
		})
	case rollout.ApplyMirrorSets:
		return p.apply(c, false)
	case rollout.FinishMirrorSets:
		return p.apply(c, true)
	case rollout.EnsurePolicy:
		return p.ensurePolicy(c, a)
	case rollout.RestorePolicy:
		return p.restorePolicy(c.view.Name)
	case rollout.ReleaseOne:
		return p.release(a)
	case rollout.StepDown:
		return p.stepDown(a)
	case rollout.RestorePool:
		return p.onPool(a.Pool, "gives back pool "+a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
			return pool.Restore(context.Background(), poolClient{p: p}, mcp, a.Paused, a.MaxUnavailable)
		})
	case rollout.MirrorAgain:
		p.engine.recheck(a.References, a.Remedy.DecidedAt.Time)
		return nil
	case rollout.DeletePod:
		return p.deletePod(a.Remedy)
	case rollout.Cordon:
		return p.cordon(c, a.Remedy)
	case rollout.Uncordon:
		return p.uncordon(a.Remedy)
	default:
		err := &unknown{a}
		p.w.check.violate("model", "%v", err)
		return err
	}
}

// onPool reads the pool past the cache, so that the patch carries its newest version.
func (p *process) onPool(name, what string, do func(*mcfgv1.MachineConfigPool) error) error {
	mcp, ok := p.w.api.live.pools.get(name)
	if !ok {
		return fmt.Errorf("MachineConfigPool %s is gone", name)
	}
	if p.quicker() {
		p.w.api.editPool("gitops", name, func(mcp *mcfgv1.MachineConfigPool) {
			if mcp.Annotations == nil {
				mcp.Annotations = map[string]string{}
			}
			mcp.Annotations["sim/touched"] = p.w.now.Format(time.TimeOnly)
		})
	}
	err := do(mcp)
	var other *pool.NotOurs
	if errors.As(err, &other) {
		return &refused{other.Why}
	}
	if err == nil {
		p.w.tell(p.name, "%s", what)
	}
	return err
}

func (p *process) release(a rollout.ReleaseOne) error {
	what := fmt.Sprintf("opens pool %s for one node, with room for %d unavailable", a.Pool, a.MaxUnavailable)
	if n := a.Ledger.Release.Size; n > 1 {
		what = fmt.Sprintf("opens pool %s for %d nodes, with room for %d unavailable", a.Pool, n, a.MaxUnavailable)
	}
	return p.onPool(a.Pool, what, func(mcp *mcfgv1.MachineConfigPool) error {
		if mcp.Spec.Configuration.Name != a.Ledger.Release.Target {
			return &refused{"the pool has been rendered anew"}
		}
		return pool.Open(context.Background(), poolClient{p: p}, mcp, a.Ledger, a.MaxUnavailable)
	})
}

func (p *process) apply(c *custom, finish bool) error {
	sets, wanted := p.setsOf(c, &p.w.api.live)
	todo := func(s rollout.SetState) bool {
		return s == rollout.SetMissing || s == rollout.SetDiffers || s == rollout.SetLeftOver
	}
	if !todo(sets.Tag) && !todo(sets.Digest) {
		return nil
	}
	if finish {
		p.w.tell(p.name, "finishes what is half written")
	} else {
		p.w.check.applies(c, wanted)
	}
	return p.writeSets(c, wanted, sets)
}

// finalizer carries the version of the rollout that was read.
func (p *process) finalizer(c *custom, on bool) error {
	now, ok := p.w.api.customs.get(c.view.Name)
	if !ok {
		return nil
	}
	if now.version != c.version || p.quicker() {
		return &refused{"the rollout has been written meanwhile"}
	}
	if now.view.Finalizer == on {
		return nil
	}
	return p.write(func() error {
		p.w.check.finalizer(c, on)
		p.w.api.editCustom(c.view.Name, func(c *custom) { c.view.Finalizer = on })
		return nil
	})
}
