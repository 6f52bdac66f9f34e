package main

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var (
	now          = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	isController = true
	quarter      = intstr.FromString("25%")
)

// The cluster: half of the pods are those of ten DaemonSets, the others of Deployments with four
// pods each, of which a fifth has a budget, a third may not share a node with its own kind, and a
// tenth is spread over the zones. One in fifty protected pods is broken.
const (
	nodes, daemons, apps, replicas = 1000, 10, 2500, 4
	zones, namespaces, images      = 3, 100, 20
	protected, exclusive, spread   = 5, 3, 10
	broken                         = 50
)

func newCluster(size float64) drain.Snapshot {
	s := drain.Snapshot{Now: now, Scales: drain.Scales{}, Volumes: drain.Volumes{Known: true}}
	s.PullAvailability = func(*corev1.Node, string) drain.Availability {
		return drain.Availability{State: drain.ImageVerified, Endpoint: "mirror.example.com/acme/app:v1"}
	}
	pool := drain.PoolNodes{Pool: rollout.Pool{Name: "worker", Rendered: "new", Registries: rollout.MatchesPlanned},
		Drains: true, TaintsPendingNodes: true}
	count := int(nodes * size)
	for i := range count {
		n := node(i)
		s.Nodes = append(s.Nodes, n)
		pool.Nodes = append(pool.Nodes, rollout.Node{Name: n.Name, CurrentConfig: "old", DesiredConfig: "old",
			State: "Done", Ready: true})
		for d := range daemons {
			s.Pods = append(s.Pods, daemon(d, n.Name))
		}
	}
	s.Pools = []drain.PoolNodes{pool}
	for a := range int(apps * size) {
		addApp(&s, a, count)
	}
	return s
}

func node(i int) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:              fmt.Sprintf("worker-%04d", i),
		CreationTimestamp: metav1.NewTime(now.Add(time.Duration(-i) * time.Minute)),
		Labels: map[string]string{corev1.LabelHostname: fmt.Sprintf("worker-%04d", i),
			corev1.LabelTopologyZone: "zone-" + strconv.Itoa(i%zones), corev1.LabelOSStable: "linux"},
	}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("16"),
		corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("250")}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for k := range 50 {
		n.Status.Images = append(n.Status.Images,
			corev1.ContainerImage{Names: []string{image(i + k*images)}, SizeBytes: 1 << 28})
	}
	return n
}

func image(i int) string { return "quay.io/acme/app-" + strconv.Itoa(i%apps) + ":v1" }

func pod(namespace, name, on, ref string, owner metav1.OwnerReference) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name),
			OwnerReferences: []metav1.OwnerReference{owner}, Labels: map[string]string{"app": owner.Name}},
		Spec: corev1.PodSpec{NodeName: on, NodeSelector: map[string]string{corev1.LabelOSStable: "linux"},
			Containers: []corev1.Container{{Name: "main", Image: ref,
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func daemon(d int, on string) *corev1.Pod {
	name := "daemon-" + strconv.Itoa(d)
	p := pod("platform", name+"-"+on, on, "quay.io/platform/"+name+":v1",
		metav1.OwnerReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: name, UID: types.UID(name),
			Controller: &isController})
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{on}}}}}}}}
	return p
}

func addApp(s *drain.Snapshot, a, nodes int) {
	namespace, name := "team-"+strconv.Itoa(a%namespaces), "app-"+strconv.Itoa(a)
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: types.UID(name),
		Controller: &isController}
	s.Scales[owner.UID] = drain.Scale{UID: owner.UID, Kind: "Deployment", Namespace: namespace, Name: name,
		Replicas: replicas}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	for r := range replicas {
		p := pod(namespace, name+"-"+strconv.Itoa(r), s.Nodes[(a*7+r*331)%nodes].Name, image(a), owner)
		if a%exclusive == 0 {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: selector}}}}
		}
		if a%spread == 0 {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 2,
				TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
				LabelSelector: selector}}
		}
		if a%protected == 0 && r == 0 && (a/protected)%broken == 0 {
			p.Status.Conditions[0].Status = corev1.ConditionFalse
		}
		s.Pods = append(s.Pods, p)
	}
	if a%protected == 0 {
		s.Budgets = append(s.Budgets, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace,
			Name: name},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &quarter, Selector: selector}})
	}
}
