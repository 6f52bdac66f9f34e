package controllers

import (
	"context"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
)

// OrphanedPools finds pools that carry the pause record of a rollout that no longer exists, because
// its finalizer was taken off by force. A settled one is restored; one with nodes left to update
// stays paused, and says so on the pool (I5).
type OrphanedPools struct {
	Client   client.Client
	API      client.Reader
	Recorder events.EventRecorder
	// Fence checks before each write that this process is the leader.
	Fence *execute.Fence
}

// orphanRequeue is how often an orphan that cannot be restored is looked at again.
const orphanRequeue = time.Minute

// Reconcile looks at one pool.
func (r *OrphanedPools) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	mcp := &mcfgv1.MachineConfigPool{}
	if err := r.API.Get(ctx, req.NamespacedName, mcp); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	record, err := pool.ReadPauseRecord(mcp)
	if err != nil || record == nil {
		return ctrl.Result{}, nil //nolint:nilerr // a note that nobody can read is nothing that we may undo
	}
	if gone, err := isGone(ctx, r.API, record.Rollout); err != nil || !gone {
		return ctrl.Result{}, err
	}
	_, members, err := poolsAndNodes(ctx, r.API)
	if err != nil {
		return ctrl.Result{}, err
	}
	observedPool, err := pool.FromMCP(mcp, members[mcp.Name], record.Rollout)
	if err != nil {
		return ctrl.Result{}, err
	}
	if observedPool.Updated() == len(observedPool.Nodes) {
		if err := r.Fence.Check(ctx, "restoring MachineConfigPool "+mcp.Name); err != nil {
			return requeueRefused(err)
		}
		if err := pool.Restore(ctx, r.Client, mcp, record.PriorPaused, record.PriorMaxUnavailable); err != nil {
			return ctrl.Result{}, err
		}
		r.Recorder.Eventf(mcp, nil, corev1.EventTypeNormal, "PoolGivenBack", "Restore",
			"SafeMirrorRollout %s is gone and all %d nodes run %s: the pool has its earlier values again",
			record.Rollout, len(observedPool.Nodes), observedPool.Rendered)
		return ctrl.Result{}, nil
	}
	r.Recorder.Eventf(mcp, nil, corev1.EventTypeWarning, "PoolOrphaned", "Hold", "%s", fmt.Sprintf(
		"SafeMirrorRollout %s is gone and left this pool paused since %s with %d of %d nodes on %s; it stays paused: create the rollout again "+
			"to go on, or give the pool back by hand as annotation %s says",
		record.Rollout, record.Since.Format(time.RFC3339), observedPool.Updated(), len(observedPool.Nodes),
		observedPool.Rendered, pool.PauseRecordAnnotation))
	return ctrl.Result{RequeueAfter: orphanRequeue}, nil
}

// setupWithManager watches pools, and the end of the rollouts that hold them: a pool at rest tells
// of nothing by itself.
func (r *OrphanedPools) setupWithManager(mgr ctrl.Manager) error {
	return watchOrphans(mgr, "orphaned-pools", &mcfgv1.MachineConfigPool{}, r.poolsHeldBy, r)
}

// poolsHeldBy are the pools that carry the pause record of the rollout.
func (r *OrphanedPools) poolsHeldBy(ctx context.Context, o client.Object) []reconcile.Request {
	var pools mcfgv1.MachineConfigPoolList
	if err := r.Client.List(ctx, &pools); err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range pools.Items {
		if record, err := pool.ReadPauseRecord(&pools.Items[i]); err == nil && record != nil &&
			record.Rollout == o.GetName() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pools.Items[i])})
		}
	}
	return out
}
