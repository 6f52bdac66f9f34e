package execute

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

func (e *Executor) ensureFinalizer(ctx context.Context, obs *observe.Observation) error {
	after := obs.Rollout.DeepCopy()
	if !controllerutil.AddFinalizer(after, rollout.Finalizer) {
		return nil
	}
	return e.patchRollout(ctx, obs, after)
}

func (e *Executor) removeFinalizer(ctx context.Context, obs *observe.Observation) error {
	after := obs.Rollout.DeepCopy()
	if !controllerutil.RemoveFinalizer(after, rollout.Finalizer) {
		return nil
	}
	if err := e.dropRevisions(ctx, obs, ""); err != nil {
		return err
	}
	return client.IgnoreNotFound(e.patchRollout(ctx, obs, after))
}

// patchRollout carries the resourceVersion: the list of finalizers is replaced as a whole, and
// another controller's must not be lost with it.
func (e *Executor) patchRollout(ctx context.Context, obs *observe.Observation, after client.Object) error {
	patch := client.MergeFromWithOptions(obs.Rollout, client.MergeFromWithOptimisticLock{})
	return e.Client.Patch(ctx, after, patch, client.FieldOwner(pool.FieldManager))
}
