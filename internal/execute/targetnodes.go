package execute

import (
	"context"
	"errors"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// targetNodes writes the batch on the pool's pause record, and then tells its nodes one after
// another. Each of them is read past the caches first. The first that cannot be told ends it: those
// that were told before are followed, the others come with the next batch.
func (e *Executor) targetNodes(ctx context.Context, a rollout.TargetNodes) error {
	err := e.updatePool(ctx, a.Pool, func(mcp *mcfgv1.MachineConfigPool) error {
		if mcp.Spec.Configuration.Name != a.Target {
			return &Refused{Action: a.Key(), Why: "the pool has a new rendered MachineConfig"}
		}
		return pool.RecordTargets(ctx, e.Client, mcp, a.Record)
	})
	if err != nil {
		return err
	}
	for _, name := range a.Nodes {
		if err := e.Fence.Check(ctx, a.Key()); err != nil {
			return err // a batch of many nodes takes a while
		}
		if err := e.targetNode(ctx, a, name); err != nil {
			return err
		}
	}
	return nil
}

func (e *Executor) targetNode(ctx context.Context, a rollout.TargetNodes, name string) error {
	n := &corev1.Node{}
	if err := e.API.Get(ctx, client.ObjectKey{Name: name}, n); err != nil {
		return fmt.Errorf("reading Node %s: %w", name, err)
	}
	err := pool.SetDesiredConfig(ctx, e.Client, n, a.Target)
	var busy *pool.NodeBusyError
	if errors.As(err, &busy) {
		return &Refused{Action: a.Key(), Why: busy.Error()}
	}
	return err
}

// stepDown hands the lead over. The process ends; its node is drained when another one leads.
func (e *Executor) stepDown(a rollout.StepDown) error {
	if e.StepDown == nil {
		return &Refused{Action: a.Key(), Why: "leader election is off, so no other replica can take over"}
	}
	e.StepDown()
	return nil
}
