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

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// PulseGuard closes a released pool once its node is taken or its deadline has passed. It runs in every replica, leader or not,
// and needs nothing but what is written on the pool: whatever dies, at most one more node moves (I14).
type PulseGuard struct {
	Client client.Client
	Now    func() time.Time
}

// Reconcile looks at one pool.
func (g *PulseGuard) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	mcp := &mcfgv1.MachineConfigPool{}
	if err := g.Client.Get(ctx, req.NamespacedName, mcp); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ledger, err := pool.ReadLedger(mcp)
	if err != nil {
		log.FromContext(ctx).Error(err, "leaving the pool alone")
		return ctrl.Result{}, nil
	}
	if ledger == nil || ledger.Release == nil || ledger.Release.Closed || mcp.Spec.Paused {
		return ctrl.Result{}, nil
	}
	due, err := g.due(ctx, mcp, *ledger)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !due {
		return ctrl.Result{RequeueAfter: max(ledger.Release.Deadline.Sub(g.Now()), soon)}, nil
	}
	log.FromContext(ctx).Info("closing the pool", "pool", mcp.Name, "rollout", ledger.Rollout, "deadline", ledger.Release.Deadline)
	return ctrl.Result{}, pool.Close(ctx, g.Client, mcp)
}

// due asks the core. The time is looked at first: past the deadline nothing else has to be readable.
func (g *PulseGuard) due(ctx context.Context, mcp *mcfgv1.MachineConfigPool, ledger rollout.Ledger) (bool, error) {
	if !g.Now().Before(ledger.Release.Deadline) {
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
	view, err := pool.View(mcp, pool.Assign(pools.Items, nodes.Items)[mcp.Name], ledger.Rollout)
	if err != nil {
		return false, err
	}
	return view.PulseOver(g.Now()), nil
}

// setup watches pools and nodes, in every replica.
func (g *PulseGuard) setup(mgr ctrl.Manager) error {
	everyReplica := false
	return ctrl.NewControllerManagedBy(mgr).
		Named("pulse-guard").
		For(&mcfgv1.MachineConfigPool{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(g.openPools), builder.WithPredicates(nodeMoves())).
		WithOptions(controller.Options{NeedLeaderElection: &everyReplica, RateLimiter: retries()}).
		Complete(g)
}

// openPools are the only ones for which a node matters.
func (g *PulseGuard) openPools(ctx context.Context, _ client.Object) []reconcile.Request {
	var pools mcfgv1.MachineConfigPoolList
	if err := g.Client.List(ctx, &pools); err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range pools.Items {
		if !pools.Items[i].Spec.Paused && pools.Items[i].Annotations[pool.LedgerAnnotation] != "" {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pools.Items[i])})
		}
	}
	return out
}
