// Package daemon is the machine-config-daemon (MCD) of one simulated node.
//
// It speaks to the cluster exactly as the real one: the same annotations in the same order, the
// same waits, the same events and MachineConfigNode conditions. What it does to the node is
// simulated: files go to a directory instead of /etc, "systemctl reload crio" is a file that the
// simulated runtime watches. The decisions are not simulated: whether an update drains, reloads or
// reboots is asked of the MCO's own functions (linkname.go).
//
// "MCD" in comments is pkg/daemon of the machine-config-operator named in go.mod. An update of an
// empty node at Scale 1 takes about 26 s, of which 20 s are the two polls for the drain controller:
//
//	+0   desiredConfig changes       the node controller, or whoever targets the node
//	+1   state=Working               the queue's delay, Daemon.ClusterConnect
//	+2   desiredDrain=drain-R1       after the check for drifted files
//	+12  first look at the drain     the drain controller has cordoned, evicted and answered meanwhile
//	+14  files written
//	+16  crio reloaded, desiredDrain=uncordon-R1
//	+26  state=Done, currentConfig=R1
package daemon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	configclientset "github.com/openshift/client-go/config/clientset/versioned"
	mcfgclientset "github.com/openshift/client-go/machineconfiguration/clientset/versioned"
	mcfglisters "github.com/openshift/client-go/machineconfiguration/listers/machineconfiguration/v1"
	operatorclientset "github.com/openshift/client-go/operator/clientset/versioned"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// Options says which node, where its files are, and how to reach the cluster.
type Options struct {
	// NodeName is the Node object that this daemon manages. It must exist.
	NodeName string
	// Root is the directory that holds one file system per node, see package nodefs.
	Root string
	// Scale multiplies every delay of the real daemon: 0.1 makes the 10 s polls take 1 s. Zero
	// means 1.
	Scale float64

	Kube     kubernetes.Interface
	MCFG     mcfgclientset.Interface
	Operator operatorclientset.Interface
	Config   configclientset.Interface

	// Informers are shared by the daemons of one process, so that 200 nodes do not hold 200 copies
	// of every pool. Nil makes Run start its own.
	Informers *Informers
	// FeatureGates decides which MachineConfigNode conditions are written. Nil reads
	// FeatureGate/cluster.
	FeatureGates ctrlcommon.FeatureGatesHandler
}

// daemon is one running MCD. Everything below "worker" belongs to the single node worker.
type daemon struct {
	Options

	nodes       corelisters.NodeLister
	pools       mcfglisters.MachineConfigPoolLister
	controllers mcfglisters.ControllerConfigLister
	events      record.EventRecorder
	queue       workqueue.TypedRateLimitingInterface[string]
	certs       workqueue.TypedRateLimitingInterface[string]
	drift       *driftMonitor
	stop        func()        // lets go of the shared watches
	written     atomic.Uint64 // version of the node after our last write

	// worker
	node    *corev1.Node // as it was when the running sync began: the real daemon's frozen dn.node
	booting bool         // the next sync validates the disk first, as after a start of the real daemon
}

// Run is the daemon's life, from its start to the end of ctx. Ending ctx in the middle of an update
// and calling Run again is what deleting the daemon's pod with no grace does on a real node.
func Run(ctx context.Context, o Options) error {
	d, synced, err := start(ctx, o)
	if err != nil {
		return endOf(ctx, err)
	}
	defer d.stop()
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}

	var running sync.WaitGroup
	for _, loop := range []func(context.Context){d.nodeWorker, d.certificateWorker, d.drift.run} {
		running.Add(1)
		go func() {
			defer running.Done()
			loop(ctx)
		}()
	}
	<-ctx.Done()
	d.queue.ShutDown()
	d.certs.ShutDown()
	running.Wait()
	return nil
}

// endOf hides the errors that are only the end of ctx.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// scaled turns a delay of the real daemon into one of the lab.
func (o Options) scaled(d time.Duration) time.Duration {
	if o.Scale > 0 {
		d = time.Duration(float64(d) * o.Scale)
	}
	return max(d, time.Millisecond) // the pollers and tickers below refuse zero
}

// simulateWork lets work pass the time that it takes on a real node; it fails only at the end of
// ctx.
func (d *daemon) simulateWork(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(d.scaled(duration))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
