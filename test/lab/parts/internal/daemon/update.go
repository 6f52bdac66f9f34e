package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// update is Daemon.update: everything between "needs an update" and Done.
func (d *daemon) update(ctx context.Context, from, to *mcfgv1.MachineConfig) (err error) {
	d.stopDriftMonitor()
	if err := d.setWorking(ctx); err != nil {
		return fmt.Errorf("error setting node's state to Working: %w", err)
	}
	d.event("AddSigtermProtection", "Adding SIGTERM protection")
	defer func() {
		if ctx.Err() == nil {
			d.event("RemoveSigtermProtection", "Removing SIGTERM protection")
			d.reportOutcome(err)
		}
	}()

	v, err := d.prepare(ctx, from, to)
	if err != nil {
		return err
	}
	if v.drain {
		err = d.drain(ctx)
	} else {
		d.reportNoDrain()
	}
	if err != nil {
		return err
	}
	rollBack, err := d.apply(ctx, from, to)
	if err != nil {
		return err
	}
	if err := d.performActions(ctx, v.actions, to.Name); err != nil {
		return errors.Join(err, rollBack())
	}
	return nil
}

// setWorking leaves a failed node in its failed state: it stays Degraded until it is Done.
func (d *daemon) setWorking(ctx context.Context) error {
	switch d.annotation(constants.MachineConfigDaemonStateAnnotationKey) {
	case constants.MachineConfigDaemonStateDegraded, constants.MachineConfigDaemonStateUnreconcilable:
		return nil
	}
	return d.setState(ctx, constants.MachineConfigDaemonStateWorking)
}

// errLayered refuses what would be a wrong answer: a node whose OS is an image built in the
// cluster.
var errLayered = errors.New("on-cluster layering is not simulated: the pool has a MachineOSConfig")

// prepare decides whether and how the update can be made.
func (d *daemon) prepare(ctx context.Context, from, to *mcfgv1.MachineConfig) (updateDecision, error) {
	if err := ctrlcommon.IsRenderedConfigReconcilable(from, to); err != nil {
		err = fmt.Errorf("configs %s, %s are not reconcilable: %w", from.Name, to.Name, err)
		d.reportPrepared(metav1.ConditionUnknown,
			fmt.Sprintf("Update Failed compatibility validation. MachineConfigs %v and %v are not compatible. Err: %s",
				from.Name, to.Name, err))
		err = fmt.Errorf("can't reconcile config %s with %s: %w", from.Name, to.Name, err)
		d.warn("FailedToReconcile", "%s", err)
		return updateDecision{}, unreconcilable{err}
	}
	diff, err := newMachineConfigDiff(from, to)
	if err != nil {
		return updateDecision{}, fmt.Errorf("could not calculate config diff: %w", err)
	}
	if diff.oclEnabled || diff.revertFromOCL || d.annotation(constants.DesiredImageAnnotationKey) != "" {
		return updateDecision{}, errLayered
	}
	policy, err := d.policy(ctx)
	if err != nil {
		d.reportPrepared(metav1.ConditionUnknown,
			fmt.Sprintf("Update Failed compatibility validation. MachineConfigs %v and %v are not available for update. Error calculating post config change actions: %s", from.Name, to.Name, err))
		return updateDecision{}, err
	}
	v, err := decide(diff, from, to, policy)
	if err != nil {
		return v, err
	}
	// The list prints empty: the MCD formats a variable of the old, unused mechanism here.
	d.reportPrepared(metav1.ConditionTrue, fmt.Sprintf("Update Compatible. Post Cfg Actions: %v Drain Required: %t",
		[]string{}, v.drain))
	d.reportTarget()
	return v, nil
}

// apply writes the files of the new config, and returns the function that undoes it.
func (d *daemon) apply(ctx context.Context, from, to *mcfgv1.MachineConfig) (rollBack func() error, err error) {
	oldFiles, err := filesOf(from)
	if err != nil {
		return nil, err
	}
	newFiles, err := filesOf(to)
	if err != nil {
		return nil, err
	}
	rollBack = func() error {
		if ctx.Err() != nil {
			return nil // the daemon was killed: whatever is on disk stays, as on a real node
		}
		return errors.Join(d.replaceFiles(newFiles, oldFiles), d.storeCurrentOnDisk(from.Name))
	}
	d.reportFiles(metav1.ConditionUnknown, "Updating the Files and OS on disk as a part of the in progress phase",
		"Applying files and new OS config to node. OS will not need an update. SSH Keys will not need an update")
	if err := d.simulateWork(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	err = d.replaceFiles(oldFiles, newFiles)
	if err == nil {
		err = d.storeCurrentOnDisk(to.Name)
	}
	if err != nil {
		return nil, errors.Join(err, rollBack())
	}
	d.reportFiles(metav1.ConditionTrue, "Updated the Files and OS on disk as a part of the in progress phase",
		"Applied files and new OS config to node. OS did not need an update. SSH Keys did not need an update")
	return rollBack, nil
}

func (d *daemon) reportPrepared(status metav1.ConditionStatus, message string) {
	d.report(condition{mcfgv1.MachineConfigNodeUpdatePrepared, status, string(mcfgv1.MachineConfigNodeUpdatePrepared),
		message})
}

func (d *daemon) reportFiles(status metav1.ConditionStatus, phase, step string) {
	d.report(condition{mcfgv1.MachineConfigNodeUpdateExecuted, status,
		string(mcfgv1.MachineConfigNodeUpdateFilesAndOS), phase},
		child(mcfgv1.MachineConfigNodeUpdateExecuted, mcfgv1.MachineConfigNodeUpdateFilesAndOS, status, step))
}

// reportOutcome sets NodeDegraded, from which the pool's own condition is made.
func (d *daemon) reportOutcome(err error) {
	degraded := condition{mcfgv1.MachineConfigNodeNodeDegraded, metav1.ConditionFalse,
		string(mcfgv1.MachineConfigNodeNodeDegraded),
		fmt.Sprintf("Node %s upgrade succeeded", d.NodeName)}
	if err != nil {
		degraded.status, degraded.message = metav1.ConditionTrue,
			fmt.Sprintf("Node %s upgrade failure. %v", d.NodeName, err)
	}
	d.report(degraded)
}
