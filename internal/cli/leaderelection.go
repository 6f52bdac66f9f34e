package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
)

// leaseName is the Lease by which replicas elect their leader.
const leaseName = "safe-mirror-operator"

// newLeaseLock is the lock of the leader election. It is made here, and not by the manager, because
// the fence compares its identity with the holder of the lease; nil without an election.
func (o managerOptions) newLeaseLock(config *rest.Config) (*resourcelock.LeaseLock, error) {
	if !o.leaderElect {
		return nil, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	// As controller-runtime does: one host can run several processes, and a restarted one is another.
	identity := host + "_" + string(uuid.NewUUID())
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: identity}, rest.AddUserAgent(rest.CopyConfig(config), "leader-election"),
		o.renewDeadline)
	if err != nil {
		return nil, err
	}
	lease, ok := lock.(*resourcelock.LeaseLock)
	if !ok {
		return nil, fmt.Errorf("the leader election uses %T, want a Lease", lock)
	}
	return lease, nil
}

// newFence makes the fence of the lock; nil without an election.
func (o managerOptions) newFence(mgr ctrl.Manager, lock *resourcelock.LeaseLock, stop func()) *execute.Fence {
	if lock == nil {
		return nil
	}
	lock.LockConfig.EventRecorder = mgr.GetEventRecorderFor(lock.Identity()) //nolint:staticcheck // what client-go takes
	return &execute.Fence{Identity: lock.Identity(), Lease: o.readLease(mgr.GetAPIReader()), End: stop}
}

// readLease reads who holds the lease, and for how long at least.
func (o managerOptions) readLease(r client.Reader) func(context.Context) (execute.Lease, error) {
	return func(ctx context.Context) (execute.Lease, error) {
		lease := &coordinationv1.Lease{}
		if err := r.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: leaseName}, lease); err != nil {
			return execute.Lease{}, err
		}
		var out execute.Lease
		if lease.Spec.HolderIdentity != nil {
			out.Holder = *lease.Spec.HolderIdentity
		}
		if lease.Spec.RenewTime != nil {
			out.Left = time.Until(lease.Spec.RenewTime.Add(o.leaseDuration))
		}
		return out, nil
	}
}
