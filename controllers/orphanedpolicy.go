package controllers

import (
	"context"
	"fmt"
	"time"

	opv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
)

// OrphanedPolicy restores the node disruption policy of a rollout that no longer exists, as
// Orphans does with pools: as soon as no node is on its way, because one that is would be drained
// by it.
type OrphanedPolicy struct {
	Client   client.Client
	API      client.Reader
	Recorder events.EventRecorder
	// Fence checks before each write that this process is the leader.
	Fence *execute.Fence
}

// Reconcile looks at MachineConfiguration/cluster.
func (r *OrphanedPolicy) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	mc := &opv1.MachineConfiguration{}
	if err := r.API.Get(ctx, req.NamespacedName, mc); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	record, err := nodedisruption.ReadPolicyRecord(mc)
	if err != nil || record == nil {
		return ctrl.Result{}, nil //nolint:nilerr // a note that nobody can read is nothing that we may undo
	}
	if gone, err := isGone(ctx, r.API, record.Rollout); err != nil || !gone {
		return ctrl.Result{}, err
	}
	waitingFor, err := r.waitingFor(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	if waitingFor != "" {
		r.Recorder.Eventf(mc, nil, corev1.EventTypeWarning, "PolicyOrphaned", "Hold", "%s", fmt.Sprintf(
			"SafeMirrorRollout %s is gone and left its policy for registries.conf here since %s; it is taken away when %s", record.Rollout,
			record.Since.Format(time.RFC3339), waitingFor))
		return ctrl.Result{RequeueAfter: orphanRequeue}, nil
	}
	if err := r.Fence.Check(ctx, "restoring the node disruption policy"); err != nil {
		return requeueRefused(err)
	}
	if err := nodedisruption.Restore(ctx, r.Client, mc, record.Rollout); err != nil {
		return ctrl.Result{}, err
	}
	r.Recorder.Eventf(mc, nil, corev1.EventTypeNormal, "PolicyGivenBack", "Restore",
		"SafeMirrorRollout %s is gone and no node is on its way: the policy for registries.conf is what it was",
		record.Rollout)
	return ctrl.Result{}, nil
}

// waitingFor says what has to be waited for; empty when nothing has.
func (r *OrphanedPolicy) waitingFor(ctx context.Context) (string, error) {
	pools, members, err := poolsAndNodes(ctx, r.API)
	if err != nil {
		return "", err
	}
	for i := range pools {
		mcp := &pools[i]
		observedPool, err := pool.FromMCP(mcp, members[mcp.Name], "")
		if err != nil {
			return "", err
		}
		for _, n := range observedPool.Nodes {
			if n.CurrentConfig != "" && n.UpdateStage(n.DesiredConfig) != "Done" {
				return "node " + n.Name + " is not on its way any more", nil
			}
		}
		if record, _ := pool.ReadPauseRecord(mcp); record != nil && record.Release != nil && !mcp.Spec.Paused {
			return "MachineConfigPool " + mcp.Name + ", which is open for a node, is paused", nil
		}
	}
	return "", nil
}

// setupWithManager watches the object, and the end of rollouts. A cluster without the kind has no
// policy that could be left behind.
func (r *OrphanedPolicy) setupWithManager(mgr ctrl.Manager) error {
	gk := opv1.GroupVersion.WithKind("MachineConfiguration").GroupKind()
	if _, err := mgr.GetRESTMapper().RESTMapping(gk, opv1.GroupVersion.Version); meta.IsNoMatchError(err) {
		return nil
	}
	only := []reconcile.Request{{NamespacedName: client.ObjectKey{Name: nodedisruption.Name}}}
	return watchOrphans(mgr, "orphaned-policy", &opv1.MachineConfiguration{},
		func(context.Context, client.Object) []reconcile.Request { return only }, r)
}
