package mcc

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// The lease of OpenShift's conventions for highly available control planes, which the stock binary
// has.
const (
	leaseDuration = 137 * time.Second
	renewDeadline = 107 * time.Second
	retryPeriod   = 26 * time.Second
)

// errLeaseLost ends a controller that somebody else has replaced.
var errLeaseLost = errors.New("the lease is lost")

// Run runs the controllers while this process leads, until the end of ctx. The lease is released
// then.
func Run(ctx context.Context, o Options) error {
	lock, err := o.lock()
	if err != nil {
		return err
	}
	leading, resign := context.WithCancel(ctx)
	defer resign()
	failure := errLeaseLost // unless the controllers, or the caller, end first
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, ReleaseOnCancel: true,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				if err := runControllers(ctx, o); err != nil {
					failure = err
					resign()
				}
			},
			OnStoppedLeading: func() { klog.Info("Stopped leading. Terminating.") },
		},
	})
	if err != nil {
		return err
	}
	elector.Run(leading)
	if ctx.Err() != nil {
		return nil
	}
	return failure
}

func (o Options) lock() (resourcelock.Interface, error) {
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(o.Config), "leader-election"))
	if err != nil {
		return nil, err
	}
	return resourcelock.New(resourcelock.LeasesResourceLock, o.Namespace, "machine-config-controller",
		client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: o.Identity})
}
