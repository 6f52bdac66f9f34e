// Package mcooperator stands in for the machine-config-operator itself, which cannot run in the lab
// (it deploys containers). Of its sync loop it keeps what a cluster shows to others, in the same
// order:
//
//	RenderConfig          registry CAs of ConfigMaps -> ControllerConfig
//	MachineConfiguration  NodeDisruptionPolicy: spec and defaults merged into status
//	MachineConfigNode     one object per node
//	MachineConfigPools    labels of the built-in pools
//	RequiredPools         waits for the control plane, reports it in ClusterOperator/machine-config
//
// As in the real one the last step blocks the loop: while the control plane updates, or any pool is
// Degraded, a new CA or a new node waits, up to ten minutes per control plane node. Only the policy
// is still merged meanwhile. "MCO" in comments is pkg/operator of the module named in go.mod.
package mcooperator

import (
	"context"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	configclientset "github.com/openshift/client-go/config/clientset/versioned"
	mcfgclientset "github.com/openshift/client-go/machineconfiguration/clientset/versioned"
	operatorclientset "github.com/openshift/client-go/operator/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// resync is how often everything is looked at without any event.
const resync = 2 * time.Second

// Options say how to reach the cluster.
type Options struct {
	Kube     kubernetes.Interface
	MCFG     mcfgclientset.Interface
	Operator operatorclientset.Interface
	Config   configclientset.Interface
	// Scale multiplies the waits of the real operator; 0.1 turns its 10 minutes into one. Zero
	// means 1.
	Scale float64
}

// operator is one running stand-in.
type operator struct {
	Options
	listers
	wake chan struct{} // one token: something has changed since the last sync
}

// task is one step of the sync loop. Its name appears in the Degraded reason: RequiredPoolsFailed.
type task struct {
	name string
	run  func(context.Context) error
}

// Run syncs until the end of ctx.
func Run(ctx context.Context, options Options) error {
	o := &operator{Options: options, wake: make(chan struct{}, 1)}
	if err := o.watch(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := o.sync(ctx); err != nil && ctx.Err() == nil {
			klog.Errorf("machine-config-operator: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-o.wake:
		case <-ticker.C:
		}
	}
	return nil
}

// sync is Operator.syncAll: the tasks in order up to the first failing one, then one status write.
func (o *operator) sync(ctx context.Context) error {
	for _, t := range []task{
		{"RenderConfig", o.syncRegistryCertificates},
		{"MachineConfiguration", o.syncDisruptionPolicy},
		{"MachineConfigNode", o.syncMachineConfigNodes},
		{"MachineConfigPools", o.syncPoolLabels},
		{"RequiredPools", o.syncRequiredPools},
	} {
		if err := t.run(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return o.report(ctx, func(co *configv1.ClusterOperator) { o.setDegraded(co, t.name+"Failed", err) })
		}
	}
	return o.report(ctx, o.setHealthy)
}

// scaled turns a wait of the real operator into one of the lab.
func (o *operator) scaled(d time.Duration) time.Duration {
	if o.Scale > 0 {
		d = time.Duration(float64(d) * o.Scale)
	}
	return max(d, time.Millisecond)
}
