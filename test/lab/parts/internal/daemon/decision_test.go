package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	_ "unsafe" // for go:linkname

	ign3types "github.com/coreos/ignition/v2/config/v3_5/types"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	"github.com/openshift/machine-config-operator/pkg/apihelpers"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
)

//go:linkname isSafeContainerRegistryConfChanges github.com/openshift/machine-config-operator/pkg/daemon.isSafeContainerRegistryConfChanges
func isSafeContainerRegistryConfChanges(oldIgnConfig, newIgnConfig ign3types.Config) (bool, error)

// vectors are the operator's own idea of what drains; here the MCO itself is asked.
const vectors = "../../../../../internal/registriesconf/testdata/drain_vectors.json"

func TestDrainVectorsAgreeWithTheMCO(t *testing.T) {
	content, err := os.ReadFile(vectors)
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Old, New string
		Drain          bool
	}
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			safe, err := safeChange(c.Old, c.New)
			if err != nil {
				t.Fatal(err)
			}
			if c.Drain == safe {
				t.Errorf("the vector says drain=%t, the MCO %t", c.Drain, !safe)
			}
		})
	}
}

// safeChange asks the MCO about two texts of registries.conf.
func safeChange(from, to string) (bool, error) {
	oldConfig := machineConfig("old", map[string]string{constants.ContainerRegistryConfPath: from})
	newConfig := machineConfig("new", map[string]string{constants.ContainerRegistryConfPath: to})
	oldIgnition, err := ctrlcommon.ParseAndConvertConfig(oldConfig.Spec.Config.Raw)
	if err != nil {
		return false, err
	}
	newIgnition, err := ctrlcommon.ParseAndConvertConfig(newConfig.Spec.Config.Raw)
	if err != nil {
		return false, err
	}
	return isSafeContainerRegistryConfChanges(oldIgnition, newIgnition)
}

func TestDecide(t *testing.T) {
	files := func(f map[string]string) *mcfgv1.MachineConfig {
		if f[constants.ContainerRegistryConfPath] == "" {
			f[constants.ContainerRegistryConfPath] = plain
		}
		return machineConfig("to", f)
	}
	registries := constants.ContainerRegistryConfPath
	for name, c := range map[string]struct {
		to     *mcfgv1.MachineConfig
		policy opv1.NodeDisruptionPolicyConfig
		action opv1.NodeDisruptionPolicyStatusActionType
		drain  bool
	}{
		"nothing": {to: files(map[string]string{}), action: opv1.NoneStatusAction},
		"tag mirror": {to: files(map[string]string{registries: tagMirror}), action: opv1.SpecialStatusAction,
			drain: true},
		"digest mirror": {to: files(map[string]string{registries: digestMirror}),
			action: opv1.SpecialStatusAction},
		"signature policy": {to: files(map[string]string{"/etc/containers/policy.json": "{}"}),
			action: opv1.ReloadStatusAction},
		"pull secret": {to: files(map[string]string{constants.KubeletAuthFile: "{}"}),
			action: opv1.NoneStatusAction},
		"drop-in": {to: files(map[string]string{"/etc/containers/registries.conf.d/x.conf": ""}),
			action: opv1.RebootStatusAction, drain: true},
		"pull secret and tags": {to: files(map[string]string{registries: tagMirror, constants.KubeletAuthFile: "{}"}),
			action: opv1.SpecialStatusAction, drain: true},
		"operating system": {to: withOS(files(map[string]string{})), action: opv1.RebootStatusAction, drain: true},
		"tag mirror, reload": {to: files(map[string]string{registries: tagMirror}), policy: reloadPolicy(),
			action: opv1.ReloadStatusAction},
		"drop-in, reload above": {to: files(map[string]string{"/etc/containers/registries.conf.d/x.conf": ""}),
			policy: reloadPolicy(), action: opv1.RebootStatusAction, drain: true},
	} {
		t.Run(name, func(t *testing.T) {
			from := files(map[string]string{})
			diff, err := newMachineConfigDiff(from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			v, err := decide(diff, from, c.to, apihelpers.MergeClusterPolicies(c.policy))
			if err != nil {
				t.Fatal(err)
			}
			if len(v.actions) != 1 || v.actions[0].Type != c.action || v.drain != c.drain {
				t.Errorf("verdict is %v, drain %t; want %s, drain %t", v.actions, v.drain, c.action, c.drain)
			}
		})
	}
}

// TestConfigDiffMirror changes one thing at a time and looks which field of the mirror is set: if a
// later MCO reorders or adds fields, the wrong one is.
func TestConfigDiffMirror(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*mcfgv1.MachineConfig)
		want   configDiff
	}{
		"nothing": {func(*mcfgv1.MachineConfig) {}, configDiff{}},
		"osUpdate": {func(m *mcfgv1.MachineConfig) { m.Spec.OSImageURL = "registry/os@sha256:1" },
			configDiff{osUpdate: true}},
		"kargs": {func(m *mcfgv1.MachineConfig) { m.Spec.KernelArguments = []string{"quiet"} },
			configDiff{kargs: true}},
		"fips":   {func(m *mcfgv1.MachineConfig) { m.Spec.FIPS = true }, configDiff{fips: true}},
		"passwd": {addSSHKey, configDiff{passwd: true}},
		"files":  {addFile, configDiff{files: true}},
		"units":  {addUnit, configDiff{units: true}},
		"kernelType": {func(m *mcfgv1.MachineConfig) { m.Spec.KernelType = ctrlcommon.KernelTypeRealtime },
			configDiff{kernelType: true}},
		"extensions": {func(m *mcfgv1.MachineConfig) { m.Spec.Extensions = []string{"usbguard"} },
			configDiff{extensions: true}},
	} {
		t.Run(name, func(t *testing.T) {
			from := machineConfig("m", nil)
			to := from.DeepCopy()
			c.change(to)
			got, err := newMachineConfigDiff(from, to)
			if err != nil {
				t.Fatal(err)
			}
			if *got != c.want {
				t.Errorf("diff is %+v, want %+v", *got, c.want)
			}
		})
	}
}

func addFile(m *mcfgv1.MachineConfig) {
	*m = *machineConfig(m.Name, map[string]string{"/etc/motd": "hello"})
}

func addSSHKey(m *mcfgv1.MachineConfig) {
	m.Spec.Config.Raw = []byte(`{"ignition":{"version":"3.5.0"},"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["ssh-rsa AAAA"]}]}}`)
}

func addUnit(m *mcfgv1.MachineConfig) {
	m.Spec.Config.Raw = []byte(`{"ignition":{"version":"3.5.0"},"systemd":{"units":[{"name":"x.service","contents":"[Unit]"}]}}`)
}

func withOS(m *mcfgv1.MachineConfig) *mcfgv1.MachineConfig {
	m.Spec.OSImageURL = "registry/os@sha256:1"
	return m
}

// reloadPolicy is the documented lever: registries.conf always by a reload, never by a drain.
func reloadPolicy() opv1.NodeDisruptionPolicyConfig {
	return opv1.NodeDisruptionPolicyConfig{Files: []opv1.NodeDisruptionPolicySpecFile{{
		Path: constants.ContainerRegistryConfPath,
		Actions: []opv1.NodeDisruptionPolicySpecAction{{
			Type: opv1.ReloadSpecAction, Reload: &opv1.ReloadService{ServiceName: "crio.service"},
		}},
	}}}
}

func TestUnreconcilableIsFound(t *testing.T) {
	var err error = unreconcilable{errors.New("x")}
	if !errors.As(err, new(unreconcilable)) {
		t.Error("setFailed would call it Degraded")
	}
}
