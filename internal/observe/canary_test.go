package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func pod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name,
		Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: "worker-0",
			Containers: []corev1.Container{{Name: "c", Image: "quay.io/acme/" + name + ":v1"}}}}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func pdb(namespace string, s *metav1.LabelSelector) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "budget"},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: s}}
}

func TestCriticalPods(t *testing.T) {
	app := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}
	cases := map[string]struct {
		objects []client.Object
		want    []string
	}{
		"no budget, no port": {objects: []client.Object{pod("cart")}},
		"a budget selects it": {objects: []client.Object{pod("cart"), pod("till"), pdb("shop", app("cart"))},
			want: []string{"quay.io/acme/cart:v1"}},
		"one of another namespace": {objects: []client.Object{pod("cart"), pdb("infra", app("cart"))}},
		"one that selects all": {objects: []client.Object{pod("cart"), pdb("shop", &metav1.LabelSelector{})},
			want: []string{"quay.io/acme/cart:v1"}},
		"one without a selector": {objects: []client.Object{pod("cart"), pdb("shop", nil)}},
		"a pod that has ended": {objects: []client.Object{pod("cart",
			func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), pdb("shop", app("cart"))}},
		"a pod with a port": {objects: []client.Object{pod("cart",
			func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} })},
			want: []string{"quay.io/acme/cart:v1"}},
		"a sidecar with a port": {objects: []client.Object{pod("cart", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Image: "mesh:v1",
				RestartPolicy: new(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{HostPort: 80}}}}
		})}, want: []string{"mesh:v1", "quay.io/acme/cart:v1"}},
		"replicas are asked for once": {objects: []client.Object{pod("cart", replicaOf("1")),
			pod("cart2", replicaOf("1"), func(p *corev1.Pod) { p.Spec.Containers[0].Image = "quay.io/acme/cart:v1" }),
			pdb("shop", &metav1.LabelSelector{})},
			want: []string{"quay.io/acme/cart:v1"}},
		"all that it needs is there": {objects: []client.Object{pod("cart",
			func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Image: "i:v1"}} }), pdb("shop",
			app("cart"))}, want: []string{"i:v1", "quay.io/acme/cart:v1"}},
		"our own are none": {objects: []client.Object{pod("cart",
			func(p *corev1.Pod) { p.Labels[pullcheck.LabelName] = pullcheck.CanaryName }), pdb("shop",
			&metav1.LabelSelector{})}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cl := minicluster.Client(minicluster.FailingReads[*corev1.Secret](errDown), c.objects...)
			pods, err := criticalPods(t.Context(), cl, cl)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range pods {
				got = append(got, p.images...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// replicaOf makes the pod one of the ReplicaSet's.
func replicaOf(uid types.UID) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "cart", UID: uid,
			Controller: new(true)}}
	}
}

func TestMayRunOn(t *testing.T) {
	infra := func(n *corev1.Node) {
		n.Labels["role"] = "infra"
		n.Spec.Taints = []corev1.Taint{{Key: "infra", Value: "yes", Effect: corev1.TaintEffectNoSchedule},
			{Key: "UpdateInProgress", Effect: corev1.TaintEffectPreferNoSchedule}}
	}
	tolerate := func(ts ...corev1.Toleration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Tolerations = ts }
	}
	cases := map[string]struct {
		pod  func(*corev1.Pod)
		node func(*corev1.Node)
		want bool
	}{
		"anywhere": {func(*corev1.Pod) {}, func(*corev1.Node) {}, true},
		"another label": {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"role": "infra"} },
			func(*corev1.Node) {}, false},
		"its label": {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"role": "infra"} },
			func(n *corev1.Node) { n.Labels["role"] = "infra" }, true},
		"a taint":              {func(*corev1.Pod) {}, infra, false},
		"a taint it tolerates": {tolerate(corev1.Toleration{Key: "infra", Value: "yes"}), infra, true},
		"any value of the taint": {tolerate(corev1.Toleration{Key: "infra", Operator: corev1.TolerationOpExists}),
			infra, true},
		"another value": {tolerate(corev1.Toleration{Key: "infra", Value: "no"}), infra, false},
		"another effect": {tolerate(corev1.Toleration{Key: "infra", Value: "yes",
			Effect: corev1.TaintEffectNoExecute}), infra, false},
		"whatever the taint may be": {tolerate(corev1.Toleration{Operator: corev1.TolerationOpExists}), infra, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := minicluster.Node("worker-0", "worker")
			c.node(n)
			if got := (criticalPod{spec: &pod("cart", c.pod).Spec}).mayRunOn(n); got != c.want {
				t.Errorf("may run: %t", got)
			}
		})
	}
}

// plannedObservation is a world in which worker-0 has the planned configuration and the others do
// not.
func plannedObservation(t *testing.T, references ...inventory.Reference) *Observation {
	t.Helper()
	obs := &Observation{Rollout: minicluster.Rollout("shop"), Plan: plan.Plan{Digest: "sha256:plan"},
		Results: map[string]mirror.Result{}}
	for n, r := range references {
		i := plan.Item{Reference: r, Name: r.Image, Spellings: []string{r.Image}, Pools: []string{"worker"},
			Target: strings.Replace(r.Image, "quay.io", "mirror.local", 1)}
		obs.Plan.Items = append(obs.Plan.Items, i)
		obs.Inventory.References = append(obs.Inventory.References, r)
		obs.Results[i.Key()] = mirror.Result{Proof: mirror.Proof{Digest: "sha256:" + strings.Repeat("0", 63) +
			string(rune('1'+n)), Bytes: int64(n+1) << 20, At: minicluster.StartTime}}
	}
	obs.Observed.Record.AppliedPlanHash = "sha256:plan"
	obs.Observed.Pools = rollout.Known([]rollout.Pool{{Name: "worker", Rendered: "rendered-1",
		Registries: rollout.MatchesPlanned, Nodes: []rollout.Node{
			{Name: "worker-0", CurrentConfig: "rendered-1", DesiredConfig: "rendered-1", State: "Done", Ready: true},
		}}, {Name: "master", Rendered: "rendered-2", Registries: rollout.MatchesPlanned}})
	return obs
}

func blocking(image string) inventory.Reference {
	return inventory.Reference{Image: image, Class: inventory.Blocking}
}

func TestCriticalImages(t *testing.T) {
	big, small := blocking("quay.io/acme/big:v1"), blocking("quay.io/acme/small:v1")
	nodeStart := blocking("quay.io/acme/birth:v1")
	nodeStart.NodeStart = true
	old := inventory.Reference{Image: "quay.io/acme/old:v1", Class: inventory.Historical, NodeStart: true}
	spec := &corev1.PodSpec{}
	pods := []criticalPod{{spec, []string{"quay.io/acme/big:v1", "docker.io/unchanged"}, false},
		{spec, []string{"quay.io/acme/small:v1"}, false}}
	n := pullcheck.Node{Pool: "worker", Object: minicluster.Node("worker-0", "worker")}
	cases := map[string]struct {
		obs  *Observation
		pods []criticalPod
		pool string
		want []string
	}{
		"guarded ones first, small before big, then birth": {plannedObservation(t, nodeStart, small, big,
			blocking("quay.io/acme/other:v1")), pods, "worker",
			[]string{"quay.io/acme/small:v1", "quay.io/acme/big:v1", "quay.io/acme/birth:v1"}},
		"nothing changes for the pool": {plannedObservation(t, small, nodeStart), pods, "infra", nil},
		"what nobody starts any more":  {plannedObservation(t, old), nil, "worker", nil},
		"a pod that cannot come here": {plannedObservation(t, small),
			[]criticalPod{{&corev1.PodSpec{NodeSelector: map[string]string{"a": "b"}},
				[]string{"quay.io/acme/small:v1"}, false}}, "worker", nil},
		"a risk that is accepted": {func() *Observation {
			obs := plannedObservation(t, small)
			obs.Plan.Items[0].Accepted = "known"
			return obs
		}(), pods, "worker", nil},
		"a pool with nodes of an older configuration": {func() *Observation {
			obs := plannedObservation(t, small)
			obs.Plan.Items[0].Pools = []string{"worker after rendered-0"}
			return obs
		}(), pods, "worker", []string{"quay.io/acme/small:v1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n.Pool = c.pool
			var got []string
			for _, i := range criticalImagesFor(n, c.pods, changedPulls(c.obs)) {
				got = append(got, i.Reference)
				if !strings.HasPrefix(i.Endpoint, "mirror.local/") || i.Bytes == 0 || i.Digest == "" {
					t.Errorf("%+v is incomplete", i)
				}
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("critical (-want +got):\n%s", diff)
			}
		})
	}
}

// canaryNode is a node with the planned configuration and room on its disk.
func canaryNode(name string) *corev1.Node {
	n := minicluster.Node(name, "worker")
	for _, key := range []string{"currentConfig", "desiredConfig"} {
		n.Annotations["machineconfiguration.openshift.io/"+key] = "rendered-1"
	}
	n.Annotations["machineconfiguration.openshift.io/state"] = "Done"
	size := corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("100Gi")}
	n.Status.NodeInfo.Architecture, n.Status.Capacity, n.Status.Allocatable = "amd64", size, size
	n.Status.Images = []corev1.ContainerImage{{Names: []string{"base@sha256:" + strings.Repeat("f", 64)},
		SizeBytes: 1 << 30}}
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
		Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse,
		LastHeartbeatTime: metav1.NewTime(minicluster.StartTime)})
	return n
}

func TestUnreadablePDBs(t *testing.T) {
	observer := newObserverWith(minicluster.FailingReads[*policyv1.PodDisruptionBudgetList](errDown),
		append(minicluster.Pool("worker"), canaryNode("worker-0"))...)
	if _, err := observer.CanaryInput(t.Context(), plannedObservation(t)); err == nil ||
		!strings.Contains(err.Error(), "listing PodDisruptionBudgets: connection refused") {
		t.Errorf("%v", err)
	}
}
