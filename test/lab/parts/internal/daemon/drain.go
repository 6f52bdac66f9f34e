package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// The waits of pkg/daemon: performDrain and completeUpdate.
const (
	drainPoll       = 10 * time.Second
	drainTimeout    = time.Hour
	uncordonTimeout = 10 * time.Minute
)

// drain is Daemon.performDrain: it asks the drain controller to cordon and drain, and waits. The
// events say "Cordoned" before anything is.
func (d *daemon) drain(ctx context.Context) error {
	if d.annotation(constants.ClusterControlPlaneTopologyAnnotationKey) == string(configv1.SingleReplicaTopologyMode) {
		// One node only: nowhere to drain to.
		d.reportNoDrain()
		d.event("Drain", "Drain not required, skipping")
		return nil
	}
	request := "drain-" + d.annotation(constants.DesiredMachineConfigAnnotationKey)
	if d.annotation(constants.LastAppliedDrainerAnnotationKey) == request {
		// The drain timed out, the node went Degraded, and the drain controller succeeded after
		// all.
		klog.V(2).Infof("%s: drain is already completed on this node", d.NodeName)
		return nil
	}
	d.event("Cordon", "Cordoned node to apply update")
	d.event("Drain", "Draining node to update config.")
	if err := d.annotate(ctx, map[string]string{constants.DesiredDrainerAnnotationKey: request}); err != nil {
		return fmt.Errorf("Could not set drain annotation: %w", err) //nolint:staticcheck // the MCD's words
	}
	err := d.waitForDrainController(ctx, drainTimeout)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case wait.Interrupted(err):
		message := fmt.Sprintf("failed to drain node: %s after 1 hour. Please see machine-config-controller logs for more information", d.NodeName)
		d.warn("FailedToDrain", "%s", message)
		return errors.New(message)
	case err != nil:
		return fmt.Errorf("Something went wrong while attempting to drain node: %w", //nolint:staticcheck // the MCD's words
			err)
	}
	return nil
}

// uncordon is Daemon.completeUpdate. It uncordons always: after an update without a drain, and also
// a node that an admin had cordoned before.
func (d *daemon) uncordon(ctx context.Context, config string) error {
	if err := d.annotate(ctx, map[string]string{constants.DesiredDrainerAnnotationKey: "uncordon-" +
		config}); err != nil {
		return fmt.Errorf("could not set drain annotation: %w", err)
	}
	err := d.waitForDrainController(ctx, uncordonTimeout)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case wait.Interrupted(err):
		message := fmt.Sprintf("failed to uncordon node: %s after 10 minutes. Please see machine-config-controller logs for more information", d.NodeName)
		d.warn("FailedToUncordon", "%s", message)
		return errors.New(message)
	case err != nil:
		return fmt.Errorf("something went wrong while attempting to uncordon node: %w", err)
	}
	d.event("Uncordon", "Update completed for config %s and node has been uncordoned", config)
	return nil
}

// waitForDrainController looks every 10 s, the first time after 10 s, whether the last request has
// been applied. It only compares the two annotations: whoever changes desiredDrain in the meantime
// to something that gets applied makes it believe that its own request was.
func (d *daemon) waitForDrainController(ctx context.Context, timeout time.Duration) error {
	return wait.PollUntilContextTimeout(ctx, d.scaled(drainPoll), d.scaled(timeout), false,
		func(ctx context.Context) (bool, error) {
			node, err := d.Kube.CoreV1().Nodes().Get(ctx, d.NodeName, metav1.GetOptions{})
			if err != nil {
				klog.Warningf("%s: failed to get node: %v", d.NodeName, err)
				return false, nil
			}
			return node.Annotations[constants.DesiredDrainerAnnotationKey] == node.Annotations[constants.LastAppliedDrainerAnnotationKey], nil
		})
}

func (d *daemon) reportNoDrain() {
	const message = "Node Drain Not required for this update."
	d.report(condition{mcfgv1.MachineConfigNodeUpdateExecuted, metav1.ConditionUnknown,
		string(mcfgv1.MachineConfigNodeUpdateDrained), message},
		child(mcfgv1.MachineConfigNodeUpdateExecuted, mcfgv1.MachineConfigNodeUpdateDrained, metav1.ConditionFalse,
			message))
}
