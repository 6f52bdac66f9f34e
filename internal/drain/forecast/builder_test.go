package forecast

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clusterBuilder is a small cluster that is written down as it is needed.
type clusterBuilder struct {
	drain.Snapshot
	workloads drain.Workloads
	nodes     map[string]*corev1.Node
}

// workers is a cluster of one pool worker with nodes n1, n2 …, of which n1 is the oldest and so the
// next.
func workers(n int) *clusterBuilder {
	s := &clusterBuilder{nodes: map[string]*corev1.Node{}}
	s.Now, s.Volumes.Known = noon, true
	s.Pools = []drain.PoolNodes{{Pool: rollout.Pool{Name: "worker", Rendered: "new", Registries: rollout.MatchesPlanned},
		Drains: true, TaintsPendingNodes: true}}
	for i := 1; i <= n; i++ {
		s.node("n"+strconv.Itoa(i), 0)
	}
	return s
}

// node adds one to the pool of that number.
func (s *clusterBuilder) node(name string, pool int) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name},
			CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(len(s.Nodes)) * time.Hour))},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"),
				corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("20")},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	s.nodes[name] = n
	s.Nodes = append(s.Nodes, n)
	s.Pools[pool].Nodes = append(s.Pools[pool].Nodes,
		rollout.Node{Name: name, CurrentConfig: "old", DesiredConfig: "old", State: "Done", Ready: true})
	return n
}

// updated is a node that has the new configuration already.
func (s *clusterBuilder) updated(name string) *clusterBuilder {
	for i := range s.Pools {
		for k := range s.Pools[i].Nodes {
			if n := &s.Pools[i].Nodes[k]; n.Name == name {
				n.CurrentConfig, n.DesiredConfig = "new", "new"
			}
		}
	}
	return s
}

// taint, cordon and label change a node.
func (s *clusterBuilder) taint(name, key string) *clusterBuilder {
	s.nodes[name].Spec.Taints = append(s.nodes[name].Spec.Taints,
		corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	return s
}

func (s *clusterBuilder) cordon(names ...string) *clusterBuilder {
	for _, n := range names {
		s.nodes[n].Spec.Unschedulable = true
	}
	return s
}

// value by node, in order; empty for none
func (s *clusterBuilder) label(key string, values ...string) *clusterBuilder {
	for i, v := range values {
		if v != "" {
			s.Nodes[i].Labels[key] = v
		}
	}
	return s
}

// caches puts images on a node.
func (s *clusterBuilder) caches(node string, images ...string) *clusterBuilder {
	s.nodes[node].Status.Images = append(s.nodes[node].Status.Images, corev1.ContainerImage{Names: images})
	return s
}

type podOption func(*corev1.Pod)

// app is a Deployment with a pod on each of the nodes, written node or node:state with the states
// of state. Its scale is the number of pods unless it is given as app=scale.
func (s *clusterBuilder) app(name string, nodes string, changes ...podOption) *clusterBuilder {
	name, scale, scaled := strings.Cut(name, "=")
	list := strings.Fields(nodes)
	replicas := int32(len(list))
	if scaled {
		n, _ := strconv.Atoi(scale)
		replicas = int32(n)
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("d-" + name)},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
	yes := true
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name + "-1",
		UID:             types.UID("rs-" + name),
		OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Name: name, UID: d.UID, Controller: &yes}}},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}}
	s.workloads.Deployments, s.workloads.ReplicaSets = append(s.workloads.Deployments, d),
		append(s.workloads.ReplicaSets, rs)
	for i, on := range list {
		node, state, _ := strings.Cut(on, ":")
		p := podNamed(fmt.Sprintf("%s-%c", name, 'a'+rune(i)), node, name)
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: rs.Name,
			UID: rs.UID, Controller: &yes}}
		for _, c := range changes {
			c(p)
		}
		setState(p, state)
		s.Pods = append(s.Pods, p)
	}
	return s
}

func podNamed(name, node, app string) *corev1.Pod {
	if node == "-" {
		node = ""
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": app},
			CreationTimestamp: metav1.NewTime(noon.Add(-24 * time.Hour))},
		Spec: corev1.PodSpec{NodeName: node,
			Containers: []corev1.Container{{Name: "main", Image: "quay.io/acme/" + app + ":v1"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// setState: unready runs and is not ready, crash goes to and fro, pull waits for its image, pending
// has no node, terminating is within its grace period, stuck past it, done has ended.
func setState(p *corev1.Pod, state string) {
	unready := func(phase corev1.PodPhase, reason string) {
		p.Status.Phase = phase
		p.Status.Conditions[0].Status = corev1.ConditionFalse
		if reason != "" {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}
		}
	}
	switch state {
	case "":
	case "unready":
		unready(corev1.PodRunning, "")
	case "crash":
		unready(corev1.PodRunning, "CrashLoopBackOff")
	case "pull":
		unready(corev1.PodPending, "ImagePullBackOff")
	case "pending":
		unready(corev1.PodPending, "")
		p.Status.Conditions = append(p.Status.Conditions,
			corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable"})
	case "terminating":
		at := metav1.NewTime(noon.Add(time.Hour))
		p.DeletionTimestamp = &at
	case "stuck":
		at := metav1.NewTime(noon.Add(-time.Hour))
		p.DeletionTimestamp, p.Finalizers = &at, []string{"acme.io/backup"}
	case "done":
		unready(corev1.PodSucceeded, "")
	default:
		panic(state)
	}
}

// budget protects the app: max 1, max 25%, min 2.
func (s *clusterBuilder) budget(app, wants string, changes ...func(*policyv1.PodDisruptionBudget)) *clusterBuilder {
	return s.budgetNamed(app, app, wants, changes...)
}

func (s *clusterBuilder) budgetNamed(name, app, wants string,
	changes ...func(*policyv1.PodDisruptionBudget)) *clusterBuilder {
	kind, value, _ := strings.Cut(wants, " ")
	v := intstr.Parse(value)
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}
	if kind == "max" {
		b.Spec.MaxUnavailable = &v
	} else {
		b.Spec.MinAvailable = &v
	}
	for _, c := range changes {
		c(b)
	}
	s.Budgets = append(s.Budgets, b)
	return s
}

func alwaysAllow(b *policyv1.PodDisruptionBudget) {
	policy := policyv1.AlwaysAllow
	b.Spec.UnhealthyPodEvictionPolicy = &policy
}

// succeeded lets a pod have ended, whatever else becomes of it.
func succeeded(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }

// withInitContainer gives the pod a container that has to end before the others start.
func withInitContainer(image string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "setup", Image: image})
	}
}

func withHostPort(number int32) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports,
			corev1.ContainerPort{HostPort: number, ContainerPort: number})
	}
}

// withAntiAffinity keeps two of the app from one node, or zone.
func withAntiAffinity(key string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": p.Labels["app"]}}}}}}
	}
}

func withNodeSelector(key, value string) podOption {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
}

func withToleration(key string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Tolerations = append(p.Spec.Tolerations,
			corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists})
	}
}

func withClaim(name string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "data",
			VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}}
	}
}

// volume is bound to a claim and can be used where the label has the value.
func (s *clusterBuilder) volume(claim, key, value string) *clusterBuilder {
	if s.Volumes.Claims == nil {
		s.Volumes.Claims, s.Volumes.Volumes = map[string]*corev1.PersistentVolumeClaim{},
			map[string]*corev1.PersistentVolume{}
	}
	s.Volumes.Claims["shop/"+claim] = &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + claim}}
	s.Volumes.Volumes["pv-"+claim] = &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + claim},
		Spec: corev1.PersistentVolumeSpec{NodeAffinity: &corev1.VolumeNodeAffinity{
			Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}}}}}}}
	return s
}

// pulling says what becomes of the image on nodes that do not have it.
func (s *clusterBuilder) pulling(image string, a drain.Availability) *clusterBuilder {
	before := s.PullAvailability
	s.PullAvailability = func(n *corev1.Node, name string) drain.Availability {
		if name == image {
			return a
		}
		if before != nil {
			return before(n, name)
		}
		return drain.Availability{State: drain.ImageUnchanged}
	}
	return s
}

func (s *clusterBuilder) service(v drain.CriticalService, app string) *clusterBuilder {
	v.Namespace, v.Pods = "shop", labels.SelectorFromSet(labels.Set{"app": app})
	s.CriticalServices = append(s.CriticalServices, v)
	return s
}

// report is the forecast of the node.
func (s *clusterBuilder) report(node string) NodeReport {
	s.Scales = drain.NewScales(s.workloads)
	for _, n := range ForecastAll(s.Snapshot).Nodes {
		if n.Node == node {
			return n
		}
	}
	return NodeReport{}
}

// describeNode is the outlook of a node, and its problems each as kind name: message.
func describeNode(r NodeReport) string {
	var out strings.Builder
	out.WriteString(string(r.Result))
	for _, p := range r.Problems {
		fmt.Fprintf(&out, "\n%s: %s", p.Kind, p.Message)
	}
	return out.String()
}
