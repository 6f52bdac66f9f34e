package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// planned is the registries.conf with the mirror sets of the rollout shop, and those of others.
func planned(t *testing.T, others registries.Sets) string {
	t.Helper()
	shop := minicluster.Rollout("shop")
	return text(t, others.With(mirrorset.Digest(shop), mirrorset.Tag(shop)))
}

func text(t *testing.T, sets registries.Sets) string {
	t.Helper()
	out, err := registries.Render([]byte(minicluster.Base), sets)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// books is somebody else's mirror set.
func books() *configv1.ImageTagMirrorSet {
	return &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "books"}, Spec: configv1.ImageTagMirrorSetSpec{
		ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "quay.io/books", Mirrors: []configv1.ImageMirror{"mirror.local/books"}}},
	}}
}

// earlierSet is the tag mirror set of an earlier spec of the rollout shop.
func earlierSet() *configv1.ImageTagMirrorSet {
	set := books()
	set.Name, set.Labels = "shop", map[string]string{mirrorset.LabelRollout: "shop"}
	return set
}

// ownSets are the mirror sets of the rollout as they are in the cluster after they were applied.
func ownSets() []client.Object {
	shop := minicluster.Rollout("shop")
	return []client.Object{mirrorset.Digest(shop), mirrorset.Tag(shop)}
}

func TestMeaning(t *testing.T) {
	withBooks := registries.Sets{ITMSs: []configv1.ImageTagMirrorSet{*books()}}
	overriding := planned(t, registries.Sets{}) + "\n[[registry]]\nlocation = \"ghcr.io\"\nblocked = true\n"
	cases := map[string]struct {
		more  []client.Object
		files []minicluster.File
		want  rollout.Meaning
		diff  []string
	}{
		"what the cluster begins with":  {nil, []minicluster.File{minicluster.RegistriesFile(minicluster.Base)}, rollout.MeansBefore, nil},
		"what is planned":               {nil, []minicluster.File{minicluster.RegistriesFile(planned(t, registries.Sets{}))}, rollout.MeansPlanned, nil},
		"what is planned, applied":      {ownSets(), []minicluster.File{minicluster.RegistriesFile(planned(t, registries.Sets{}))}, rollout.MeansPlanned, nil},
		"applied, and not rendered":     {ownSets(), []minicluster.File{minicluster.RegistriesFile(minicluster.Base)}, rollout.MeansBefore, nil},
		"the same in another text":      {nil, []minicluster.File{minicluster.RegistriesFile("# by hand\n" + planned(t, registries.Sets{}))}, rollout.MeansPlanned, nil},
		"together with another set":     {[]client.Object{books()}, []minicluster.File{minicluster.RegistriesFile(planned(t, withBooks))}, rollout.MeansPlanned, nil},
		"another set, not planned with": {[]client.Object{books()}, []minicluster.File{minicluster.RegistriesFile(text(t, withBooks))}, rollout.MeansBefore, nil},
		"an earlier spec's sets":        {[]client.Object{earlierSet()}, []minicluster.File{minicluster.RegistriesFile(text(t, registries.Sets{ITMSs: []configv1.ImageTagMirrorSet{*earlierSet()}}))}, rollout.MeansEarlier, nil},
		"an earlier spec's sets, gone since": {nil, []minicluster.File{minicluster.RegistriesFile(text(t, registries.Sets{ITMSs: []configv1.ImageTagMirrorSet{*earlierSet()}}))}, rollout.MeansOther, []string{
			"quay.io/acme: blocked, digest mirrors [mirror.local/acme], tag mirrors [mirror.local/acme] -> no entry", "quay.io/books: no entry -> tag mirrors [mirror.local/books]",
		}},
		"another set that is not there now": {nil, []minicluster.File{minicluster.RegistriesFile(planned(t, withBooks))}, rollout.MeansOther, []string{"quay.io/books: no entry -> tag mirrors [mirror.local/books]"}},
		"an overriding MachineConfig":       {ownSets(), []minicluster.File{minicluster.RegistriesFile(overriding)}, rollout.MeansOther, []string{"ghcr.io: no entry -> blocked"}},
		"no file at all": {nil, nil, rollout.MeansOther, []string{
			"quay.io/acme: blocked, digest mirrors [mirror.local/acme], tag mirrors [mirror.local/acme] -> no entry",
			"unqualified-search-registries: [registry.access.redhat.com, docker.io] -> []",
		}},
		// A drop-in is on the node before and after, so that it is part of the plan and no difference.
		"a drop-in of the administrator": {nil, []minicluster.File{
			minicluster.RegistriesFile(planned(t, registries.Sets{})),
			{Path: registries.DropInDir + "/50-admin.conf", Content: "[[registry]]\nlocation = \"ghcr.io\"\nblocked = true\n"},
		}, rollout.MeansPlanned, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := poolOf(t, look(t, observer(rendered(cluster(c.more...), c.files...)...)), "worker")
			if p.Meaning != c.want {
				t.Errorf("means %s, want %s", p.Meaning, c.want)
			}
			if diff := cmp.Diff(c.diff, p.Difference); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
}

// A custom pool is rendered from the worker's templates, the control plane from its own.
func TestTheBaseOfAPool(t *testing.T) {
	const other = "unqualified-search-registries = ['quay.io']\n"
	objects := append(cluster(), minicluster.Pool("infra", "infra-0")...)
	objects = append(objects, minicluster.Pool("master", "master-0")...)
	objects = append(objects, minicluster.MachineConfig("01-master-container-runtime", minicluster.RegistriesFile(other)))
	objects = replace(objects, minicluster.MachineConfig(minicluster.FirstRendered("master"), minicluster.RegistriesFile(other)))
	w := look(t, observer(objects...))
	for _, name := range []string{"infra", "master", "worker"} {
		if p := poolOf(t, w, name); p.Meaning != rollout.MeansBefore {
			t.Errorf("pool %s means %s: %v", name, p.Meaning, p.Difference)
		}
	}
}

// What cannot be predicted is unknown: pools, plan and transfers. The mirror sets and the workloads are known all the same.
func TestWhatCannotBePredicted(t *testing.T) {
	broken := minicluster.RegistriesFile("[[registry")
	cases := map[string]struct {
		objects []client.Object
		want    string
	}{
		"no base": {drop[*mcfgv1.MachineConfig](cluster(), "01-worker-container-runtime"), "01-worker-container-runtime exists"},
		"a base that is none": {replace(cluster(), minicluster.MachineConfig("01-worker-container-runtime", broken)),
			"MachineConfigPool worker: /etc/containers/registries.conf: not TOML"},
		"no rendered configuration": {drop[*mcfgv1.MachineConfig](cluster(), minicluster.FirstRendered("worker")),
			`reading rendered MachineConfig "rendered-worker-0"`},
		"a rendered configuration that is none": {rendered(cluster(), broken), "rendered MachineConfig rendered-worker-0: "},
		"a pool that is new": {minicluster.Edit(cluster(), "worker", func(p *mcfgv1.MachineConfigPool) { p.Spec.Configuration.Name = "" }),
			"MachineConfigPool worker: the MCO has not rendered any configuration for it yet"},
		"an invalid union": {cluster(&configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "Quay.io/BAD", Mirrors: []configv1.ImageMirror{"mirror.local"}}},
		}}), "would reject these mirror sets"},
		"a ledger that nobody can read": {minicluster.Edit(cluster(), "worker", func(p *mcfgv1.MachineConfigPool) {
			p.Annotations = map[string]string{"safemirror.io/pause-record": "?"}
		}), "is not a pause ledger"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := look(t, observer(c.objects...))
			for part, why := range map[string]string{"pools": w.Observed.Pools.Why(), "plan": w.Observed.Plan.Why(), "transfers": w.Observed.Transfers.Why()} {
				if !strings.Contains(why, c.want) {
					t.Errorf("%s are unknown because %q, want %q", part, why, c.want)
				}
			}
			seen(t, w.Observed.Sets)
			seen(t, w.Observed.Workloads)
			seen(t, w.Observed.Spec)
		})
	}
}

// What is read and fails makes what depends on it unknown, with the reason.
func TestUnreadableKinds(t *testing.T) {
	cases := map[string]*Live{
		"listing MachineConfigPools: ": observerOf(minicluster.Failing[*mcfgv1.MachineConfigPoolList](errDown), cluster()...),
		"listing Nodes: ":              observerOf(minicluster.Failing[*corev1.NodeList](errDown), cluster()...),
		"listing MachineOSConfigs: ":   observerOf(minicluster.Failing[*mcfgv1.MachineOSConfigList](errDown), cluster()...),
		"connection refused":           observerOf(minicluster.Failing[*mcfgv1.MachineConfig](errDown), cluster()...),
	}
	for want, l := range cases {
		t.Run(want, func(t *testing.T) {
			if why := look(t, l).Observed.Pools.Why(); !strings.Contains(why, want) || !strings.Contains(why, errDown.Error()) {
				t.Errorf("pools are unknown because %q, want %q", why, want)
			}
		})
	}
}

// A rendered MachineConfig never changes under its name, and is large: it is read once.
func TestRenderedConfigurationsAreReadOnce(t *testing.T) {
	reads := map[string]int{}
	l := observerOf(counting(reads), cluster()...)
	look(t, l)
	look(t, l)
	if got := reads[minicluster.FirstRendered("worker")]; got != 1 {
		t.Errorf("read %d times", got)
	}
}

func TestLayeredPools(t *testing.T) {
	osConfig := &mcfgv1.MachineOSConfig{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	osConfig.Spec.MachineConfigPool.Name = "worker"
	w := look(t, observer(append(cluster(osConfig), minicluster.Pool("infra")...)...))
	if !poolOf(t, w, "worker").Layered || poolOf(t, w, "infra").Layered {
		t.Error("want the worker pool to be layered, and no other")
	}
	t.Run("a cluster that knows no layering", func(t *testing.T) {
		w := look(t, liveOf(withoutKinds(cluster(), "MachineOSConfig", "MachineConfigNode", "ImageContentSourcePolicy")))
		if poolOf(t, w, "worker").Layered {
			t.Error("layered")
		}
	})
}

// The MCO's own words on a drain that does not succeed are told with the node. They only ever add detail.
func TestDrainReports(t *testing.T) {
	report := func(node string, status metav1.ConditionStatus, message string) *mcfgv1.MachineConfigNode {
		return &mcfgv1.MachineConfigNode{ObjectMeta: metav1.ObjectMeta{Name: node}, Status: mcfgv1.MachineConfigNodeStatus{
			Conditions: []metav1.Condition{{Type: string(mcfgv1.MachineConfigNodeUpdateDrained), Status: status, Message: message}},
		}}
	}
	const blocked = `Node worker-0 drain error: error when evicting pods/"cart-1": global timeout reached: 1m30s`
	w := look(t, observer(cluster(report("worker-0", metav1.ConditionUnknown, blocked), report("worker-1", metav1.ConditionUnknown, "draining"))...))
	got := map[string]string{}
	for _, n := range poolOf(t, w, "worker").Nodes {
		got[n.Name] = n.Drain
	}
	if diff := cmp.Diff(map[string]string{"worker-0": blocked, "worker-1": ""}, got); diff != "" {
		t.Errorf("drains (-want +got):\n%s", diff)
	}
	t.Run("unreadable", func(t *testing.T) {
		seen(t, look(t, observerOf(minicluster.Failing[*mcfgv1.MachineConfigNodeList](errDown), cluster()...)).Observed.Pools)
	})
}
