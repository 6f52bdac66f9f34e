package daemon

import (
	"context"
	"errors"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// nodeWorker is the only one that touches the node. While it waits for a drain it is deaf to every
// other change of the node, which is why taking a target back does not free a stuck drain.
func (d *daemon) nodeWorker(ctx context.Context) {
	for {
		key, quit := d.queue.Get()
		if quit {
			return
		}
		d.handleResult(ctx, key, d.sync(ctx))
		d.queue.Done(key)
	}
}

// handleResult is Daemon.handleErr: an error is shown on the node, and the sync is tried again
// later.
func (d *daemon) handleResult(ctx context.Context, key string, err error) {
	switch {
	case err == nil:
		d.queue.Forget(key)
	case ctx.Err() != nil:
	default:
		d.setFailed(ctx, err)
		d.queue.AddRateLimited(key)
	}
}

// unreconcilable is the error of a change that no update can make, shown as state Unreconcilable.
type unreconcilable struct{ error }

// sync is Daemon.syncNode: boot once, then bring the node from what is on disk to desiredConfig.
func (d *daemon) sync(ctx context.Context) error {
	node, err := d.nodes.Get(d.NodeName)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if node.DeletionTimestamp != nil || d.isStale(node) {
		return nil // what is on its way to the cache enqueues the node again
	}
	if _, err := d.pool(node); err != nil {
		return err // a node in two custom pools: the real daemon gives up here as well
	}
	d.node = node.DeepCopy()
	d.clearRebooting(ctx)
	if d.booting {
		return d.firstSync(ctx)
	}

	// A drain that timed out leaves its request behind. Until the drain controller has answered it,
	// a new desiredConfig is ignored.
	if request := d.annotation(constants.DesiredDrainerAnnotationKey); request != "" &&
		request != d.annotation(constants.LastAppliedDrainerAnnotationKey) {
		klog.V(2).Infof("%s: waiting for the drain controller to apply %s", d.NodeName, request)
		return nil
	}
	target, err := d.pending(ctx)
	if err != nil {
		return err
	}
	if target == nil {
		d.report(condition{mcfgv1.MachineConfigNodeUpdated, metav1.ConditionTrue,
			string(mcfgv1.MachineConfigNodeUpdated), fmt.Sprintf("Node %s Updated", d.NodeName)})
		return nil
	}
	d.report(condition{mcfgv1.MachineConfigNodeUpdated, metav1.ConditionFalse, string(mcfgv1.MachineConfigNodeUpdated),
		fmt.Sprintf("Node %s needs an update", d.NodeName)})
	if err := d.preflight(ctx, target.from); err != nil {
		return err
	}
	return d.update(ctx, target.from, target.to)
}

// step is one update: from what is on disk to what is desired.
type step struct{ from, to *mcfgv1.MachineConfig }

// pending is Daemon.prepUpdateFromCluster: nil when the node is where it should be. Both configs
// must exist, also the one of the currentConfig annotation, which is not used otherwise.
func (d *daemon) pending(ctx context.Context) (*step, error) {
	desired, err := d.machineConfig(ctx, d.annotation(constants.DesiredMachineConfigAnnotationKey))
	if err != nil {
		return nil, err
	}
	current, err := d.machineConfig(ctx, d.annotation(constants.CurrentMachineConfigAnnotationKey))
	if err != nil {
		return nil, err
	}
	onDisk, err := d.currentOnDisk(ctx)
	if err != nil {
		return nil, err
	}
	if onDisk == nil {
		onDisk = current
	}
	atRest := onDisk.Name == current.Name && current.Name == desired.Name
	if atRest && d.annotation(constants.MachineConfigDaemonStateAnnotationKey) == constants.MachineConfigDaemonStateDone {
		return nil, nil
	}
	return &step{from: onDisk, to: desired}, nil
}

// machineConfig reads one MachineConfig. They are large and needed twice per update, so nothing is
// cached; the error is the text that the real daemon's lister gives, with the name of the missing
// one:
//
//	missing MachineConfig rendered-worker-0
//	machineconfig.machineconfiguration.openshift.io "rendered-worker-0" not found
func (d *daemon) machineConfig(ctx context.Context, name string) (*mcfgv1.MachineConfig, error) {
	config, err := d.MCFG.MachineconfigurationV1().MachineConfigs().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || name == "" {
		return nil, errors.Join(fmt.Errorf("missing MachineConfig %s", name),
			apierrors.NewNotFound(mcfgv1.Resource("machineconfig"), name))
	}
	return config, err
}

// annotation reads the frozen node.
func (d *daemon) annotation(key string) string { return d.node.Annotations[key] }
