package preview

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// poolsFixture is a cluster of nodes in pools, with applications of one pod a node.
type poolsFixture struct {
	deadlockFinder
	budgets []policyv1.PodDisruptionBudget
}

// newPoolsFixture makes nodes, written "node pool"; pool - for one that does not drain.
func newPoolsFixture(lines ...string) *poolsFixture {
	s := &poolsFixture{deadlockFinder: deadlockFinder{pools: map[string]string{}, nodes: map[string]*corev1.Node{},
		pods: map[string][]podPlacement{}}}
	for _, line := range lines {
		name, pool, _ := strings.Cut(line, " ")
		s.nodes[name] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
		if pool != "-" {
			s.pools[name] = pool
		}
	}
	return s
}

// app has a pod on each of the nodes, which cannot share one, and a budget that allows so many
// disruptions.
func (s *poolsFixture) app(name string, allowed int32, nodes ...string) *poolsFixture {
	labels := map[string]string{"app": name}
	for _, n := range nodes {
		s.pods["shop"] = append(s.pods["shop"], podPlacement{node: n, labels: labels, onePerNode: true})
	}
	s.budgets = append(s.budgets, policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	})
	return s
}

func (s *poolsFixture) each(change func(*podPlacement)) *poolsFixture {
	for i := range s.pods["shop"] {
		change(&s.pods["shop"][i])
	}
	return s
}

func TestCrossPoolDeadlock(t *testing.T) {
	tainted := newPoolsFixture("a worker", "b edge", "c worker").app("cart", 1, "a", "b").app("till", 1, "a", "b")
	tainted.nodes["c"].Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	cordoned := newPoolsFixture("a worker", "b edge", "c worker").app("cart", 1, "a", "b").app("till", 1, "a", "b")
	cordoned.nodes["c"].Spec.Unschedulable = true
	cases := map[string]struct {
		fixture *poolsFixture
		want    []string
	}{
		"two applications on two nodes of two pools": {newPoolsFixture("a worker", "b edge").app("cart", 1, "a",
			"b").app("till", 1, "a", "b"), []string{"shop/cart shop/till: edge worker: a b"}},
		"one alone ends": {newPoolsFixture("a worker", "b edge").app("cart", 1, "a", "b"), nil},
		"a node to spare": {newPoolsFixture("a worker", "b edge", "c worker").app("cart", 1, "a",
			"b").app("till", 1, "a", "b"), nil},
		"one that is cordoned is none": {cordoned, []string{"shop/cart shop/till: edge worker: a b"}},
		"one that repels is none":      {tainted, []string{"shop/cart shop/till: edge worker: a b"}},
		"one pool drains one node at a time": {newPoolsFixture("a worker", "b worker").app("cart", 1, "a",
			"b").app("till", 1, "a", "b"), nil},
		"the other pool does not drain": {newPoolsFixture("a worker", "b -").app("cart", 1, "a", "b").app("till",
			1, "a", "b"), nil},
		"a generous budget": {newPoolsFixture("a worker", "b edge").app("cart", 2, "a",
			"b").app("till", 2, "a", "b"), nil},
		"pods that can share a node": {newPoolsFixture("a worker", "b edge").app("cart", 1, "a",
			"b").app("till", 1, "a", "b").each(func(p *podPlacement) { p.onePerNode = false }), nil},
		"on different nodes": {newPoolsFixture("a worker", "b edge", "c worker", "d edge").app("cart",
			1, "a", "b").app("till", 1, "c", "d"), nil},
		"one that tolerates the taint": {tainted.clone().each(func(p *podPlacement) {
			p.tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
		}), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range c.fixture.find(c.fixture.budgets) {
				got = append(got, strings.Join(e.Budgets, " ")+": "+strings.Join(e.Pools, " ")+": "+
					strings.Join(e.Nodes, " "))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("entangled (-want +got):\n%s", diff)
			}
		})
	}
}

func (s *poolsFixture) clone() *poolsFixture {
	out := *s
	out.pods = map[string][]podPlacement{}
	for ns, pods := range s.pods {
		out.pods[ns] = append([]podPlacement{}, pods...)
	}
	return &out
}

func TestOnePerNode(t *testing.T) {
	term := func(key, app string) *corev1.Affinity {
		return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}}}
	}
	cases := map[string]struct {
		spec corev1.PodSpec
		want bool
	}{
		"nothing":                  {corev1.PodSpec{}, false},
		"a port of the host":       {corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: 443}}}}}, true},
		"a port of its own":        {corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 443}}}}}, false},
		"apart from its own":       {corev1.PodSpec{Affinity: term(corev1.LabelHostname, "me")}, true},
		"apart from another":       {corev1.PodSpec{Affinity: term(corev1.LabelHostname, "you")}, false},
		"apart from its own, zone": {corev1.PodSpec{Affinity: term(corev1.LabelTopologyZone, "me")}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isOnePerNode(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "me"}},
				Spec: c.spec}); got != c.want {
				t.Errorf("alone %t, want %t", got, c.want)
			}
		})
	}
}
