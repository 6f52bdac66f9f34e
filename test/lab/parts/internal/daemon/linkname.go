package daemon

import (
	_ "unsafe" // for go:linkname

	ign3types "github.com/coreos/ignition/v2/config/v3_5/types"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	_ "github.com/openshift/machine-config-operator/pkg/daemon" // holds the bodies
)

// The functions below are the MCO's own, unexported in pkg/daemon. Binding to them by name instead
// of copying them keeps the lab's verdicts true by construction: after an update of the module
// either they are still the same or the lab no longer links. Their documentation is in the MCO's
// source.

// configDiff mirrors machineConfigDiff of pkg/daemon/update.go field by field; TestConfigDiffMirror
// fails when the two drift apart.
type configDiff struct {
	osUpdate      bool
	kargs         bool
	fips          bool
	passwd        bool
	files         bool
	units         bool
	kernelType    bool
	extensions    bool
	oclEnabled    bool
	revertFromOCL bool
}

//go:linkname newMachineConfigDiff github.com/openshift/machine-config-operator/pkg/daemon.newMachineConfigDiff
func newMachineConfigDiff(oldConfig, newConfig *mcfgv1.MachineConfig) (*configDiff, error)

//go:linkname actionsOfPolicies github.com/openshift/machine-config-operator/pkg/daemon.calculatePostConfigChangeNodeDisruptionActionFromMCDiffs
func actionsOfPolicies(diffSSH bool, diffFileSet, diffUnitSet []string,
	clusterPolicies opv1.NodeDisruptionPolicyClusterStatus) []opv1.NodeDisruptionPolicyStatusAction

//go:linkname isDrainRequiredForNodeDisruptionActions github.com/openshift/machine-config-operator/pkg/daemon.isDrainRequiredForNodeDisruptionActions
func isDrainRequiredForNodeDisruptionActions(actions []opv1.NodeDisruptionPolicyStatusAction, oldIgnConfig,
	newIgnConfig ign3types.Config) (bool, error)
