package execute

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

func (e *Executor) ensureFinalizer(ctx context.Context, w *observe.World) error {
	after := w.Rollout.DeepCopy()
	if !controllerutil.AddFinalizer(after, rollout.Finalizer) {
		return nil
	}
	return e.patchRollout(ctx, w, after)
}

func (e *Executor) removeFinalizer(ctx context.Context, w *observe.World) error {
	after := w.Rollout.DeepCopy()
	if !controllerutil.RemoveFinalizer(after, rollout.Finalizer) {
		return nil
	}
	if err := e.dropRevisions(ctx, w, ""); err != nil {
		return err
	}
	return client.IgnoreNotFound(e.patchRollout(ctx, w, after))
}

// patchRollout carries the resourceVersion: the list of finalizers is replaced as a whole, and another controller's must not be
// lost with it.
func (e *Executor) patchRollout(ctx context.Context, w *observe.World, after client.Object) error {
	patch := client.MergeFromWithOptions(w.Rollout, client.MergeFromWithOptimisticLock{})
	return e.Client.Patch(ctx, after, patch, client.FieldOwner(pool.FieldManager))
}
