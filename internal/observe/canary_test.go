package observe

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func pod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: "worker-0", Containers: []corev1.Container{{Name: "c", Image: "quay.io/acme/" + name + ":v1"}}}}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func budget(namespace string, s *metav1.LabelSelector) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "budget"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: s}}
}

func TestGuardedPods(t *testing.T) {
	app := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}
	cases := map[string]struct {
		objects []client.Object
		want    []string
	}{
		"no budget, no port":       {objects: []client.Object{pod("cart")}},
		"a budget selects it":      {objects: []client.Object{pod("cart"), pod("till"), budget("shop", app("cart"))}, want: []string{"quay.io/acme/cart:v1"}},
		"one of another namespace": {objects: []client.Object{pod("cart"), budget("infra", app("cart"))}},
		"one that selects all":     {objects: []client.Object{pod("cart"), budget("shop", &metav1.LabelSelector{})}, want: []string{"quay.io/acme/cart:v1"}},
		"one without a selector":   {objects: []client.Object{pod("cart"), budget("shop", nil)}},
		"a pod that has ended":     {objects: []client.Object{pod("cart", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), budget("shop", app("cart"))}},
		"a pod with a port":        {objects: []client.Object{pod("cart", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} })}, want: []string{"quay.io/acme/cart:v1"}},
		"a sidecar with a port": {objects: []client.Object{pod("cart", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Image: "mesh:v1", RestartPolicy: new(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{HostPort: 80}}}}
		})}, want: []string{"mesh:v1", "quay.io/acme/cart:v1"}},
		"replicas are asked for once": {objects: []client.Object{pod("cart", replicaOf("1")), pod("cart2", replicaOf("1"), func(p *corev1.Pod) { p.Spec.Containers[0].Image = "quay.io/acme/cart:v1" }), budget("shop", &metav1.LabelSelector{})},
			want: []string{"quay.io/acme/cart:v1"}},
		"all that it needs is there": {objects: []client.Object{pod("cart", func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Image: "i:v1"}} }), budget("shop", app("cart"))}, want: []string{"i:v1", "quay.io/acme/cart:v1"}},
		"our own are none":           {objects: []client.Object{pod("cart", func(p *corev1.Pod) { p.Labels[probe.LabelName] = probe.CanaryName }), budget("shop", &metav1.LabelSelector{})}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cl := minicluster.Client(minicluster.Failing[*corev1.Secret](errDown), c.objects...)
			pods, err := guardedPods(t.Context(), cl, cl)
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
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "cart", UID: uid, Controller: new(true)}}
	}
}

func TestWherePodsMayRun(t *testing.T) {
	infra := func(n *corev1.Node) {
		n.Labels["role"] = "infra"
		n.Spec.Taints = []corev1.Taint{{Key: "infra", Value: "yes", Effect: corev1.TaintEffectNoSchedule}, {Key: "UpdateInProgress", Effect: corev1.TaintEffectPreferNoSchedule}}
	}
	tolerate := func(ts ...corev1.Toleration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Tolerations = ts }
	}
	cases := map[string]struct {
		pod  func(*corev1.Pod)
		node func(*corev1.Node)
		want bool
	}{
		"anywhere":                  {func(*corev1.Pod) {}, func(*corev1.Node) {}, true},
		"another label":             {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"role": "infra"} }, func(*corev1.Node) {}, false},
		"its label":                 {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"role": "infra"} }, func(n *corev1.Node) { n.Labels["role"] = "infra" }, true},
		"a taint":                   {func(*corev1.Pod) {}, infra, false},
		"a taint it tolerates":      {tolerate(corev1.Toleration{Key: "infra", Value: "yes"}), infra, true},
		"any value of the taint":    {tolerate(corev1.Toleration{Key: "infra", Operator: corev1.TolerationOpExists}), infra, true},
		"another value":             {tolerate(corev1.Toleration{Key: "infra", Value: "no"}), infra, false},
		"another effect":            {tolerate(corev1.Toleration{Key: "infra", Value: "yes", Effect: corev1.TaintEffectNoExecute}), infra, false},
		"whatever the taint may be": {tolerate(corev1.Toleration{Operator: corev1.TolerationOpExists}), infra, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := minicluster.Node("worker-0", "worker")
			c.node(n)
			if got := (guarded{spec: &pod("cart", c.pod).Spec}).mayRunOn(n); got != c.want {
				t.Errorf("may run: %t", got)
			}
		})
	}
}

// asked is a world in which worker-0 has the planned configuration and the others do not.
func asked(t *testing.T, references ...inventory.Reference) *World {
	t.Helper()
	w := &World{Rollout: minicluster.Rollout("shop"), Plan: plan.Plan{Digest: "sha256:plan"}, Results: map[string]mirror.Result{}}
	for n, r := range references {
		i := plan.Item{Reference: r, Name: r.Image, Spellings: []string{r.Image}, Pools: []string{"worker"}, Fill: strings.Replace(r.Image, "quay.io", "mirror.local", 1)}
		w.Plan.Items = append(w.Plan.Items, i)
		w.Inventory.References = append(w.Inventory.References, r)
		w.Results[i.Key()] = mirror.Result{Proof: mirror.Proof{Digest: "sha256:" + strings.Repeat("0", 63) + string(rune('1'+n)), Bytes: int64(n+1) << 20, At: minicluster.Began}}
	}
	w.Observed.Record.AppliedPlanHash = "sha256:plan"
	w.Observed.Pools = rollout.Seen([]rollout.Pool{{Name: "worker", Rendered: "rendered-1", Meaning: rollout.MeansPlanned, Nodes: []rollout.Node{
		{Name: "worker-0", Current: "rendered-1", Desired: "rendered-1", State: "Done", Ready: true},
	}}, {Name: "master", Rendered: "rendered-2", Meaning: rollout.MeansPlanned}})
	return w
}

func blocking(image string) inventory.Reference {
	return inventory.Reference{Image: image, Class: inventory.Blocking}
}

func TestCriticalImages(t *testing.T) {
	big, small := blocking("quay.io/acme/big:v1"), blocking("quay.io/acme/small:v1")
	birth := blocking("quay.io/acme/birth:v1")
	birth.Birth = true
	old := inventory.Reference{Image: "quay.io/acme/old:v1", Class: inventory.Historical, Birth: true}
	spec := &corev1.PodSpec{}
	pods := []guarded{{spec, []string{"quay.io/acme/big:v1", "docker.io/unchanged"}, false}, {spec, []string{"quay.io/acme/small:v1"}, false}}
	n := probe.Node{Pool: "worker", Object: minicluster.Node("worker-0", "worker")}
	cases := map[string]struct {
		world *World
		pods  []guarded
		pool  string
		want  []string
	}{
		"guarded ones first, small before big, then birth": {asked(t, birth, small, big, blocking("quay.io/acme/other:v1")), pods, "worker",
			[]string{"quay.io/acme/small:v1", "quay.io/acme/big:v1", "quay.io/acme/birth:v1"}},
		"nothing changes for the pool": {asked(t, small, birth), pods, "infra", nil},
		"what nobody starts any more":  {asked(t, old), nil, "worker", nil},
		"a pod that cannot come here":  {asked(t, small), []guarded{{&corev1.PodSpec{NodeSelector: map[string]string{"a": "b"}}, []string{"quay.io/acme/small:v1"}, false}}, "worker", nil},
		"a risk that is accepted": {func() *World {
			w := asked(t, small)
			w.Plan.Items[0].Accepted = "known"
			return w
		}(), pods, "worker", nil},
		"a pool with nodes of an older configuration": {func() *World {
			w := asked(t, small)
			w.Plan.Items[0].Pools = []string{"worker after rendered-0"}
			return w
		}(), pods, "worker", []string{"quay.io/acme/small:v1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n.Pool = c.pool
			var got []string
			for _, i := range criticalFor(n, c.pods, canaryImages(c.world)) {
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
	n.Status.Images = []corev1.ContainerImage{{Names: []string{"base@sha256:" + strings.Repeat("f", 64)}, SizeBytes: 1 << 30}}
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
		Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, LastHeartbeatTime: metav1.NewTime(minicluster.Began)})
	return n
}

func TestTheFirstNodeIsAsked(t *testing.T) {
	objects := append(minicluster.Pool("worker"), canaryNode("worker-0"), pod("cart"), budget("shop", &metav1.LabelSelector{}))
	l := observer(objects...)
	w := asked(t, blocking("quay.io/acme/cart:v1"))
	canaryPods := func() []corev1.Pod {
		t.Helper()
		var list corev1.PodList
		if err := l.Client.List(t.Context(), &list, client.InNamespace(operatorNamespace)); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	if got := seen(t, l.canary(t.Context(), l.Client, w)); len(got.Kinds) != 0 || got.Disabled {
		t.Errorf("before anything was asked: %+v", got)
	}
	if err := l.Canary(t.Context(), l.Client, w, false); err != nil {
		t.Fatal(err)
	}
	pods := canaryPods()
	if len(pods) != 1 || pods[0].Spec.Containers[0].Image != "quay.io/acme/cart:v1" || pods[0].Labels[probe.LabelName] != probe.CanaryName {
		t.Fatalf("pods %+v", pods)
	}
	want := rollout.Canary{Left: 1, Kinds: []rollout.CanaryKind{{Pool: "worker", Architecture: "amd64", Nodes: []string{"worker-0"}, Chosen: true, Wanted: 1, Seen: 1}}}
	ignore := cmpopts.IgnoreFields(rollout.Canary{}, "Until")
	if diff := cmp.Diff(want, seen(t, l.canary(t.Context(), l.Client, w)), ignore); diff != "" {
		t.Errorf("while it is pulled (-want +got):\n%s", diff)
	}
	pods[0].Status.Phase, pods[0].Spec.NodeName = corev1.PodSucceeded, "worker-0"
	if err := l.Client.Status().Update(t.Context(), &pods[0]); err != nil {
		t.Fatal(err)
	}
	if err := l.Canary(t.Context(), l.Client, w, false); err != nil {
		t.Fatal(err)
	}
	want.Left, want.Kinds[0].Proven = 0, 1
	if diff := cmp.Diff(want, seen(t, l.canary(t.Context(), l.Client, w)), ignore); diff != "" {
		t.Errorf("after the pull (-want +got):\n%s", diff)
	}
	t.Run("it says nothing about what comes after", func(t *testing.T) {
		for name, change := range map[string]func(w *World){
			"another plan": func(w *World) { w.Plan.Digest, w.Observed.Record.AppliedPlanHash = "sha256:next", "sha256:next" },
			"another rendering": func(w *World) {
				w.Observed.Pools = rollout.Seen([]rollout.Pool{{Name: "worker", Rendered: "rendered-9", Meaning: rollout.MeansPlanned, Nodes: []rollout.Node{{Current: "rendered-9", Desired: "rendered-9", State: "Done"}}}})
			},
			"the way back": func(w *World) { w.Observed.Record.Rollback = &v1alpha1.RollbackRecord{} },
		} {
			other := asked(t, blocking("quay.io/acme/cart:v1"))
			change(other)
			if got := seen(t, l.canary(t.Context(), l.Client, other)); len(got.Kinds) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
	t.Run("a retry keeps what is proven", func(t *testing.T) {
		l.TryAgain()
		if got := seen(t, l.canary(t.Context(), l.Client, w)); got.Kinds[0].Proven != 1 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("another process asks again, and takes away what is left", func(t *testing.T) {
		next := liveOf(l.Client)
		next.Now = func() time.Time { return minicluster.Began.Add(time.Minute) }
		if err := next.Canary(t.Context(), next.Client, w, false); err != nil || len(canaryPods()) != 1 {
			t.Fatalf("%d pods (%v)", len(canaryPods()), err)
		}
		if err := next.Canary(t.Context(), next.Client, w, true); err != nil || len(canaryPods()) != 0 {
			t.Errorf("%d pods are left (%v)", len(canaryPods()), err)
		}
	})
	t.Run("the user does without", func(t *testing.T) {
		w.Rollout.Spec.Mirroring.Verification.AfterFirstNode = v1alpha1.Disabled
		if err := l.Canary(t.Context(), l.Client, w, false); err != nil || len(canaryPods()) != 0 {
			t.Errorf("%d pods (%v)", len(canaryPods()), err)
		}
		if got := seen(t, l.canary(t.Context(), l.Client, w)); !got.Disabled {
			t.Errorf("%+v", got)
		}
	})
}

// With preload each node that has the configuration is given what it lacks, with the canary and without it, and not what only pods need that stay.
func TestEachNodeIsGiven(t *testing.T) {
	daemon := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: "2", Controller: new(true)}}
	}
	for name, first := range map[string]v1alpha1.Switch{"with the canary": v1alpha1.Enabled, "without": v1alpha1.Disabled} {
		t.Run(name, func(t *testing.T) {
			l := observer(append(minicluster.Pool("worker"), canaryNode("worker-0"), canaryNode("worker-1"), pod("cart"), pod("agent", daemon), budget("shop", &metav1.LabelSelector{}))...)
			w := asked(t, blocking("quay.io/acme/cart:v1"), blocking("quay.io/acme/agent:v1"))
			w.Rollout.Spec.Release.Preload = v1alpha1.PreloadUpdatedNodes
			w.Rollout.Spec.Mirroring.Verification.AfterFirstNode = first
			if err := l.Canary(t.Context(), l.Client, w, false); err != nil {
				t.Fatal(err)
			}
			got := seen(t, l.canary(t.Context(), l.Client, w)).Preload
			want := rollout.Preload{Wanted: true, Pools: []rollout.PreloadPool{{Pool: "worker", Nodes: []string{"worker-0", "worker-1"}, Wanted: 2, Waiting: []string{"worker-0", "worker-1"}}}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("while they are pulled (-want +got):\n%s", diff)
			}
			var list corev1.PodList
			if err := l.Client.List(t.Context(), &list, client.InNamespace(operatorNamespace)); err != nil {
				t.Fatal(err)
			}
			for i := range list.Items {
				p := &list.Items[i]
				p.Status.Phase = corev1.PodSucceeded
				if err := l.Client.Status().Update(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the outcome, and what is left of it once the pods are gone
				if err := l.Canary(t.Context(), l.Client, w, false); err != nil {
					t.Fatal(err)
				}
				got = seen(t, l.canary(t.Context(), l.Client, w)).Preload
				want.Pools[0].Loaded, want.Pools[0].Ready, want.Pools[0].Waiting = 2, 2, nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("after the pulls (-want +got):\n%s", diff)
				}
			}
			if err := l.Canary(t.Context(), l.Client, w, true); err != nil {
				t.Fatal(err)
			}
			if left := seen(t, l.canary(t.Context(), l.Client, w)).Left; left != 0 {
				t.Errorf("%d pods are left", left)
			}
		})
	}
}

func TestBudgetsThatCannotBeRead(t *testing.T) {
	l := observerOf(minicluster.Failing[*policyv1.PodDisruptionBudgetList](errDown), append(minicluster.Pool("worker"), canaryNode("worker-0"))...)
	if err := l.Canary(t.Context(), l.Client, asked(t), false); err == nil || !strings.Contains(err.Error(), "listing PodDisruptionBudgets: connection refused") {
		t.Errorf("%v", err)
	}
}
