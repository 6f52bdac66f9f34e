package observe

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// TestPendingChanges: what else would reach the nodes with the pool's configuration (R6).
func TestPendingChanges(t *testing.T) {
	base := minicluster.RegistriesFile(minicluster.BaseRegistriesConf)
	file := func(path string) minicluster.File { return minicluster.File{Path: path, Content: "# new"} }
	next := func(files ...minicluster.File) *mcfgv1.MachineConfig {
		return minicluster.MachineConfig("rendered-worker-1", append([]minicluster.File{base}, files...)...)
	}
	with := func(mc *mcfgv1.MachineConfig, change func(*mcfgv1.MachineConfigSpec)) *mcfgv1.MachineConfig {
		change(&mc.Spec)
		return mc
	}
	cases := map[string]struct {
		next *mcfgv1.MachineConfig
		want []string
	}{
		"nothing": {next(), nil},
		"registries.conf alone": {minicluster.MachineConfig("rendered-worker-1",
			minicluster.RegistriesFile(planned(t, registriesconf.Sets{}))), nil},
		"a pull secret that was rotated": {next(file("/var/lib/kubelet/config.json")), nil},
		"what the MCO reloads for": {next(
			file("/etc/containers/policy.json"), file("/etc/containers/registries.d/sigstore.yaml"),
			file("/etc/crio/policies/shop.json"),
			file("/etc/machine-config-daemon/no-reboot/containers-gpg.pub"), file("/etc/nmstate/openshift/cluster.yml"),
		), nil},
		"what the MCO restarts for": {next(file("/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt")), nil},
		"a drop-in of registries.conf": {next(file(registriesconf.DropInDir +
			"/01-image-searchRegistries.conf")), []string{registriesconf.DropInDir +
			"/01-image-searchRegistries.conf"}},
		"a file of which nobody knows": {next(file("/etc/chrony.conf")), []string{"/etc/chrony.conf"}},
		"a neighbour of what is harmless": {next(file("/etc/containers/policy.json.bak")),
			[]string{"/etc/containers/policy.json.bak"}},
		"a namesake of what is harmless": {next(file("/opt/var/lib/kubelet/config.json")),
			[]string{"/opt/var/lib/kubelet/config.json"}},
		"a unit that is named like a directory": {withUnit(next(), "passwd"), []string{"unit passwd"}},
		"another operating system": {with(next(),
			func(s *mcfgv1.MachineConfigSpec) { s.OSImageURL = "quay.io/os@sha256:2" }), []string{"osImageURL"}},
		"kernel arguments": {with(next(),
			func(s *mcfgv1.MachineConfigSpec) { s.KernelArguments = []string{"quiet"} }), []string{"kernelArguments"}},
		"no more than can be read": {next(file("/a"), file("/b"), file("/c"), file("/d"), file("/e"),
			file("/f")), []string{"/a", "/b", "/c", "/d", "/e"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := minicluster.Edit(cluster(c.next), "worker",
				func(p *mcfgv1.MachineConfigPool) { p.Spec.Configuration.Name = c.next.Name })
			p := poolOf(t, mustObserve(t, newObserver(objects...)), "worker")
			if diff := cmp.Diff(c.want, p.PendingChanges); diff != "" {
				t.Errorf("riders (-want +got):\n%s", diff)
			}
		})
	}
}

// withUnit lets the MachineConfig write a unit of systemd.
func withUnit(mc *mcfgv1.MachineConfig, name string) *mcfgv1.MachineConfig {
	raw := string(mc.Spec.Config.Raw)
	mc.Spec.Config.Raw = fmt.Appendf(nil, `{"systemd":{"units":[{"name":%q,"enabled":true}]},%s`, name, raw[1:])
	return mc
}

// Each configuration that a node runs is compared, and each rider is named once.
func TestPendingChangesOfSeveralConfigs(t *testing.T) {
	base := minicluster.RegistriesFile(minicluster.BaseRegistriesConf)
	a, b := minicluster.File{Path: "/etc/a", Content: "a"}, minicluster.File{Path: "/etc/b", Content: "b"}
	onNode := func(name, config string) func([]client.Object) []client.Object {
		return func(objects []client.Object) []client.Object {
			return minicluster.Edit(objects, name,
				func(n *corev1.Node) { n.Annotations[minicluster.CurrentConfig] = config })
		}
	}
	objects := cluster(minicluster.MachineConfig("rendered-worker-1", base, a, b),
		minicluster.MachineConfig("rendered-worker-2", base, a))
	objects = minicluster.Edit(objects, "worker",
		func(p *mcfgv1.MachineConfigPool) { p.Spec.Configuration.Name = "rendered-worker-1" })
	cases := map[string]struct {
		first string
		want  []string
	}{
		"one has more already":       {"rendered-worker-2", []string{"/etc/b", "/etc/a"}},
		"one has it":                 {"rendered-worker-1", []string{"/etc/a", "/etc/b"}},
		"one's own is gone":          {"rendered-worker-9", []string{"/etc/a", "/etc/b"}},
		"one is not taken up yet":    {"", []string{"/etc/a", "/etc/b"}},
		"all have the same, earlier": {minicluster.FirstRendered("worker"), []string{"/etc/a", "/etc/b"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := poolOf(t, mustObserve(t, newObserver(onNode("worker-0", c.first)(objects)...)), "worker")
			if diff := cmp.Diff(c.want, p.PendingChanges); diff != "" {
				t.Errorf("riders (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("one that is no MachineConfig", func(t *testing.T) {
		broken := minicluster.MachineConfig("rendered-worker-3", minicluster.File{Path: registriesconf.RegistriesPath})
		broken.Spec.Config.Raw = []byte(`{"storage":{"files":1}}`)
		obs := mustObserve(t, newObserver(onNode("worker-0", broken.Name)(append(objects, broken))...))
		if _, known := obs.Observed.Pools.Get(); known {
			t.Error("what rides along cannot be known")
		}
	})
}
