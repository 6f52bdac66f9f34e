package preview

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
)

// CrossPoolDeadlock are applications of which a plain mirror set, which drains all pools at the
// same time, can make a deadlock. A rollout drains one pool at a time.
type CrossPoolDeadlock struct {
	// Budgets are the PodDisruptionBudgets, namespace/name.
	Budgets []string
	// Pools drain at the same time, and Nodes are the nodes that the pods may use.
	Pools, Nodes []string
}

func (e CrossPoolDeadlock) String() string {
	return fmt.Sprintf("the pods of PodDisruptionBudgets %s are in pools %s, which a plain mirror set drains at the same time, and have no node to spare "+
		"beside %s: each drain can evict the pod that the other needs to be back, and then neither ends. A SafeMirrorRollout drains one pool at a time",
		strings.Join(e.Budgets, " and "), strings.Join(e.Pools, " and "), strings.Join(e.Nodes, ", "))
}

// deadlockFinder are the cluster's pods and budgets as far as drains that overlap are concerned.
type deadlockFinder struct {
	pools map[string]string         // node -> its pool, of pools that would drain
	nodes map[string]*corev1.Node   // all of them
	pods  map[string][]podPlacement // by namespace
}

// saturatingBudget is a budget whose pods fill every node that they may use, in several pools that
// drain at the same time.
type saturatingBudget struct {
	budget       string
	pools, nodes []string
}

// find finds budgets that share nodes, two or more of them. One alone does not deadlock: its
// evicted pod waits for the node that is drained to come back, and that drain has nothing else to
// wait for.
//
// Example: two nodes in two pools, and two applications with a pod on either node and a budget of
// one. One drain evicts the first application's pod, the other drain the second's; then each is
// refused the pod that is left, for none of the evicted has a node.
func (t deadlockFinder) find(budgets []policyv1.PodDisruptionBudget) []CrossPoolDeadlock {
	groups := map[string]*CrossPoolDeadlock{}
	for i := range budgets {
		c, ok := t.saturatesNodes(&budgets[i])
		if !ok {
			continue
		}
		key := strings.Join(c.nodes, ",")
		if groups[key] == nil {
			groups[key] = &CrossPoolDeadlock{Pools: c.pools, Nodes: c.nodes}
		}
		groups[key].Budgets = append(groups[key].Budgets, c.budget)
	}
	var out []CrossPoolDeadlock
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		if g := groups[key]; len(g.Budgets) > 1 {
			slices.Sort(g.Budgets)
			out = append(out, *g)
		}
	}
	return out
}

func (t deadlockFinder) saturatesNodes(b *policyv1.PodDisruptionBudget) (saturatingBudget, bool) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil || selector.Empty() {
		return saturatingBudget{}, false
	}
	var pods []podPlacement
	pools := map[string]bool{}
	for _, p := range t.pods[b.Namespace] {
		if !selector.Matches(labels.Set(p.labels)) {
			continue
		}
		pods = append(pods, p)
		if pool := t.pools[p.node]; pool != "" {
			pools[pool] = true
		}
	}
	if len(pools) < 2 || int(b.Status.DisruptionsAllowed) >= len(pools) {
		return saturatingBudget{}, false
	}
	usable := t.feasibleNodes(pods[0])
	if len(usable) > len(pods) || !pods[0].onePerNode {
		return saturatingBudget{}, false
	}
	return saturatingBudget{budget: b.Namespace + "/" + b.Name, pools: slices.Sorted(maps.Keys(pools)),
		nodes: usable}, true
}

// feasibleNodes are the nodes on which the pod may run, whatever else is on them.
func (t deadlockFinder) feasibleNodes(p podPlacement) []string {
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeSelector: p.selector, Tolerations: p.tolerations, Affinity: p.affinity}}
	var out []string
	for _, n := range t.nodes {
		if forecast.FilterReason(pod, n) == "" {
			out = append(out, n.Name)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

// isOnePerNode tells whether two pods like this one cannot be on one node: by anti-affinity to its
// own kind, or by a port of the host.
func isOnePerNode(p *corev1.Pod) bool {
	for _, c := range p.Spec.Containers {
		if slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.HostPort != 0 }) {
			return true
		}
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	return slices.ContainsFunc(p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
		func(term corev1.PodAffinityTerm) bool {
			selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
			return err == nil && term.TopologyKey == corev1.LabelHostname && selector.Matches(labels.Set(p.Labels))
		})
}
