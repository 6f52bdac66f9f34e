package daemon

import (
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/machine-config-operator/pkg/helpers"
	"github.com/openshift/machine-config-operator/pkg/upgrademonitor"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// condition is one condition of the node's MachineConfigNode.
type condition struct {
	kind    mcfgv1.StateProgress
	status  metav1.ConditionStatus
	reason  string
	message string
}

// child names its parent in its reason, as the MCD does: UpdateExecutedDrained.
func child(parent, kind mcfgv1.StateProgress, status metav1.ConditionStatus, message string) condition {
	return condition{kind, status, string(parent) + string(kind), message}
}

// report writes a phase, and a step of it if there is one, by the MCO's own code: it also fills in
// defaults, resets the other conditions at Updated, and keeps status.configVersion. A failure is
// only logged; the real daemon never stops for one either.
func (d *daemon) report(phase condition, steps ...condition) {
	pool, err := d.pool(d.node)
	if err != nil {
		klog.Errorf("%s: no pool for the MachineConfigNode: %v", d.NodeName, err)
		return
	}
	var stepCondition *upgrademonitor.Condition
	stepStatus := metav1.ConditionFalse
	if len(steps) > 0 {
		step := steps[0]
		stepCondition = &upgrademonitor.Condition{State: step.kind, Reason: step.reason, Message: step.message}
		stepStatus = step.status
	}
	err = upgrademonitor.GenerateAndApplyMachineConfigNodes(
		&upgrademonitor.Condition{State: phase.kind, Reason: phase.reason, Message: phase.message},
		stepCondition, phase.status, stepStatus, d.node, d.MCFG, d.FeatureGates, pool)
	if err != nil {
		klog.Errorf("%s: MachineConfigNode %s: %v", d.NodeName, phase.kind, err)
	}
}

// reportTarget writes the MachineConfigNode's spec: pool and desired config. The daemon does that
// when it begins an update, which is the first that anybody sees of a target written by hand.
func (d *daemon) reportTarget() {
	pool, err := d.pool(d.node)
	if err == nil {
		err = upgrademonitor.GenerateAndApplyMachineConfigNodeSpec(d.FeatureGates, pool, d.node, d.MCFG)
	}
	if err != nil {
		klog.Errorf("%s: MachineConfigNode spec: %v", d.NodeName, err)
	}
}

// pool is the node's primary pool as the MCO computes it: custom before worker, master before
// custom.
func (d *daemon) pool(node *corev1.Node) (string, error) {
	return helpers.GetPrimaryPoolNameForMCN(d.pools, node)
}
