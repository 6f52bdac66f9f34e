package controllers

import (
	"context"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// RepauseGuard closes a released pool once its node is taken or its deadline has passed. It runs in
// every replica, leader or not, and needs nothing but what is written on the pool: whatever dies,
// at most one more node moves (I14).
type RepauseGuard struct {
	Client client.Client
	Now    func() time.Time
}

// Reconcile looks at one pool.
func (g *RepauseGuard) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	mcp := &mcfgv1.MachineConfigPool{}
	if err := g.Client.Get(ctx, req.NamespacedName, mcp); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	record, err := pool.ReadPauseRecord(mcp)
	if err != nil {
		log.FromContext(ctx).Error(err, "leaving the pool alone")
		return ctrl.Result{}, nil
	}
	if record == nil || record.Release == nil || record.Release.Closed || mcp.Spec.Paused {
		return ctrl.Result{}, nil
	}
	due, err := g.windowOver(ctx, mcp, *record)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !due {
		return ctrl.Result{RequeueAfter: max(record.Release.Deadline.Sub(g.Now()), minRequeue)}, nil
	}
	log.FromContext(ctx).Info("closing the pool", "pool", mcp.Name, "rollout", record.Rollout, "deadline",
		record.Release.Deadline)
	return ctrl.Result{}, pool.Repause(ctx, g.Client, mcp)
}

// windowOver asks the core. The time is looked at first: past the deadline nothing else has to be
// readable.
func (g *RepauseGuard) windowOver(ctx context.Context, mcp *mcfgv1.MachineConfigPool, record rollout.PauseRecord) (bool,
	error) {
	if !g.Now().Before(record.Release.Deadline) {
		return true, nil
	}
	var pools mcfgv1.MachineConfigPoolList
	if err := g.Client.List(ctx, &pools); err != nil {
		return false, err
	}
	var nodes corev1.NodeList
	if err := g.Client.List(ctx, &nodes); err != nil {
		return false, err
	}
	observedPool, err := pool.FromMCP(mcp, pool.NodesByPool(pools.Items, nodes.Items)[mcp.Name], record.Rollout)
	if err != nil {
		return false, err
	}
	return observedPool.UnpauseWindowOver(g.Now()), nil
}

// setupWithManager watches pools and nodes, in every replica.
func (g *RepauseGuard) setupWithManager(mgr ctrl.Manager) error {
	everyReplica := false
	return ctrl.NewControllerManagedBy(mgr).
		Named("pulse-guard").
		For(&mcfgv1.MachineConfigPool{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(g.unpausedPools),
			builder.WithPredicates(nodeChanged())).
		WithOptions(controller.Options{NeedLeaderElection: &everyReplica, RateLimiter: rateLimiter()}).
		Complete(g)
}

// unpausedPools are the only ones for which a node matters.
func (g *RepauseGuard) unpausedPools(ctx context.Context, _ client.Object) []reconcile.Request {
	var pools mcfgv1.MachineConfigPoolList
	if err := g.Client.List(ctx, &pools); err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range pools.Items {
		if !pools.Items[i].Spec.Paused && pools.Items[i].Annotations[pool.PauseRecordAnnotation] != "" {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pools.Items[i])})
		}
	}
	return out
}
