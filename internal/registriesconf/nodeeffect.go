package registriesconf

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	opv1 "github.com/openshift/api/operator/v1"
)

// NodeEffect is what a change costs a node, from nothing to a reboot.
type NodeEffect string

const (
	// EffectNone means: nothing happens beyond writing the file.
	EffectNone NodeEffect = "None"
	// EffectReload means: services are reloaded or restarted; pods stay.
	EffectReload NodeEffect = "Reload"
	// EffectDrain means: all pods are evicted first. The MCD of a single-node cluster leaves that
	// out.
	EffectDrain NodeEffect = "Drain"
	// EffectReboot means: drained and rebooted.
	EffectReboot NodeEffect = "Reboot"
)

// NodeEffectOf tells what the change of registries.conf from old to new costs a node, and by
// which rule. Drop-ins and everything else in the MachineConfigs are left out of account;
// OtherDifferences lists them.
//
// policies is the effective list, status.nodeDisruptionPolicyStatus.clusterPolicies.files of
// MachineConfiguration/cluster. Nil stands for the default of the MCO for this file, which is
// the action Special: reload crio, and drain only if the change may take images away from
// running workloads. A list without an entry for the file means Reboot.
//
// Source: MCO pkg/daemon/update.go calculatePostConfigChangeNodeDisruptionActionFromMCDiffs,
// pkg/daemon/drain.go isDrainRequiredForNodeDisruptionActions.
func NodeEffectOf(old, new Files, policies []opv1.NodeDisruptionPolicyStatusFile) (NodeEffect, string, error) {
	if bytes.Equal(old.Main, new.Main) {
		return EffectNone, "registries.conf does not change", nil
	}
	policy := opv1.NodeDisruptionPolicyStatusFile{
		Path:    RegistriesPath,
		Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.SpecialStatusAction}},
	}
	if policies != nil {
		var found bool
		if policy, found = PolicyFor(RegistriesPath, policies); !found {
			return EffectReboot, "no node disruption policy covers " + RegistriesPath, nil
		}
	}
	return byPolicy(policy, old.Main, new.Main)
}

func byPolicy(policy opv1.NodeDisruptionPolicyStatusFile, old, new []byte) (NodeEffect, string, error) {
	has := func(types ...opv1.NodeDisruptionPolicyStatusActionType) bool {
		return slices.ContainsFunc(policy.Actions, func(a opv1.NodeDisruptionPolicyStatusAction) bool {
			return slices.Contains(types, a.Type)
		})
	}
	says := func(action string) string {
		return fmt.Sprintf("the node disruption policy for %s says %s", policy.Path, action)
	}
	switch {
	case has(opv1.RebootStatusAction):
		return EffectReboot, says("Reboot"), nil
	case has(opv1.DrainStatusAction):
		return EffectDrain, says("Drain"), nil
	case has(opv1.SpecialStatusAction):
		why, err := unsafeChange(old, new)
		if err != nil {
			return "", "", err
		}
		if why != "" {
			return EffectDrain, why, nil
		}
		return EffectReload, "every change in registries.conf is one the machine-config-operator counts as safe", nil
	case has(opv1.ReloadStatusAction, opv1.RestartStatusAction, opv1.DaemonReloadStatusAction):
		return EffectReload, says("reload or restart"), nil
	}
	return EffectNone, says("None"), nil
}

// PolicyFor finds the policy of a file: the longest path that is the file or a directory
// above it (MCO pkg/controller/common FindClosestFilePolicyPathMatch).
func PolicyFor(file string, policies []opv1.NodeDisruptionPolicyStatusFile) (best opv1.NodeDisruptionPolicyStatusFile,
	found bool) {
	for _, p := range policies {
		covers := p.Path == file || strings.HasPrefix(file, path.Clean(p.Path)+"/")
		if covers && len(p.Path) > len(best.Path) {
			best, found = p, true
		}
	}
	return best, found
}
