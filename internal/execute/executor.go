package execute

import (
	"context"
	"errors"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Executor acts on a cluster.
type Executor struct {
	Client client.Client
	// API reads past the caches.
	API      client.Reader
	Observer *observe.Observer
	// Transfers and PullChecks are what this executor starts beside the reconciler. Observe reads
	// them.
	Transfers  *Transfers
	PullChecks *PullChecks
	// Fence checks before each write that this process is the leader; nil without a leader election.
	Fence *Fence
	// StepDown ends this process in good order, so that another replica leads; nil without a leader
	// election.
	StepDown func()
}

// Refused is the outcome of an action that was decided on a view that no longer holds. It is no
// failure: the next look decides anew.
type Refused struct{ Action, Why string }

func (r *Refused) Error() string { return r.Action + " was not carried out: " + r.Why }

// Execute carries out one action.
func (e *Executor) Execute(ctx context.Context, obs *observe.Observation, a rollout.Action) error {
	if a.Disruptive() {
		fresh, action, err := e.revalidate(ctx, obs, a)
		if err != nil {
			return err
		}
		obs, a = fresh, action
	}
	// After the fresh reads, which can take long: the lease is the last thing that is read.
	if err := e.checkFence(ctx, a); err != nil {
		return err
	}
	switch a := a.(type) {
	case rollout.EnsureFinalizer:
		return e.ensureFinalizer(ctx, obs)
	case rollout.RemoveFinalizer:
		return e.removeFinalizer(ctx, obs)
	case rollout.SavePrevious:
		return e.savePrevious(ctx, obs, a)
	case rollout.EnsureTransfers:
		e.Transfers.Start(obs, a.Copy, a.NotOlderThan)
		return nil
	case rollout.EnsurePullChecks:
		return e.probe(ctx, obs)
	case rollout.EnsureCanaryPulls:
		return e.canary(ctx, obs, a.CleanUp)
	case rollout.RetryFailed:
		e.retryFailed()
		return nil
	case rollout.PausePool:
		return e.updatePool(ctx, a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
			return pool.Pause(ctx, e.Client, mcp, a.Record)
		})
	case rollout.EnsurePolicy:
		return e.updatePolicy(ctx, a.Key(), func(mc *opv1.MachineConfiguration) error {
			return nodedisruption.Ensure(ctx, e.Client, mc, a.Record)
		})
	case rollout.RestorePolicy:
		return e.updatePolicy(ctx, a.Key(), func(mc *opv1.MachineConfiguration) error {
			return nodedisruption.Restore(ctx, e.Client, mc, obs.Rollout.Name)
		})
	case rollout.ApplyMirrorSets, rollout.FinishMirrorSets:
		return e.applyMirrorSets(ctx, obs)
	case rollout.ReleaseNodes:
		return e.releaseNodes(ctx, a)
	case rollout.TargetNodes:
		return e.targetNodes(ctx, a)
	case rollout.StepDown:
		return e.stepDown(a)
	case rollout.RestorePool:
		return e.updatePool(ctx, a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
			return pool.Restore(ctx, e.Client, mcp, a.Paused, a.MaxUnavailable)
		})
	default:
		return e.remediate(ctx, obs, a)
	}
}

// revalidate looks again, past the caches, and takes the action as the fresh look has it: the same
// key, with the values of now.
func (e *Executor) revalidate(ctx context.Context, obs *observe.Observation, a rollout.Action) (*observe.Observation,
	rollout.Action, error) {
	fresh, err := e.Observer.Refresh(ctx, obs)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the cluster again before %s: %w", a.Key(), err)
	}
	for _, b := range rollout.Decide(fresh.Observed).Actions {
		if b.Key() == a.Key() {
			return fresh, b, nil
		}
	}
	why, _ := rollout.StillSafe(fresh.Observed, a)
	log.FromContext(ctx).Info("not done: the cluster has changed since it was decided", "action", a.Key(), "why", why)
	return nil, nil, &Refused{Action: a.Key(), Why: why}
}

// updatePool reads the pool past the caches, so that the patch carries the newest resourceVersion
// and nobody's edit is lost.
func (e *Executor) updatePool(ctx context.Context, name string, do func(*mcfgv1.MachineConfigPool) error) error {
	mcp := &mcfgv1.MachineConfigPool{}
	if err := e.API.Get(ctx, client.ObjectKey{Name: name}, mcp); err != nil {
		return fmt.Errorf("reading MachineConfigPool %s: %w", name, err)
	}
	err := do(mcp)
	var other *pool.NotOwnedError
	if errors.As(err, &other) {
		return &Refused{Action: "patching MachineConfigPool " + name, Why: other.Why}
	}
	return err
}

// updatePolicy reads MachineConfiguration/cluster past the caches, so that the patch carries its
// newest resourceVersion.
func (e *Executor) updatePolicy(ctx context.Context, action string, do func(*opv1.MachineConfiguration) error) error {
	mc := &opv1.MachineConfiguration{}
	if err := e.API.Get(ctx, client.ObjectKey{Name: nodedisruption.Name}, mc); err != nil {
		return fmt.Errorf("reading MachineConfiguration %s: %w", nodedisruption.Name, err)
	}
	err := do(mc)
	var other *nodedisruption.NotOwnedError
	if errors.As(err, &other) {
		return &Refused{Action: action, Why: other.Why}
	}
	return err
}

// releaseNodes unpauses the pool. The fence has made sure that this process leads for longer than it
// takes to observe the node and pause the pool again (R1). Should it die all the same, any replica
// pauses the pool past its deadline.
func (e *Executor) releaseNodes(ctx context.Context, a rollout.ReleaseNodes) error {
	return e.updatePool(ctx, a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
		if mcp.Spec.Configuration.Name != a.Record.Release.Target {
			return &Refused{Action: a.Key(), Why: "the pool has a new rendered MachineConfig"}
		}
		return pool.Unpause(ctx, e.Client, mcp, a.Record, a.MaxUnavailable)
	})
}
