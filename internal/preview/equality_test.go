package preview_test

import (
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

const topology = "machineconfiguration.openshift.io/controlPlaneTopology"

// TestPlanAndOperatorAgree puts one cluster through both roads, what the operator observes before
// anything is paused and what a plan foresees, and demands the same pools, problems, references and
// forecasts. What one of them builds by itself shows up here.
func TestPlanAndOperatorAgree(t *testing.T) {
	const clusters = 150
	drains, held, pending := 0, 0, 0
	for seed := range int64(clusters) {
		g := &generator{rand.New(rand.NewSource(seed))}
		objects := g.cluster()
		r := g.rollout()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			f, w := bothRoads(t, r, objects)
			if f.AlreadyApplied {
				return
			}
			forecast, _ := w.Observed.Forecast.Get()
			drains += forecast.Blocked + forecast.Safe
			held += len(f.Problems)
			for _, p := range f.Prediction.Pools {
				pending += len(p.PendingChanges)
			}
		})
	}
	if drains == 0 || held == 0 || pending == 0 {
		t.Errorf("the clusters show %d drains, %d problems and %d pending changes: they compare nothing", drains, held,
			pending)
	}
}

func bothRoads(t *testing.T, r *v1alpha1.SafeMirrorRollout, objects []client.Object) (*preview.Preview,
	*observe.Observation) {
	t.Helper()
	ctx := context.Background()
	c := minicluster.Client(interceptor.Funcs{}, append(objects, r)...)
	now := func() time.Time { return minicluster.StartTime }
	live := &observe.Observer{Client: c, API: c, Namespace: "safe-mirror-operator", DryRun: dryrun.New(c),
		Transfers:  &execute.Transfers{Engine: mirror.NewEngine(mirror.EngineOptions{})},
		PullChecks: &execute.PullChecks{}, Kinds: observe.NewCachedKinds(minicluster.Scheme()), Now: now}
	w, err := live.Observe(ctx, r.Name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := preview.Compute(ctx,
		preview.Source{Reader: c, Scheme: minicluster.Scheme(), Discovery: prediction.DiscoveryFrom(c.RESTMapper()),
			Now: now()}, preview.ProposedChange{Rollout: r})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "cluster", known(t, w.Observed.Cluster), known(t, f.Cluster),
		cmpopts.IgnoreFields(rollout.Cluster{}, "Warnings"))
	compare(t, "pools", known(t, w.Observed.Pools), f.Prediction.All())
	compare(t, "problems", known(t, w.Observed.SpecProblems), f.Problems)
	compare(t, "references", w.Inventory.References, f.Inventory.References)
	compare(t, "plan", w.Plan.Digest, f.Plan.Digest)
	compare(t, "forecast", known(t, w.Observed.Forecast), f.DrainForecast(preview.RegistryChecks{}).Summary())
	compare(t, "nodes that add or remove themselves", known(t, w.Observed.Cluster).Warnings, f.NodeLifecycleControllers)
	return f, w
}

func compare(t *testing.T, what string, operator, plan any, opts ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(operator, plan, append(opts, cmpopts.EquateEmpty())...); diff != "" {
		t.Errorf("%s (-operator +plan):\n%s", what, diff)
	}
}

func known[T any](t *testing.T, k rollout.Value[T]) T {
	t.Helper()
	v, ok := k.Get()
	if !ok {
		t.Fatalf("unknown: %s", k.Why())
	}
	return v
}

// generator makes clusters and rollouts from a seed.
type generator struct{ *rand.Rand }

// oneIn is true once in n times.
func (g *generator) oneIn(n int) bool { return g.Intn(n) == 0 }

func (g *generator) cluster() []client.Object {
	objects := minicluster.Objects(g.nodes("worker", 1+g.Intn(4))...)
	if g.oneIn(2) {
		objects = append(objects, minicluster.Pool("master", g.nodes("master", 1+2*g.Intn(2))...)...)
	}
	if g.oneIn(3) {
		objects = append(objects, minicluster.Pool("infra", g.nodes("infra", 1+g.Intn(2))...)...)
	}
	single := g.oneIn(5)
	var nodes []*corev1.Node
	for _, o := range objects {
		switch o := o.(type) {
		case *corev1.Node:
			g.node(o, single)
			nodes = append(nodes, o)
		case *mcfgv1.MachineConfigPool:
			if g.oneIn(2) {
				o.Spec.MaxUnavailable = &intstr.IntOrString{Type: intstr.Int, IntVal: int32(1 + g.Intn(3))}
			}
			o.Spec.Paused = g.oneIn(6)
		}
	}
	if g.oneIn(4) {
		objects = append(objects, g.pending(objects))
	}
	if g.oneIn(2) {
		objects = append(objects, policies())
	}
	for i := range 1 + g.Intn(4) {
		objects = append(objects, g.workload(fmt.Sprint("app", i), nodes)...)
	}
	if g.oneIn(2) {
		objects = append(objects, daemonOf("openshift-machine-config-operator", "machine-config-operator-1",
			nodes[g.Intn(len(nodes))].Name,
			map[string]string{"k8s-app": "machine-config-operator"}))
	}
	if g.oneIn(3) {
		objects = append(objects, daemonOf("safe-mirror-operator", "safe-mirror-operator-1",
			nodes[g.Intn(len(nodes))].Name,
			map[string]string{"app.kubernetes.io/name": "safe-mirror-operator"}))
	}
	return objects
}

func (g *generator) nodes(pool string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(pool, "-", i))
	}
	return out
}

func (g *generator) node(n *corev1.Node, single bool) {
	n.CreationTimestamp = metav1.NewTime(minicluster.StartTime.Add(-time.Duration(1+g.Intn(3)) * time.Hour))
	n.Labels[corev1.LabelHostname] = n.Name
	if g.oneIn(2) {
		n.Labels[corev1.LabelTopologyZone] = fmt.Sprint("z", g.Intn(2))
	}
	if single {
		n.Annotations[topology] = "SingleReplica"
	}
	n.Spec.Unschedulable = g.oneIn(8)
	if g.oneIn(8) {
		n.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	}
	if g.oneIn(10) {
		n.Status.Conditions[0].Status = corev1.ConditionFalse
	}
	if g.oneIn(4) {
		n.Status.NodeInfo.Architecture = "arm64"
	}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"),
		corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("20")}
}

// pending lets the worker pool have another change that its nodes do not have yet.
func (g *generator) pending(objects []client.Object) client.Object {
	const name = "rendered-worker-1"
	for _, o := range objects {
		if pool, ok := o.(*mcfgv1.MachineConfigPool); ok && pool.Name == "worker" {
			pool.Spec.Configuration.Name, pool.Spec.Paused = name, true
		}
	}
	return minicluster.MachineConfig(name, minicluster.RegistriesFile(minicluster.BaseRegistriesConf),
		minicluster.File{Path: "/etc/chrony.conf", Content: "server"})
}

// policies are those of a cluster whose Machine Config Operator knows node disruption policies.
func policies() client.Object {
	mc := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
	mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files = []opv1.NodeDisruptionPolicyStatusFile{
		{Path: "/etc/containers/registries.conf",
			Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.SpecialStatusAction}}},
	}
	return mc
}

func (g *generator) workload(name string, nodes []*corev1.Node) []client.Object {
	yes, replicas := true, int32(1+g.Intn(3))
	labels := map[string]string{"app": name}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "quay.io/acme/" + name + ":v1"}}}
	spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("700m")}
	if g.oneIn(3) {
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80,
			Protocol: corev1.ProtocolTCP}}
	}
	if g.oneIn(3) {
		spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}}}}}
	}
	meta := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("deployment-" + name)}
	set := metav1.ObjectMeta{Namespace: "shop", Name: name + "-1", UID: types.UID("set-" + name), Labels: labels,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: name, UID: meta.UID,
			Controller: &yes}}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	out := []client.Object{
		&appsv1.Deployment{ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template}},
		&appsv1.ReplicaSet{ObjectMeta: set,
			Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: selector, Template: template}},
	}
	for i := range replicas {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint(name, "-1-", i),
			UID: types.UID(fmt.Sprint(name, i)), Labels: labels,
			CreationTimestamp: metav1.NewTime(minicluster.StartTime.Add(-time.Hour)),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set.Name,
				UID: set.UID, Controller: &yes}}}, Spec: spec}
		p.Spec.NodeName = nodes[g.Intn(len(nodes))].Name
		p.Status = corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		if g.oneIn(5) {
			p.Status.Conditions[0].Status = corev1.ConditionFalse
		}
		out = append(out, p)
	}
	if g.oneIn(2) {
		most := intstr.FromInt32(int32(g.Intn(2)))
		out = append(out, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &most, Selector: selector}})
	}
	return out
}

func daemonOf(namespace, name, node string, labels map[string]string) client.Object {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:   corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Phase: corev1.PodRunning}}
}

// rollout asks for one thing or another, sensible or not.
func (g *generator) rollout() *v1alpha1.SafeMirrorRollout {
	r := minicluster.Rollout("shop")
	if g.oneIn(2) {
		for _, list := range [][]v1alpha1.ImageMirrors{r.Spec.ImageTagMirrors, r.Spec.ImageDigestMirrors} {
			list[0].MirrorSourcePolicy = v1alpha1.AllowContactingSource
		}
	}
	if g.oneIn(2) {
		r.Spec.Release.Disruption = v1alpha1.DisruptionReload
	}
	if g.oneIn(3) {
		n := int32(1 + g.Intn(3))
		r.Spec.Release.MaxUnavailable = &n
	}
	if g.oneIn(3) {
		r.Spec.Release.Mechanism = v1alpha1.MechanismTargeted
	}
	if g.oneIn(6) {
		r.Spec.Release.Windows = []v1alpha1.MaintenanceWindow{{Schedule: "61 25 * * *", DurationSeconds: 3600,
			TimeZone: "Mars/Olympus"}}
	}
	if g.oneIn(6) {
		r.Spec.Mirroring.Targets = []string{"elsewhere.local/acme"}
	}
	if g.oneIn(6) {
		r.Spec.Mirroring.Platforms = []string{"linux/amd64"}
	}
	if g.oneIn(6) {
		r.Spec.Release.Stages = []v1alpha1.ReleaseStage{{Name: "one", Pool: "worker"}, {Name: "one", Pool: "worker"}}
	}
	return r
}

// TestPendingChangesCount: the mirror sets alone reload, and behind the pause waits a change that
// does not.
func TestPendingChangesCount(t *testing.T) {
	g := &generator{rand.New(rand.NewSource(1))}
	r := minicluster.Rollout("shop")
	r.Spec.Release.Disruption = v1alpha1.DisruptionReload
	objects := append(minicluster.Objects("worker-0", "worker-1"), policies())
	objects = append(objects, g.workload("app", []*corev1.Node{minicluster.Node("worker-0", "worker")})...)
	f, _ := bothRoads(t, r, objects)
	if p := f.Pools[0]; p.Disruption.Effect != "Reload" || p.Evictions != 0 {
		t.Fatalf("without pending changes: %+v, %d evictions", p.Disruption, p.Evictions)
	}
	f, _ = bothRoads(t, r.DeepCopy(), append(objects, g.pending(objects)))
	if p := f.Pools[0]; p.Disruption.Effect != "Reboot" || p.Evictions == 0 {
		t.Errorf("with pending changes: %+v, %d evictions", p.Disruption, p.Evictions)
	}
}

// TestSingleReplicaIsNotDrained: the note on the node decides, on workers too, with or without an
// Infrastructure.
func TestSingleReplicaIsNotDrained(t *testing.T) {
	for name, c := range map[string]struct {
		nodes   []string
		noted   bool
		verdict string
	}{
		"one node":              {[]string{"worker-0"}, true, "Reload"},
		"and a worker":          {[]string{"worker-0", "worker-1"}, true, "Reload"},
		"one node without note": {[]string{"worker-0"}, false, "Drain"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := minicluster.Objects(c.nodes...)
			for _, o := range objects {
				if n, ok := o.(*corev1.Node); ok && c.noted {
					n.Annotations[topology] = "SingleReplica"
				}
			}
			g := &generator{rand.New(rand.NewSource(1))}
			objects = append(objects, g.workload("app", []*corev1.Node{minicluster.Node("worker-0", "worker")})...)
			f, w := bothRoads(t, minicluster.Rollout("shop"), objects)
			if p := f.Pools[0]; string(p.Disruption.Effect) != c.verdict || (p.Evictions > 0) == c.noted {
				t.Errorf("%+v, %d evictions", p.Disruption, p.Evictions)
			}
			if forecast := known(t, w.Observed.Forecast); c.noted && forecast.Safe != len(c.nodes) {
				t.Errorf("forecast %+v, want %d safe", forecast, len(c.nodes))
			}
		})
	}
}
