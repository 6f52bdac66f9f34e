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

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// planned is the registries.conf with the mirror sets of the rollout shop, and those of others.
func planned(t *testing.T, others registriesconf.Sets) string {
	t.Helper()
	shop := minicluster.Rollout("shop")
	return text(t, others.With(mirrorset.IDMS(shop), mirrorset.ITMS(shop)))
}

func text(t *testing.T, sets registriesconf.Sets) string {
	t.Helper()
	out, err := registriesconf.Render([]byte(minicluster.BaseRegistriesConf), sets)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// books is somebody else's mirror set.
func books() *configv1.ImageTagMirrorSet {
	return &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "books"},
		Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "quay.io/books",
				Mirrors: []configv1.ImageMirror{"mirror.local/books"}}},
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
	return []client.Object{mirrorset.IDMS(shop), mirrorset.ITMS(shop)}
}

func TestMeaning(t *testing.T) {
	withBooks := registriesconf.Sets{ITMSs: []configv1.ImageTagMirrorSet{*books()}}
	overriding := planned(t, registriesconf.Sets{}) + "\n[[registry]]\nlocation = \"ghcr.io\"\nblocked = true\n"
	cases := map[string]struct {
		more  []client.Object
		files []minicluster.File
		want  rollout.RegistriesMatch
		diff  []string
	}{
		"what the cluster begins with": {nil,
			[]minicluster.File{minicluster.RegistriesFile(minicluster.BaseRegistriesConf)}, rollout.MatchesBefore, nil},
		"what is planned": {nil,
			[]minicluster.File{minicluster.RegistriesFile(planned(t, registriesconf.Sets{}))},
			rollout.MatchesPlanned, nil},
		"what is planned, applied": {ownSets(),
			[]minicluster.File{minicluster.RegistriesFile(planned(t, registriesconf.Sets{}))},
			rollout.MatchesPlanned, nil},
		"applied, and not rendered": {ownSets(),
			[]minicluster.File{minicluster.RegistriesFile(minicluster.BaseRegistriesConf)}, rollout.MatchesBefore, nil},
		"the same in another text": {nil,
			[]minicluster.File{minicluster.RegistriesFile("# by hand\n" + planned(t, registriesconf.Sets{}))},
			rollout.MatchesPlanned, nil},
		"together with another set": {[]client.Object{books()},
			[]minicluster.File{minicluster.RegistriesFile(planned(t, withBooks))}, rollout.MatchesPlanned, nil},
		"another set, not planned with": {[]client.Object{books()},
			[]minicluster.File{minicluster.RegistriesFile(text(t, withBooks))}, rollout.MatchesBefore, nil},
		"an earlier spec's sets": {[]client.Object{earlierSet()},
			[]minicluster.File{minicluster.RegistriesFile(text(t,
				registriesconf.Sets{ITMSs: []configv1.ImageTagMirrorSet{*earlierSet()}}))},
			rollout.MatchesEarlier, nil},
		"an earlier spec's sets, gone since": {nil,
			[]minicluster.File{minicluster.RegistriesFile(text(t,
				registriesconf.Sets{ITMSs: []configv1.ImageTagMirrorSet{*earlierSet()}}))}, rollout.MatchesOther,
			[]string{
				"quay.io/acme: blocked, digest mirrors [mirror.local/acme], tag mirrors [mirror.local/acme] -> no entry",
				"quay.io/books: no entry -> tag mirrors [mirror.local/books]",
			}},
		"another set that is not there now": {nil,
			[]minicluster.File{minicluster.RegistriesFile(planned(t, withBooks))}, rollout.MatchesOther,
			[]string{"quay.io/books: no entry -> tag mirrors [mirror.local/books]"}},
		"an overriding MachineConfig": {ownSets(), []minicluster.File{minicluster.RegistriesFile(overriding)},
			rollout.MatchesOther, []string{"ghcr.io: no entry -> blocked"}},
		"no file at all": {nil, nil, rollout.MatchesOther, []string{
			"quay.io/acme: blocked, digest mirrors [mirror.local/acme], tag mirrors [mirror.local/acme] -> no entry",
			"unqualified-search-registries: [registry.access.redhat.com, docker.io] -> []",
		}},
		// A drop-in is on the node before and after, so that it is part of the plan and no
		// difference.
		"a drop-in of the administrator": {nil, []minicluster.File{
			minicluster.RegistriesFile(planned(t, registriesconf.Sets{})),
			{Path: registriesconf.DropInDir + "/50-admin.conf",
				Content: "[[registry]]\nlocation = \"ghcr.io\"\nblocked = true\n"},
		}, rollout.MatchesPlanned, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := poolOf(t, mustObserve(t, newObserver(rendered(cluster(c.more...), c.files...)...)), "worker")
			if p.Registries != c.want {
				t.Errorf("means %s, want %s", p.Registries, c.want)
			}
			if diff := cmp.Diff(c.diff, p.Difference); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
}

// A custom pool is rendered from the worker's templates, the control plane from its own.
func TestBaseConfigOfPool(t *testing.T) {
	const other = "unqualified-search-registries = ['quay.io']\n"
	objects := append(cluster(), minicluster.Pool("infra", "infra-0")...)
	objects = append(objects, minicluster.Pool("master", "master-0")...)
	objects = append(objects, minicluster.MachineConfig("01-master-container-runtime",
		minicluster.RegistriesFile(other)))
	objects = replace(objects, minicluster.MachineConfig(minicluster.FirstRendered("master"),
		minicluster.RegistriesFile(other)))
	obs := mustObserve(t, newObserver(objects...))
	for _, name := range []string{"infra", "master", "worker"} {
		if p := poolOf(t, obs, name); p.Registries != rollout.MatchesBefore {
			t.Errorf("pool %s means %s: %v", name, p.Registries, p.Difference)
		}
	}
}

// What cannot be predicted is unknown: pools, plan and transfers. The mirror sets and the workloads
// are known all the same.
func TestUnpredictablePools(t *testing.T) {
	broken := minicluster.RegistriesFile("[[registry")
	cases := map[string]struct {
		objects []client.Object
		want    string
	}{
		"no base": {drop[*mcfgv1.MachineConfig](cluster(), "01-worker-container-runtime"),
			"01-worker-container-runtime exists"},
		"a base that is none": {replace(cluster(), minicluster.MachineConfig("01-worker-container-runtime", broken)),
			"MachineConfigPool worker: /etc/containers/registries.conf: not TOML"},
		"no rendered configuration": {drop[*mcfgv1.MachineConfig](cluster(), minicluster.FirstRendered("worker")),
			`reading rendered MachineConfig "rendered-worker-0"`},
		"a rendered configuration that is none": {rendered(cluster(), broken),
			"rendered MachineConfig rendered-worker-0: "},
		"a pool that is new": {minicluster.Edit(cluster(), "worker",
			func(p *mcfgv1.MachineConfigPool) { p.Spec.Configuration.Name = "" }),
			"MachineConfigPool worker: the MCO has not rendered any configuration for it yet"},
		"an invalid union": {cluster(&configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "bad"},
			Spec: configv1.ImageTagMirrorSetSpec{
				ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "Quay.io/BAD",
					Mirrors: []configv1.ImageMirror{"mirror.local"}}},
			}}), "would reject these mirror sets"},
		"a pause record that nobody can read": {minicluster.Edit(cluster(), "worker",
			func(p *mcfgv1.MachineConfigPool) {
				p.Annotations = map[string]string{"safemirror.io/pause-record": "?"}
			}), "is not a pause pause record"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			obs := mustObserve(t, newObserver(c.objects...))
			for part, why := range map[string]string{"pools": obs.Observed.Pools.Why(), "plan": obs.Observed.Plan.Why(),
				"transfers": obs.Observed.Transfers.Why()} {
				if !strings.Contains(why, c.want) {
					t.Errorf("%s are unknown because %q, want %q", part, why, c.want)
				}
			}
			mustKnow(t, obs.Observed.Sets)
			mustKnow(t, obs.Observed.Workloads)
			mustKnow(t, obs.Observed.SpecProblems)
		})
	}
}

// What is read and fails makes what depends on it unknown, with the reason.
func TestUnreadableKinds(t *testing.T) {
	cases := map[string]*Observer{
		"listing MachineConfigPools: ": newObserverWith(minicluster.FailingReads[*mcfgv1.MachineConfigPoolList](errDown), cluster()...),
		"listing Nodes: ": newObserverWith(minicluster.FailingReads[*corev1.NodeList](errDown),
			cluster()...),
		"listing MachineOSConfigs: ": newObserverWith(minicluster.FailingReads[*mcfgv1.MachineOSConfigList](errDown),
			cluster()...),
		"connection refused": newObserverWith(minicluster.FailingReads[*mcfgv1.MachineConfig](errDown),
			cluster()...),
	}
	for want, observer := range cases {
		t.Run(want, func(t *testing.T) {
			if why := mustObserve(t, observer).Observed.Pools.Why(); !strings.Contains(why, want) ||
				!strings.Contains(why, errDown.Error()) {
				t.Errorf("pools are unknown because %q, want %q", why, want)
			}
		})
	}
}

// A rendered MachineConfig never changes under its name, and is large: it is read once.
func TestRenderedConfigsAreReadOnce(t *testing.T) {
	reads := map[string]int{}
	observer := newObserverWith(countReads(reads), cluster()...)
	mustObserve(t, observer)
	mustObserve(t, observer)
	if got := reads[minicluster.FirstRendered("worker")]; got != 1 {
		t.Errorf("read %d times", got)
	}
}

func TestLayeredPools(t *testing.T) {
	osConfig := &mcfgv1.MachineOSConfig{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	osConfig.Spec.MachineConfigPool.Name = "worker"
	obs := mustObserve(t, newObserver(append(cluster(osConfig), minicluster.Pool("infra")...)...))
	if !poolOf(t, obs, "worker").Layered || poolOf(t, obs, "infra").Layered {
		t.Error("want the worker pool to be layered, and no other")
	}
	t.Run("a cluster that knows no layering", func(t *testing.T) {
		obs := mustObserve(t, observerOn(withoutKinds(cluster(), "MachineOSConfig", "MachineConfigNode",
			"ImageContentSourcePolicy")))
		if poolOf(t, obs, "worker").Layered {
			t.Error("layered")
		}
	})
}

// The MCO's own words on a drain that does not succeed are told with the node. They only ever add
// detail.
func TestDrainReports(t *testing.T) {
	report := func(node string, status metav1.ConditionStatus, message string) *mcfgv1.MachineConfigNode {
		return &mcfgv1.MachineConfigNode{ObjectMeta: metav1.ObjectMeta{Name: node},
			Status: mcfgv1.MachineConfigNodeStatus{
				Conditions: []metav1.Condition{{Type: string(mcfgv1.MachineConfigNodeUpdateDrained), Status: status,
					Message: message}},
			}}
	}
	const blocked = `Node worker-0 drain error: error when evicting pods/"cart-1": global timeout reached: 1m30s`
	obs := mustObserve(t, newObserver(cluster(report("worker-0", metav1.ConditionUnknown, blocked),
		report("worker-1", metav1.ConditionUnknown, "draining"))...))
	got := map[string]string{}
	for _, n := range poolOf(t, obs, "worker").Nodes {
		got[n.Name] = n.DrainMessage
	}
	if diff := cmp.Diff(map[string]string{"worker-0": blocked, "worker-1": ""}, got); diff != "" {
		t.Errorf("drains (-want +got):\n%s", diff)
	}
	t.Run("unreadable", func(t *testing.T) {
		mustKnow(t, mustObserve(t, newObserverWith(minicluster.FailingReads[*mcfgv1.MachineConfigNodeList](errDown),
			cluster()...)).Observed.Pools)
	})
}
