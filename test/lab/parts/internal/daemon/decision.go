package daemon

import (
	"context"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// updateDecision is what an update does to the node besides writing files.
type updateDecision struct {
	actions []opv1.NodeDisruptionPolicyStatusAction
	drain   bool
}

// decide is the middle of Daemon.update: from the two rendered configs and the effective policy to
// the verdict. With the default policy:
//
//	registries.conf gains a tag mirror for a new source  -> [Special], drain
//	registries.conf gains a digest-only mirror           -> [Special], no drain
//	policy.json changes                                  -> [Reload crio], no drain
//	registries.conf.d/x.conf appears                     -> [Reboot], drain
func decide(diff *configDiff, from, to *mcfgv1.MachineConfig,
	policy opv1.NodeDisruptionPolicyClusterStatus) (updateDecision, error) {
	oldIgnition, err := ctrlcommon.ParseAndConvertConfig(from.Spec.Config.Raw)
	if err != nil {
		return updateDecision{}, fmt.Errorf("parsing old Ignition config failed: %w", err)
	}
	newIgnition, err := ctrlcommon.ParseAndConvertConfig(to.Spec.Config.Raw)
	if err != nil {
		return updateDecision{}, fmt.Errorf("parsing new Ignition config failed: %w", err)
	}
	var v updateDecision
	switch {
	// Daemon.calculatePostConfigChangeNodeDisruptionAction, which cannot be called without a
	// Daemon.
	case diff.osUpdate || diff.kargs || diff.fips || diff.kernelType || diff.extensions:
		v.actions = []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.RebootStatusAction}}
	case !diff.files && !diff.units && !diff.passwd:
		v.actions = []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.NoneStatusAction}}
	default:
		v.actions = actionsOfPolicies(diff.passwd,
			ctrlcommon.CalculateConfigFileDiffs(&oldIgnition, &newIgnition),
			ctrlcommon.CalculateConfigUnitDiffs(&oldIgnition, &newIgnition), policy)
	}
	v.drain, err = isDrainRequiredForNodeDisruptionActions(v.actions, oldIgnition, newIgnition)
	return v, err
}

// policy reads the policy in effect now: each update uses the one at its own start, however old the
// target is. It waits until the MCO has merged the last edit, at most two minutes.
func (d *daemon) policy(ctx context.Context) (opv1.NodeDisruptionPolicyClusterStatus, error) {
	var policy opv1.NodeDisruptionPolicyClusterStatus
	var last error
	err := wait.PollUntilContextTimeout(ctx, d.scaled(5*time.Second), d.scaled(2*time.Minute), true,
		func(ctx context.Context) (bool, error) {
			knobs, err := d.Operator.OperatorV1().MachineConfigurations().Get(ctx,
				ctrlcommon.MCOOperatorKnobsObjectName,
				metav1.GetOptions{})
			if err != nil {
				last = fmt.Errorf("MachineConfiguration/cluster has not been created yet")
				return false, nil
			}
			if knobs.Generation != knobs.Status.ObservedGeneration {
				last = fmt.Errorf("NodeDisruptionPolicyStatus is not up to date")
				return false, nil
			}
			policy = knobs.Status.NodeDisruptionPolicyStatus.ClusterPolicies
			return true, nil
		})
	if ctx.Err() != nil {
		return policy, ctx.Err()
	}
	if err != nil {
		return policy, fmt.Errorf("NodeDisruptionPolicyStatus was not ready: %w", last)
	}
	return policy, nil
}
