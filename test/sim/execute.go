package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// actionRefused is the outcome of an action that a fresh look no longer asks for.
type actionRefused struct{ why string }

func (r *actionRefused) Error() string { return r.why }

// unknownAction is an action of which the simulator knows nothing. A run that meets one fails.
type unknownAction struct{ action rollout.Action }

func (u *unknownAction) Error() string {
	return fmt.Sprintf("rollout asks for the action %s (%T), of which the simulator knows nothing: model it in test/sim/execute.go", u.action.Key(), u.action)
}

// execute carries out one action as internal/execute does: before a disruptive one the same
// decision is made once more on a fresh look, and its action is taken as that look has it. Between
// that look and the write others may write, too.
func (p *process) execute(c *rolloutObject, a rollout.Action, then func(error)) {
	if !a.Disruptive() {
		then(p.perform(c, a))
		return
	}
	fresh, b, err := p.stillSafe(c, a)
	if err != nil {
		then(err)
		return
	}
	p.later(p.sim.between(time.Millisecond, 40*time.Millisecond), func() {
		if t, ok := b.(rollout.TargetNodes); ok {
			p.targetNodes(t, then)
			return
		}
		then(p.perform(fresh, b))
	})
}

func (p *process) stillSafe(c *rolloutObject, a rollout.Action) (*rolloutObject, rollout.Action, error) {
	fresh, ok := p.sim.apiServer.rollouts.get(c.spec.Name)
	if !ok || fresh.spec.Generation != c.spec.Generation {
		return nil, nil, fmt.Errorf("SafeMirrorRollout %s has changed since it was looked at", c.spec.Name)
	}
	o := p.observe(fresh, &p.sim.apiServer.live)
	for _, b := range rollout.Decide(o).Actions {
		if b.Key() == a.Key() {
			if why, safe := rollout.StillSafe(o, b); !safe {
				return nil, nil, fmt.Errorf("%s is decided and is not safe on the same look: %s", b.Key(), why)
			}
			return fresh, b, nil
		}
	}
	why, _ := rollout.StillSafe(o, a)
	p.sim.logf(p.name, "does not %s after all: %s", a.Key(), why)
	return nil, nil, &actionRefused{why}
}

func (p *process) perform(c *rolloutObject, a rollout.Action) error {
	switch a := a.(type) {
	case rollout.EnsureFinalizer:
		return p.setFinalizer(c, true)
	case rollout.RemoveFinalizer:
		return p.setFinalizer(c, false)
	case rollout.SavePrevious:
		return p.savePrevious(c, a)
	case rollout.EnsureTransfers:
		p.engine.ensure(a.Copy, a.NotOlderThan)
		return nil
	case rollout.EnsurePullChecks:
		p.pullChecks.ensure(a.PlanDigest)
		return nil
	case rollout.EnsureCanaryPulls:
		p.ensureCanaryPulls(c, a)
		return nil
	case rollout.RetryFailed:
		p.engine.retryFailed()
		return nil
	case rollout.PausePool:
		return p.patchPool(a.Pool, "pauses pool "+a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
			return pool.Pause(context.Background(), poolClient{p: p}, mcp, a.Record)
		})
	case rollout.ApplyMirrorSets:
		return p.apply(c, false)
	case rollout.FinishMirrorSets:
		return p.apply(c, true)
	case rollout.EnsurePolicy:
		return p.ensurePolicy(c, a)
	case rollout.RestorePolicy:
		return p.restorePolicy(c.spec.Name)
	case rollout.ReleaseNodes:
		return p.release(a)
	case rollout.StepDown:
		return p.stepDown(a)
	case rollout.RestorePool:
		return p.patchPool(a.Pool, "restores pool "+a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
			return pool.Restore(context.Background(), poolClient{p: p}, mcp, a.Paused, a.MaxUnavailable)
		})
	case rollout.RetryMirroring:
		p.engine.proveAgain(a.References, a.Remedy.DecidedAt.Time)
		return nil
	case rollout.DeletePod:
		return p.deletePod(a.Remedy)
	case rollout.Cordon:
		return p.cordon(c, a.Remedy)
	case rollout.Uncordon:
		return p.uncordon(a.Remedy)
	default:
		err := &unknownAction{a}
		p.sim.checker.violate("model", "%v", err)
		return err
	}
}

func (p *process) ensureCanaryPulls(c *rolloutObject, a rollout.EnsureCanaryPulls) {
	if a.CleanUp {
		p.canaryPulls.cleanUp()
		return
	}
	o := p.observe(c, p.cache.objects)
	pools, _ := o.Pools.Get()
	p.canaryPulls.ensure(a.PlanDigest, pools)
}

// patchPool reads the pool past the cache, so that the patch carries its newest version.
func (p *process) patchPool(name, what string, do func(*mcfgv1.MachineConfigPool) error) error {
	mcp, ok := p.sim.apiServer.live.pools.get(name)
	if !ok {
		return fmt.Errorf("MachineConfigPool %s is gone", name)
	}
	if p.conflicts() {
		p.sim.apiServer.editPool("gitops", name, func(mcp *mcfgv1.MachineConfigPool) {
			if mcp.Annotations == nil {
				mcp.Annotations = map[string]string{}
			}
			mcp.Annotations["sim/touched"] = p.sim.now.Format(time.TimeOnly)
		})
	}
	err := do(mcp)
	var other *pool.NotOwnedError
	if errors.As(err, &other) {
		return &actionRefused{other.Why}
	}
	if err == nil {
		p.sim.logf(p.name, "%s", what)
	}
	return err
}

func (p *process) release(a rollout.ReleaseNodes) error {
	what := fmt.Sprintf("opens pool %s for one node, with room for %d unavailable", a.Pool, a.MaxUnavailable)
	if n := a.Record.Release.Size; n > 1 {
		what = fmt.Sprintf("opens pool %s for %d nodes, with room for %d unavailable", a.Pool, n, a.MaxUnavailable)
	}
	return p.patchPool(a.Pool, what, func(mcp *mcfgv1.MachineConfigPool) error {
		if mcp.Spec.Configuration.Name != a.Record.Release.Target {
			return &actionRefused{"the pool has been rendered anew"}
		}
		return pool.Unpause(context.Background(), poolClient{p: p}, mcp, a.Record, a.MaxUnavailable)
	})
}

func (p *process) apply(c *rolloutObject, finish bool) error {
	sets, wanted := p.observeSets(c, &p.sim.apiServer.live)
	todo := func(s rollout.SetState) bool {
		return s == rollout.SetMissing || s == rollout.SetDiffers || s == rollout.SetLeftOver
	}
	if !todo(sets.ITMS) && !todo(sets.IDMS) {
		return nil
	}
	if finish {
		p.sim.logf(p.name, "finishes what is half written")
	} else {
		p.sim.checker.checkApply(c, wanted)
	}
	return p.writeSets(c, wanted, sets)
}

// setFinalizer carries the version of the rollout that was read.
func (p *process) setFinalizer(c *rolloutObject, on bool) error {
	now, ok := p.sim.apiServer.rollouts.get(c.spec.Name)
	if !ok {
		return nil
	}
	if now.version != c.version || p.conflicts() {
		return &actionRefused{"the rollout has been written meanwhile"}
	}
	if now.spec.Finalizer == on {
		return nil
	}
	return p.write(func() error {
		p.sim.checker.checkFinalizer(c, on)
		p.sim.apiServer.editRollout(c.spec.Name, func(c *rolloutObject) { c.spec.Finalizer = on })
		return nil
	})
}
