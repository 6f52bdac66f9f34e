package daemon

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// Texts of registries.conf: b adds a tag mirror to a (drain), c a digest-only one (no drain).
const (
	plain     = "unqualified-search-registries = [\"registry.access.redhat.com\"]\n"
	tagMirror = plain + `
[[registry]]
location = "quay.io/team"
[[registry.mirror]]
location = "mirror.example/team"
pull-from-mirror = "tag-only"
`
	digestMirror = plain + `
[[registry]]
location = "quay.io/team"
[[registry.mirror]]
location = "mirror.example/team"
pull-from-mirror = "digest-only"
`
)

var configs = map[string]string{"rendered-a": plain, "rendered-b": tagMirror, "rendered-c": digestMirror}

// fast makes a 10 s poll take 10 ms.
const fast = 0.001

func TestBootUncordonsAndLoadsTheFiles(t *testing.T) {
	l := newLab(t, fast, configs)
	l.start()
	l.awaitDone("rendered-a")
	if got := l.read(nodefs.Registries(l.root, node)); got != plain {
		t.Errorf("registries.conf is %q", got)
	}
	if got := l.read(nodefs.LoadedConfig(l.root, node)); got != "rendered-a" {
		t.Errorf("the runtime has loaded %q", got)
	}
}

func TestUpdateWithDrain(t *testing.T) {
	l := newLab(t, fast, configs)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitDone("rendered-b")

	wantValues(t, l, constants.MachineConfigDaemonStateAnnotationKey, "Done", "Working", "Done")
	wantValues(t, l, constants.DesiredDrainerAnnotationKey, "uncordon-rendered-a", "drain-rendered-b",
		"uncordon-rendered-b")
	if got := l.read(nodefs.Registries(l.root, node)); got != tagMirror {
		t.Errorf("registries.conf is %q", got)
	}
	if got := l.read(nodefs.LoadedConfig(l.root, node)); got != "rendered-b" {
		t.Errorf("the runtime has loaded %q", got)
	}
	wantEvents(t, l, "ConfigDriftMonitorStopped", "AddSigtermProtection", "Cordon", "Drain", "ServiceReload",
		"Uncordon", "NodeDone", "ConfigDriftMonitorStarted")
	l.awaitCondition(mcfgv1.MachineConfigNodeUpdated, metav1.ConditionTrue, "Node w1 Updated")
	l.awaitCondition(mcfgv1.MachineConfigNodeNodeDegraded, metav1.ConditionFalse, "Node w1 upgrade succeeded")
	l.awaitCondition(mcfgv1.MachineConfigNodeUpdatePostActionComplete, metav1.ConditionFalse,
		": Node has reloaded service crio")
}

// Done must never be seen with the old currentConfig: the pool would count the node as updated to
// it.
func TestDoneIsOnePatch(t *testing.T) {
	l := newLab(t, fast, configs)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitDone("rendered-b")
	l.mu.Lock()
	defer l.mu.Unlock()
	worked := false
	for _, a := range l.history {
		switch a[constants.MachineConfigDaemonStateAnnotationKey] {
		case "Working":
			worked = true
		case "Done":
			if worked && a[constants.CurrentMachineConfigAnnotationKey] != "rendered-b" {
				t.Fatalf("Done with currentConfig %s", a[constants.CurrentMachineConfigAnnotationKey])
			}
		}
	}
}

func TestUpdateWithoutDrain(t *testing.T) {
	l := newLab(t, fast, configs)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-c")
	l.awaitDone("rendered-c")
	wantValues(t, l, constants.DesiredDrainerAnnotationKey, "uncordon-rendered-a", "uncordon-rendered-c")
	wantEvents(t, l, "ServiceReload", "Uncordon", "NodeDone")
	l.awaitCondition(mcfgv1.MachineConfigNodeUpdateDrained, metav1.ConditionFalse,
		"Node Drain Not required for this update.")
}

// An empty node takes at least 25 s of the real clock: two polls of 10 s and the steps between.
func TestUpdateKeepsRealProportions(t *testing.T) {
	const scale = 0.01
	l := newLab(t, scale, configs)
	l.start()
	l.awaitDone("rendered-a")
	begin := time.Now()
	l.target("rendered-b")
	l.awaitDone("rendered-b")
	if took, least := time.Since(begin), time.Duration(25*scale*float64(time.Second)); took < least {
		t.Errorf("the update took %v, less than %v", took, least)
	}
}

func TestSingleNodeNeverDrains(t *testing.T) {
	l := newLab(t, fast, configs)
	l.annotate(map[string]string{constants.ClusterControlPlaneTopologyAnnotationKey: string(configv1.SingleReplicaTopologyMode)})
	l.setDrains(false)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitDone("rendered-b")
	wantValues(t, l, constants.DesiredDrainerAnnotationKey, "uncordon-rendered-a", "uncordon-rendered-b")
}

// After an hour the node is Degraded; when the drain succeeds later, the update goes on by itself.
func TestDrainTimesOutAndRecovers(t *testing.T) {
	l := newLab(t, 0.0001, configs)
	l.setDrains(false)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitAnnotation(constants.MachineConfigDaemonStateAnnotationKey, "Degraded")
	l.awaitAnnotation(constants.MachineConfigDaemonReasonAnnotationKey,
		"failed to drain node: w1 after 1 hour. Please see machine-config-controller logs for more information")
	wantEvents(t, l, "FailedToDrain")
	l.awaitCondition(mcfgv1.MachineConfigNodeNodeDegraded, metav1.ConditionTrue,
		"Node w1 upgrade failure. failed to drain node: w1 after 1 hour. Please see machine-config-controller logs for more information")

	l.setDrains(true)
	l.awaitDone("rendered-b")
	wantValues(t, l, constants.MachineConfigDaemonStateAnnotationKey, "Done", "Working", "Degraded", "Done")
}

// Taking the target back while the node drains changes nothing until the drain is over.
func TestTargetIsFrozen(t *testing.T) {
	l := newLab(t, fast, configs)
	l.setDrains(false)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitAnnotation(constants.DesiredDrainerAnnotationKey, "drain-rendered-b")
	l.target("rendered-a")
	l.setDrains(true)
	l.awaitDone("rendered-a")
	wantValues(t, l, constants.CurrentMachineConfigAnnotationKey, "rendered-a", "rendered-b", "rendered-a")
}

// Restarting the daemon is the way out of a stuck drain, after the target was taken back.
func TestRestartAbortsADrain(t *testing.T) {
	l := newLab(t, fast, configs)
	l.setDrains(false)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitAnnotation(constants.DesiredDrainerAnnotationKey, "drain-rendered-b")
	l.target("rendered-a")
	l.stop()
	l.start()
	l.awaitDone("rendered-a")
	wantValues(t, l, constants.CurrentMachineConfigAnnotationKey, "rendered-a")
	wantValues(t, l, constants.MachineConfigDaemonStateAnnotationKey, "Done", "Working", "Done")
}

func TestMissingConfigDegrades(t *testing.T) {
	l := newLab(t, fast, configs)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-x")
	a := l.await("Degraded", func(a map[string]string) bool {
		return a[constants.MachineConfigDaemonStateAnnotationKey] == "Degraded"
	})
	want := "missing MachineConfig rendered-x\nmachineconfig.machineconfiguration.openshift.io \"rendered-x\" not found"
	if got := a[constants.MachineConfigDaemonReasonAnnotationKey]; got != want {
		t.Errorf("reason is %q, want %q", got, want)
	}
}

func TestEditedFileRefusesTheUpdate(t *testing.T) {
	l := newLab(t, fast, configs)
	l.start()
	l.awaitDone("rendered-a")
	if err := os.WriteFile(nodefs.Registries(l.root, node), []byte("# by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.target("rendered-b")
	a := l.await("Degraded", func(a map[string]string) bool {
		return a[constants.MachineConfigDaemonStateAnnotationKey] == "Degraded" &&
			strings.HasPrefix(a[constants.MachineConfigDaemonReasonAnnotationKey], "unexpected")
	})
	want := "unexpected on-disk state validating against rendered-a: content mismatch for file \"/etc/containers/registries.conf\""
	if got := a[constants.MachineConfigDaemonReasonAnnotationKey]; got != want {
		t.Errorf("reason is %q, want %q", got, want)
	}
	wantEvents(t, l, "PreflightConfigDriftCheckFailed")
	if err := os.WriteFile(nodefs.Registries(l.root, node), []byte(plain), 0o644); err != nil {
		t.Fatal(err)
	}
	l.awaitDone("rendered-b")
}

// An edit of the policy that the MCO has not merged within two minutes stops the update.
func TestPolicyNotObserved(t *testing.T) {
	l := newLab(t, fast, configs)
	knobs := machineConfiguration()
	knobs.Generation = 2
	if _, err := l.operator.OperatorV1().MachineConfigurations().Update(context.Background(), knobs,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitAnnotation(constants.MachineConfigDaemonReasonAnnotationKey,
		"NodeDisruptionPolicyStatus was not ready: NodeDisruptionPolicyStatus is not up to date")
}

func TestRebootFinishesAtBoot(t *testing.T) {
	l := newLab(t, fast, configs)
	reboot := machineConfig("rendered-r", map[string]string{
		constants.ContainerRegistryConfPath:                   plain,
		"/etc/containers/registries.conf.d/01-shortname.conf": "unqualified-search-registries = [\"quay.io\"]\n",
	})
	if _, err := l.mcfg.MachineconfigurationV1().MachineConfigs().Create(context.Background(), reboot,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-r")
	l.awaitDone("rendered-r")
	wantValues(t, l, constants.MachineConfigDaemonPostConfigAction, "Rebooting", "")
	wantValues(t, l, RebootingAnnotation, "true", "")
	wantValues(t, l, constants.DesiredDrainerAnnotationKey, "uncordon-rendered-a", "drain-rendered-r",
		"uncordon-rendered-r")
	wantEvents(t, l, "Reboot", "NodeDone")
	if got := l.read(nodefs.LoadedConfig(l.root, node)); got != "rendered-r" {
		t.Errorf("the runtime has loaded %q", got)
	}
}

func TestFirstConfig(t *testing.T) {
	for _, c := range []struct {
		name    string
		updated int32
		want    string
	}{
		{"old configuration while nobody is updated", 0, "rendered-a"},
		{"new configuration after the first", 1, "rendered-b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, fast, configs)
			p := pool()
			p.Status.UpdatedMachineCount = c.updated
			p.Status.Configuration.Name, p.Spec.Configuration.Name = "rendered-a", "rendered-b"
			if _, err := l.mcfg.MachineconfigurationV1().MachineConfigPools().Update(context.Background(), p,
				metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			l.annotate(map[string]string{constants.CurrentMachineConfigAnnotationKey: "",
				constants.DesiredMachineConfigAnnotationKey: ""})
			l.start()
			l.awaitDone(c.want)
		})
	}
}
