package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RebootingAnnotation is on a Node while the simulated machine is down. The kubelet half may take
// its pods and its Ready condition down meanwhile.
const RebootingAnnotation = "lab.safemirror.io/rebooting"

// performActions is Daemon.performPostConfigChangeNodeDisruptionAction: make the new files count,
// then finish.
func (d *daemon) performActions(ctx context.Context, actions []opv1.NodeDisruptionPolicyStatusAction,
	config string) error {
	for _, action := range actions {
		var err error
		switch action.Type {
		case opv1.DrainStatusAction: // has happened
		case opv1.RebootStatusAction:
			return d.reboot(ctx, config)
		case opv1.NoneStatusAction:
			d.event("SkipReboot", "Config changes do not require reboot.")
			d.report(condition{mcfgv1.MachineConfigNodeUpdatePostActionComplete, metav1.ConditionTrue, "None",
				"Changes do not require a reboot"})
		case opv1.RestartStatusAction:
			err = d.restart(ctx, string(action.Restart.ServiceName), config)
		case opv1.ReloadStatusAction:
			err = d.reload(ctx, string(action.Reload.ServiceName), config)
		case opv1.SpecialStatusAction:
			err = d.reload(ctx, constants.CRIOServiceName, config)
		case opv1.DaemonReloadStatusAction:
			err = d.reload(ctx, constants.DaemonReloadCommand, config)
		}
		if err != nil {
			return err
		}
	}
	return d.finish(ctx, config)
}

// reload is "systemctl reload SERVICE". From here on the node pulls by its new files.
func (d *daemon) reload(ctx context.Context, service, config string) error {
	if err := d.restartIfRuntime(ctx, service, config); err != nil {
		d.warn("FailedServiceReload", "Reloading service %s failed. Error: %v", service, err)
		return fmt.Errorf("could not apply update: reloading %s configuration failed. Error: %w", service, err)
	}
	d.report(condition{mcfgv1.MachineConfigNodeUpdatePostActionComplete, metav1.ConditionTrue,
		string(mcfgv1.MachineConfigNodeUpdatePostActionComplete), fmt.Sprintf("Node has reloaded service %s", service)})
	d.event("ServiceReload", "Config changes do not require reboot. Service %s was reloaded.", service)
	return nil
}

func (d *daemon) restart(ctx context.Context, service, config string) error {
	if err := d.restartIfRuntime(ctx, service, config); err != nil {
		d.warn("FailedServiceRestart", "Restarting %s service failed. Error: %v", service, err)
		return fmt.Errorf("could not apply update: restarting %s service failed. Error: %w", service, err)
	}
	d.event("ServiceRestart", "Config changes do not require reboot. Service %s was restarted.", service)
	return nil
}

// restartIfRuntime: crio is the only service that the lab has; all others take their time and do
// nothing.
func (d *daemon) restartIfRuntime(ctx context.Context, service, config string) error {
	if err := d.simulateWork(ctx, 2*time.Second); err != nil {
		return err
	}
	if strings.TrimSuffix(service, ".service") != constants.CRIOServiceName {
		return nil
	}
	return d.loadRuntime(config)
}

// finish is Daemon.finishRebootlessUpdate and the end of a boot: uncordon, then Done in one patch.
// The node is schedulable up to ten seconds before it is Done.
func (d *daemon) finish(ctx context.Context, config string) error {
	d.report(condition{mcfgv1.MachineConfigNodeResumed, metav1.ConditionTrue, string(mcfgv1.MachineConfigNodeResumed),
		fmt.Sprintf("In desired config %s. Resumed normal operations. Applying proper annotations.", config)})
	if err := d.uncordon(ctx, config); err != nil {
		return err
	}
	d.event("NodeDone", "Setting node %s, currentConfig %s to Done", d.NodeName, config)
	if err := d.setDone(ctx, config); err != nil {
		return fmt.Errorf("error setting node's state to Done: %w", err)
	}
	d.startDriftMonitor(ctx)
	return nil
}

// reboot takes the machine away for a minute. The daemon comes back as after any boot, and that
// boot finishes the update: until then state stays Working.
func (d *daemon) reboot(ctx context.Context, config string) error {
	d.report(condition{mcfgv1.MachineConfigNodeUpdateRebooted, metav1.ConditionUnknown,
		string(mcfgv1.MachineConfigNodeUpdateRebooted), "Upgrade requires a reboot."})
	d.event("Reboot", "Node will reboot into config %s", config)
	err := d.annotate(ctx, map[string]string{
		constants.MachineConfigDaemonPostConfigAction: constants.MachineConfigDaemonStateRebooting,
		RebootingAnnotation:                           "true",
	})
	if err == nil {
		err = d.simulateWork(ctx, time.Minute)
	}
	if err == nil {
		err = d.endReboot(ctx, config)
	}
	if err != nil {
		return err
	}
	d.booting = true
	d.queue.Add(d.NodeName)
	return nil
}

// endReboot brings the machine back, its runtime with the files that are on disk now.
func (d *daemon) endReboot(ctx context.Context, config string) error {
	if err := d.loadRuntime(config); err != nil {
		return err
	}
	return d.removeAnnotation(ctx, RebootingAnnotation)
}
