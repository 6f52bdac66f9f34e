package preview

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shop is a small cluster with one application.
func shop(more ...client.Object) []client.Object {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "quay.io/acme/app:v1"}}}
	on := spec
	on.NodeName = "worker-0"
	return append(append(minicluster.Objects("worker-0", "worker-1"),
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app"},
			Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app-1"}, Spec: on},
	), more...)
}

func compute(t *testing.T, funcs interceptor.Funcs, change ProposedChange, objects ...client.Object) (*Preview, error) {
	t.Helper()
	return Compute(context.Background(), Source{
		Reader: minicluster.Client(funcs, objects...), Scheme: minicluster.Scheme(),
		Discovery: prediction.DiscoveryFrom(minicluster.Mapper()), Now: noon,
	}, change)
}

func acmeChange() ProposedChange { return ProposedChange{Rollout: minicluster.Rollout("shop")} }

// forbids refuses to read the kinds.
func forbids(kinds ...string) interceptor.Funcs {
	refuse := func(o any) error {
		for _, kind := range kinds {
			if fmt.Sprintf("%T", o) == kind {
				return apierrors.NewForbidden(schema.GroupResource{Resource: strings.ToLower(kind)}, "",
					errors.New("no rights"))
			}
		}
		return nil
	}
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object,
			opts ...client.GetOption) error {
			if err := refuse(o); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if err := refuse(l); err != nil {
				return err
			}
			return c.List(ctx, l, opts...)
		},
	}
}

// What may not be read is a gap that names the role, and decides when it holds pods or starts them.
func TestForbiddenKindsAreCoverageGaps(t *testing.T) {
	cases := map[string]struct {
		kind      string
		source    string
		essential bool
	}{
		"pods":                {"*v1.PodList", "Pod", true},
		"deployments":         {"*v1.DeploymentList", "Deployment", true},
		"budgets":             {"*v1.PodDisruptionBudgetList", "PodDisruptionBudget", false},
		"layering":            {"*v1.MachineOSConfigList", "MachineOSConfig", false},
		"disruption policies": {"*v1.MachineConfiguration", "MachineConfiguration", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, err := compute(t, forbids(c.kind), acmeChange(), shop()...)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range f.Gaps {
				if g.Source == c.source && g.Essential == c.essential && strings.Contains(g.Why, ViewerRole) {
					return
				}
			}
			t.Errorf("no gap %s (essential %t) among %+v", c.source, c.essential, f.Gaps)
		})
	}
}

// Without these nothing can be said at all, and the error says which role is missing.
func TestComputeFails(t *testing.T) {
	for _, kind := range []string{"*v1.MachineConfigPoolList", "*v1.NodeList", "*v1.ImageTagMirrorSetList",
		"*v1.ImageDigestMirrorSetList", "*v1.Image"} {
		f, err := compute(t, forbids(kind), acmeChange(), shop()...)
		if err == nil || !strings.Contains(err.Error(), ViewerRole) {
			t.Errorf("%s: %v, %v", kind, f, err)
		}
	}
}

// One pool that cannot be predicted does not take the others with it.
func TestAPoolThatCannotBePredicted(t *testing.T) {
	broken := minicluster.Pool("edge", "edge-0")
	broken[0].(*mcfgv1.MachineConfigPool).Spec.Configuration.Name = "rendered-edge-gone"
	f, err := compute(t, interceptor.Funcs{}, acmeChange(), shop(broken...)...)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]registriesconf.NodeEffect{}
	for _, p := range f.Pools {
		verdicts[p.Name] = p.Disruption.Effect
	}
	if diff := cmp.Diff(map[string]registriesconf.NodeEffect{"edge": "", "worker": registriesconf.EffectDrain},
		verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if len(f.Plan.Items) != 1 || len(f.Gaps) == 0 || f.Gaps[0].Source != "MachineConfigPool edge" ||
		!f.Gaps[0].Essential {
		t.Errorf("items %d, gaps %+v", len(f.Plan.Items), f.Gaps)
	}
}

// A cluster that nobody rolls is said to be one, and nothing else is asked of it.
func TestUnsupportedClusters(t *testing.T) {
	f, err := Compute(context.Background(), Source{
		Reader: minicluster.Client(interceptor.Funcs{}), Scheme: minicluster.Scheme(),
		Discovery: prediction.DiscoveryFrom(minicluster.Mapper("MachineConfigPool")), Now: noon,
	}, acmeChange())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.PreflightBlockers) != 1 || !strings.Contains(f.PreflightBlockers[0].Message, "MachineConfigPool") {
		t.Errorf("held by %+v", f.PreflightBlockers)
	}
}

func TestAlreadyApplied(t *testing.T) {
	change := acmeChange()
	sets := registriesconf.Sets{Image: &configv1.Image{}}.With(mirrorset.IDMS(change.Rollout),
		mirrorset.ITMS(change.Rollout))
	text, err := registriesconf.Render([]byte(minicluster.BaseRegistriesConf), sets)
	if err != nil {
		t.Fatal(err)
	}
	cluster := func(rendered string) []client.Object {
		var out []client.Object
		for _, o := range shop(mirrorset.IDMS(change.Rollout), mirrorset.ITMS(change.Rollout)) {
			if o.GetName() == minicluster.FirstRendered("worker") {
				o = minicluster.MachineConfig(o.GetName(), minicluster.RegistriesFile(rendered))
			}
			out = append(out, o)
		}
		return out
	}
	if f, err := compute(t, interceptor.Funcs{}, change, cluster(string(text))...); err != nil || !f.AlreadyApplied {
		t.Errorf("every node has it: done %t, %v", f.AlreadyApplied, err)
	}
	if f, err := compute(t, interceptor.Funcs{}, change, cluster(minicluster.BaseRegistriesConf)...); err != nil ||
		f.AlreadyApplied {
		t.Errorf("no node has it: done %t, %v", f.AlreadyApplied, err)
	}
	other := change
	other.Rollout = change.Rollout.DeepCopy()
	other.Rollout.Spec.ImageTagMirrors[0].Mirrors = []string{"elsewhere.local/acme"}
	if f, err := compute(t, interceptor.Funcs{}, other, cluster(string(text))...); err != nil || f.AlreadyApplied {
		t.Errorf("another spec: done %t, %v", f.AlreadyApplied, err)
	}
	plain := ProposedChange{Rollout: &v1alpha1.SafeMirrorRollout{},
		Tags: []configv1.ImageTagMirrorSet{*mirrorset.ITMS(change.Rollout)}}
	if f, err := compute(t, interceptor.Funcs{}, plain, cluster(string(text))...); err != nil || !f.AlreadyApplied {
		t.Errorf("the same as a plain set: done %t, %v", f.AlreadyApplied, err)
	}
}

// The same cluster gives the same foresight, in whatever order it is listed.
func TestComputeIsDeterministic(t *testing.T) {
	shuffled := func(seed uint64) interceptor.Funcs {
		return interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList,
			opts ...client.ListOption) error {
			err := c.List(ctx, l, opts...)
			if nodes, ok := l.(*corev1.NodeList); ok {
				rand.New(rand.NewPCG(seed, 1)).Shuffle(len(nodes.Items),
					func(i, j int) { nodes.Items[i], nodes.Items[j] = nodes.Items[j], nodes.Items[i] })
			}
			return err
		}}
	}
	first := ""
	for seed := range uint64(5) {
		f, err := compute(t, shuffled(seed), acmeChange(), shop()...)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%+v\n%+v\n%+v\n%+v", f.Pools, f.Plan, f.Gaps, f.PreflightBlockers)
		if seed == 0 {
			first = text
		}
		if diff := cmp.Diff(first, text); diff != "" {
			t.Fatalf("seed %d (-first +this):\n%s", seed, diff)
		}
	}
}

func TestExplain(t *testing.T) {
	f, err := compute(t, interceptor.Funcs{}, acmeChange(), shop()...)
	if err != nil {
		t.Fatal(err)
	}
	brief := func(paths []PullPath) []string {
		var out []string
		for _, v := range paths {
			for _, try := range v.Candidates {
				line := fmt.Sprintf("%d nodes, %q by %v:", len(v.Nodes[0].Nodes), try.Scope, try.Origins)
				for i, e := range try.Endpoints {
					line += fmt.Sprintf(" %s %v %t", e.Reference, try.EndpointOrigins[i], e.Blocked)
				}
				out = append(out, line)
			}
		}
		return out
	}
	cases := map[string]struct{ now, after []string }{
		"quay.io/acme/app:v1": {
			now:   []string{`2 nodes, "" by []: quay.io/acme/app:v1 [] false`},
			after: []string{`2 nodes, "quay.io/acme" by [ImageDigestMirrorSet/shop ImageTagMirrorSet/shop]: mirror.local/acme/app:v1 [ImageTagMirrorSet/shop] false quay.io/acme/app:v1 [] true`},
		},
		"nginx": {
			now: []string{`2 nodes, "" by []: registry.access.redhat.com/nginx:latest [] false`,
				`2 nodes, "" by []: docker.io/library/nginx:latest [] false`},
			after: []string{`2 nodes, "" by []: registry.access.redhat.com/nginx:latest [] false`,
				`2 nodes, "" by []: docker.io/library/nginx:latest [] false`},
		},
	}
	for ref, want := range cases {
		t.Run(ref, func(t *testing.T) {
			e, err := f.Explain(ref)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.now, brief(e.Current)); diff != "" {
				t.Errorf("now (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.after, brief(e.Proposed)); diff != "" {
				t.Errorf("after (-want +got):\n%s", diff)
			}
		})
	}
	if e, err := f.Explain("quay.io/acme/app:v1"); err != nil || e.UsedBy == nil || e.UsedBy.Count != 2 {
		t.Errorf("used by %+v, %v", e.UsedBy, err)
	}
	if e, err := f.Explain("UPPER CASE"); err == nil {
		t.Errorf("explained %+v", e)
	}
}

// Nodes of one pool that run different configurations are told apart, and those of which nothing is
// known are named.
func TestExplainGroupsNodes(t *testing.T) {
	behind, gone := minicluster.Node("worker-2", "worker"), minicluster.Node("worker-3", "worker")
	behind.Annotations[minicluster.CurrentConfig] = "rendered-worker-old"
	gone.Annotations[minicluster.CurrentConfig] = "rendered-worker-gone"
	old := minicluster.MachineConfig("rendered-worker-old",
		minicluster.RegistriesFile(minicluster.BaseRegistriesConf+
			"[[registry]]\nlocation = 'quay.io'\nblocked = true\n"))
	f, err := compute(t, interceptor.Funcs{}, ProposedChange{}, shop(behind, gone, old)...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.Explain("quay.io/acme/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Current) != 2 || len(e.Proposed) != 0 || len(e.UnreadNodes) != 1 ||
		!strings.Contains(e.UnreadNodes[0], "rendered-worker-gone") {
		t.Fatalf("%d views now, %d after, unseen %q", len(e.Current), len(e.Proposed), e.UnreadNodes)
	}
	if g := e.Current[1].Nodes[0]; g.Rendered != "rendered-worker-old" ||
		!e.Current[1].Candidates[0].Endpoints[0].Blocked {
		t.Errorf("the node behind: %+v", e.Current[1])
	}
}
