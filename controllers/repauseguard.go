package controllers

import (
	"context"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
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

// RepauseGuard pauses a released pool again once its node is updating or its deadline has passed. It
// runs in every replica, leader or not, and needs only what is written on the pool: whatever dies,
// at most one more node is updated (I14).
type RepauseGuard struct {
	Client   client.Client
	Recorder events.EventRecorder
	Now      func() time.Time
}

// Reconcile checks one pool.
func (g *RepauseGuard) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	mcp := &mcfgv1.MachineConfigPool{}
	if err := g.Client.Get(ctx, req.NamespacedName, mcp); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	record, err := pool.ReadPauseRecord(mcp)
	if err != nil {
		return ctrl.Result{}, g.pauseUnreadable(ctx, mcp, err)
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
	log.FromContext(ctx).Info("pausing the pool again", "pool", mcp.Name, "rollout", record.Rollout, "deadline",
		record.Release.Deadline)
	return ctrl.Result{}, pool.Repause(ctx, g.Client, mcp)
}

// pauseUnreadable pauses an open pool whose pause record cannot be read. Whether its unpause window
// is over is unknown, and unknown never lets another node move. The annotation stays for a person
// to repair.
func (g *RepauseGuard) pauseUnreadable(ctx context.Context, mcp *mcfgv1.MachineConfigPool, unreadable error) error {
	if mcp.Spec.Paused {
		return nil
	}
	log.FromContext(ctx).Error(unreadable, "cannot read the pause record, pausing the pool", "pool", mcp.Name)
	if err := pool.PauseUnreadable(ctx, g.Client, mcp); err != nil {
		return err
	}
	g.Recorder.Eventf(mcp, nil, corev1.EventTypeWarning, "PoolPaused", "Pause",
		"this pool was unpaused and its pause record cannot be read, so it is paused and the MCO updates no further "+
			"node (%v); repair annotation %s and the rollout continues, or remove the annotation and unpause the "+
			"pool by hand: the MCO then updates all its nodes", unreadable, pool.PauseRecordAnnotation)
	return nil
}

// windowOver reports whether the unpause window is over, as package rollout decides. The time comes
// first: past the deadline nothing else has to be readable.
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
		Named("repause-guard").
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
		log.FromContext(ctx).Error(err, "listing the pools; the event of a node is lost")
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
