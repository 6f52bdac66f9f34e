package controllers

import (
	"context"
	"errors"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
)

// What all that look for orphans have in common: an object carries the note of a rollout, and the
// rollout is gone, because its finalizer was taken off by force. Each knows its own note, and when
// what it tells of can be taken back.

// isGone tells whether there is no such rollout. One of the same name that was created anew takes
// the note over.
func isGone(ctx context.Context, api client.Reader, name string) (bool, error) {
	err := api.Get(ctx, client.ObjectKey{Name: name}, &v1alpha1.SafeMirrorRollout{})
	return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
}

// poolsAndNodes reads all pools, and which nodes are in each.
func poolsAndNodes(ctx context.Context, api client.Reader) ([]mcfgv1.MachineConfigPool, map[string][]corev1.Node,
	error) {
	var pools mcfgv1.MachineConfigPoolList
	if err := api.List(ctx, &pools); err != nil {
		return nil, nil, err
	}
	var nodes corev1.NodeList
	if err := api.List(ctx, &nodes); err != nil {
		return nil, nil, err
	}
	return pools.Items, pool.NodesByPool(pools.Items, nodes.Items), nil
}

// requeueRefused tries a write again later that the fence has refused: that is no failure.
func requeueRefused(err error) (ctrl.Result, error) {
	var refused *execute.Refused
	if errors.As(err, &refused) {
		return ctrl.Result{RequeueAfter: refusedRequeue}, nil
	}
	return ctrl.Result{}, err
}

// watchOrphans watches the kind that carries the notes, and the end of the rollouts that left them:
// an object at rest tells of nothing by itself.
func watchOrphans(mgr ctrl.Manager, name string, kind client.Object, leftBy handler.MapFunc, r reconcile.Reconciler,
	predicates ...predicate.Predicate) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		For(kind, builder.WithPredicates(predicates...)).
		Watches(&v1alpha1.SafeMirrorRollout{}, handler.EnqueueRequestsFromMapFunc(leftBy),
			builder.WithPredicates(deletionsOnly())).
		WithOptions(controller.Options{RateLimiter: rateLimiter()}).
		Complete(r)
}
