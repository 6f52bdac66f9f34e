package daemon

import (
	"context"
	"fmt"
	"os"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	"github.com/openshift/machine-config-operator/pkg/helpers"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// firstSync is the sync after a start of the daemon or of the node.
func (d *daemon) firstSync(ctx context.Context) error {
	if d.annotation(constants.CurrentMachineConfigAnnotationKey) == "" {
		return d.assignFirstConfig(ctx)
	}
	d.booting = false // a reboot in the course of boot sets it again
	if err := d.boot(ctx); err != nil {
		d.booting = true
		return err
	}
	d.report(condition{mcfgv1.MachineConfigNodeResumed, metav1.ConditionTrue, string(mcfgv1.MachineConfigNodeResumed),
		fmt.Sprintf("In desired config %s. Resumed normal operations.",
			d.annotation(constants.CurrentMachineConfigAnnotationKey))})
	d.startDriftMonitor(ctx)
	return nil
}

// assignFirstConfig gives a new machine its first configuration, as the machine-config-server does
// when the machine asks for its Ignition (pkg/server/cluster_server.go GetConfig). The new
// configuration is served as soon as one node of the pool has it, pause or not:
//
//	updatedMachineCount 0: status.configuration  (the old one)
//	updatedMachineCount 1: spec.configuration    (the new one)
func (d *daemon) assignFirstConfig(ctx context.Context) error {
	pool, err := helpers.GetPrimaryPoolForNode(d.pools, d.node)
	if err != nil {
		return err
	}
	name := ""
	if pool != nil {
		name = pool.Status.Configuration.Name
		if pool.Status.UpdatedMachineCount > 0 || name == "" {
			name = pool.Spec.Configuration.Name // also for the first node of a lab, where nothing is old yet
		}
	}
	if name == "" {
		klog.V(2).Infof("%s: no pool with a rendered configuration yet", d.NodeName)
		d.queue.AddAfter(d.NodeName, d.scaled(time.Second))
		return nil
	}
	return d.annotate(ctx, map[string]string{
		constants.CurrentMachineConfigAnnotationKey:     name,
		constants.DesiredMachineConfigAnnotationKey:     name,
		constants.MachineConfigDaemonStateAnnotationKey: constants.MachineConfigDaemonStateDone,
	})
}

// boot is Daemon.checkStateOnFirstRun. What is on disk is the truth; a node that is already where
// it should be is uncordoned and Done, which is how a forced restart of the daemon ends a stuck
// drain after desiredConfig was taken back. Otherwise the update starts (again).
func (d *daemon) boot(ctx context.Context) error {
	current, err := d.machineConfig(ctx, d.annotation(constants.CurrentMachineConfigAnnotationKey))
	if err != nil {
		return err
	}
	desired, err := d.machineConfig(ctx, d.annotation(constants.DesiredMachineConfigAnnotationKey))
	if err != nil {
		return err
	}
	onDisk, err := d.currentOnDisk(ctx)
	if err != nil {
		return err
	}
	if onDisk == nil {
		if err := d.ignite(current); err != nil {
			return err
		}
		onDisk = current
	}
	if err := d.startRuntime(ctx, onDisk.Name); err != nil {
		return err
	}
	if err := d.validate(onDisk); err != nil {
		d.warn("OnDiskStateValidationFailed", "%s", err)
		return err
	}
	if onDisk.Name == desired.Name {
		return d.finish(ctx, desired.Name)
	}
	d.event("BootResync", "Booting node %s, currentConfig %s, desiredConfig %s", d.NodeName, onDisk.Name, desired.Name)
	return d.update(ctx, onDisk, desired)
}

// ignite is what Ignition does before the first boot: every file of the configuration is written.
func (d *daemon) ignite(config *mcfgv1.MachineConfig) error {
	files, err := filesOf(config)
	if err != nil {
		return err
	}
	if err := d.writeFiles(files); err != nil {
		return err
	}
	return d.storeCurrentOnDisk(config.Name)
}

// startRuntime makes the runtime load its files at the boot of the node: the first one, or one that
// an end of the lab cut short. A restarted daemon leaves a running crio alone.
func (d *daemon) startRuntime(ctx context.Context, config string) error {
	_, err := os.Stat(nodefs.LoadedConfig(d.Root, d.NodeName))
	switch {
	case d.annotation(RebootingAnnotation) != "":
		return d.endReboot(ctx, config)
	case os.IsNotExist(err):
		return d.loadRuntime(config)
	}
	return err
}

// clearRebooting is the first thing that the daemon does after a reboot.
func (d *daemon) clearRebooting(ctx context.Context) {
	if d.annotation(constants.MachineConfigDaemonPostConfigAction) != constants.MachineConfigDaemonStateRebooting {
		return
	}
	d.report(condition{mcfgv1.MachineConfigNodeUpdateRebooted, metav1.ConditionTrue,
		string(mcfgv1.MachineConfigNodeUpdateRebooted), "Node has rebooted"})
	if err := d.annotate(ctx, map[string]string{constants.MachineConfigDaemonPostConfigAction: ""}); err != nil {
		klog.Errorf("%s: could not unset rebooting annotation: %v", d.NodeName, err)
	}
}
