package forecast

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
)

// filterReason says why a node does not take a pod; empty when it does. The order is from cheap to
// dear.
func (sim *simulation) filterReason(p *pod, n *nodeInfo) string {
	if sim.isDraining(n) {
		if n != p.node {
			return "drained at the same time"
		}
		return "the node that is drained"
	}
	if why := sim.constraintsOf(p.equivalenceClass).reasons[n.index]; why != "" {
		return why
	}
	if why := hostPortConflict(p.hostPorts, n.hostPorts); why != "" {
		return why
	}
	if why := hostPortConflict(p.hostPorts, sim.assumedHostPorts[n.index]); why != "" {
		return why
	}
	if why := sim.insufficientResource(p, n); why != "" {
		return why
	}
	if why := sim.snapshot.Volumes.UnreachableReason(p.Pod, n.Node); why != "" {
		return why
	}
	return sim.affinityReason(p, n)
}

// insufficientResource says what the node has too little of. A pod may push out others of lower
// priority.
func (sim *simulation) insufficientResource(p *pod, n *nodeInfo) string {
	r := sim.freeByNode[n.index]
	if r == nil {
		r = &n.free
	}
	why := r.insufficient(p.requests)
	if why == "" {
		return ""
	}
	if policy := p.Spec.PreemptionPolicy; policy == nil || *policy != corev1.PreemptNever {
		free, preempted := r.clone(), false
		for _, q := range n.pods {
			if q.priority < p.priority && !drain.IsPodTerminal(q.Pod) && q.action != drain.ActionIgnore {
				free.add(q.requests)
				preempted = true
			}
		}
		if preempted && free.insufficient(p.requests) == "" {
			return ""
		}
	}
	return "too little " + why
}

// affinityReason says which rule about other pods keeps this one from the node.
func (sim *simulation) affinityReason(p *pod, n *nodeInfo) string {
	for _, s := range sim.existingAntiAffinities(p.equivalenceClass) {
		if v, ok := n.Labels[s.topologyKey]; ok && sim.classPodsInDomain(s.class, s.topologyKey, v, n) > 0 {
			return "anti-affinity of " + s.class.sample.Namespace + "/" + s.class.sample.Name
		}
	}
	for _, a := range p.antiAffinity {
		if v, ok := n.Labels[a.topologyKey]; ok && sim.groupPodsInDomain(&a.podGroup, a.topologyKey, v, n) > 0 {
			return "anti-affinity to its own kind"
		}
	}
	for _, a := range p.affinity {
		v, ok := n.Labels[a.topologyKey]
		if ok && sim.groupPodsInDomain(&a.podGroup, a.topologyKey, v, n) > 0 {
			continue
		}
		if !ok || !a.matches(p.Pod) || sim.groupPods(&a.podGroup) > 0 {
			return "affinity to other pods"
		}
	}
	for _, k := range p.spread {
		if !sim.satisfiesSpread(k, p, n) {
			return "topology spread over " + k.topologyKey
		}
	}
	return ""
}

// classPodsInDomain counts the pods of a kind in the domain.
func (sim *simulation) classPodsInDomain(m *equivalenceClass, key, value string, n *nodeInfo) int {
	if key == corev1.LabelHostname {
		return m.perNode[n.index]
	}
	sum := 0
	for i, c := range m.perNode {
		if !sim.isDraining(sim.nodes[i]) && sim.nodes[i].Labels[key] == value {
			sum += c
		}
	}
	return sum
}

// groupPodsInDomain counts the pods of the group in the domain: those that are there, without those
// that leave, with those that have come.
func (sim *simulation) groupPodsInDomain(g *podGroup, key, value string, n *nodeInfo) int {
	existing, assumed := g.countPerNode(sim.cluster), sim.assumedOf(g)
	if key == corev1.LabelHostname {
		return existing[n.index] + assumed[n.index]
	}
	sum := 0
	for _, counts := range []map[int]int{existing, assumed} {
		for i, c := range counts {
			if sim.nodes[i].Labels[key] == value {
				sum += c
			}
		}
	}
	for _, d := range sim.draining {
		if d.Labels[key] == value {
			sum -= sim.evictedFrom(g, d)
		}
	}
	return sum
}

func (sim *simulation) groupPods(g *podGroup) int {
	sum := 0
	for _, d := range sim.draining {
		sum -= sim.evictedFrom(g, d)
	}
	for _, counts := range []map[int]int{g.countPerNode(sim.cluster), sim.assumedOf(g)} {
		for _, c := range counts {
			sum += c
		}
	}
	return sum
}

// evictedFrom are the pods of the group that the drain takes from a node.
func (sim *simulation) evictedFrom(g *podGroup, from *nodeInfo) int {
	if g.countPerNode(sim.cluster)[from.index] == 0 {
		return 0
	}
	n := 0
	for _, p := range from.pods {
		if (p.action == drain.ActionEvict || p.action == drain.ActionEvictUnmanaged) && g.matches(p.Pod) {
			n++
		}
	}
	return n
}

// assumedOf are the pods of the group that have landed during this trial.
func (sim *simulation) assumedOf(g *podGroup) map[int]int {
	counts, ok := sim.assumedPerGroup[g]
	if !ok {
		counts = map[int]int{}
		for _, l := range sim.assumed {
			if g.matches(l.Pod) {
				counts[l.nodeIndex]++
			}
		}
		sim.assumedPerGroup[g] = counts
	}
	return counts
}

// satisfiesSpread follows the scheduler's filter: with the pod, no domain may have more than skew
// pods above the emptiest one. The node that is drained stays a domain, an empty one, unless
// nodeTaintsPolicy is Honor: a spread over nodes with a skew of one then keeps every other node
// from taking a second pod.
func (sim *simulation) satisfiesSpread(k *spreadConstraint, p *pod, n *nodeInfo) bool {
	value, ok := n.Labels[k.topologyKey]
	if !ok {
		return false
	}
	domains, known := sim.spreadDomains[k]
	if !known {
		domains = sim.countDomains(k, p)
		sim.spreadDomains[k] = domains
	}
	minCount := 0
	if len(domains) >= k.minDomains {
		minCount = slices.Min(append(slices.Collect(maps.Values(domains)), domains[value]))
	}
	return domains[value]+k.selfMatch-minCount <= k.maxSkew
}

// countDomains counts the pods of the spread in each domain. It is kept until a pod of the group
// lands.
func (sim *simulation) countDomains(k *spreadConstraint, p *pod) map[string]int {
	existing, assumed := k.countPerNode(sim.cluster), sim.assumedOf(&k.podGroup)
	domains := map[string]int{}
	for _, o := range sim.nodes {
		v, has := o.Labels[k.topologyKey]
		if !has || !sim.countsForSpread(k, p, o) {
			continue
		}
		c := existing[o.index] + assumed[o.index]
		if sim.isDraining(o) {
			c -= sim.evictedFrom(&k.podGroup, o)
		}
		domains[v] += c
	}
	return domains
}

// countsForSpread tells whether a node's pods count for the spread.
func (sim *simulation) countsForSpread(k *spreadConstraint, p *pod, o *nodeInfo) bool {
	if sim.isDraining(o) {
		return !k.honorTaints
	}
	switch why := sim.constraintsOf(p.equivalenceClass).reasons[o.index]; {
	case why == "":
		return true
	case strings.HasPrefix(why, "taint "), why == "cordoned", why == "not Ready":
		return !k.honorTaints
	default:
		return !k.honorAffinity
	}
}

// assume puts the replacement on the node, for the rest of the trial.
func (sim *simulation) assume(p *pod, n *nodeInfo) {
	r := sim.freeByNode[n.index]
	if r == nil {
		c := n.free.clone()
		r = &c
		sim.freeByNode[n.index] = r
	}
	r.subtract(p.requests)
	if len(p.hostPorts) > 0 {
		sim.assumedHostPorts[n.index] = append(sim.assumedHostPorts[n.index], p.hostPorts...)
	}
	sim.assumed = append(sim.assumed, assumedPod{p, n.index})
	clear(sim.spreadDomains)
	for g, counts := range sim.assumedPerGroup {
		if g.matches(p.Pod) {
			counts[n.index]++
		}
	}
}

// feasibleNodes are the nodes that take the pod: all of them, those that the scheduler prefers
// first. A pod is steered away from nodes that carry the taint UpdateInProgress; that is a
// preference, so they remain possible.
func (sim *simulation) feasibleNodes(p *pod) (preferred, others []*nodeInfo, why map[string]int) {
	why = map[string]int{}
	avoidsPending := sim.constraintsOf(p.equivalenceClass).avoidsPending
	for _, n := range sim.nodes {
		switch r := sim.filterReason(p, n); {
		case r != "":
			why[r]++
		case avoidsPending && sim.hasPendingTaint(n):
			others = append(others, n)
		default:
			preferred = append(preferred, n)
		}
	}
	if len(preferred) == 0 {
		return others, nil, why
	}
	return preferred, others, why
}

// firstFeasibleNode is the first place that is found, for a pod of which no more has to be known.
// Where the search begins moves on, as the scheduler spreads what it places.
func (sim *simulation) firstFeasibleNode(p *pod) *nodeInfo {
	for i := range sim.nodes {
		n := sim.nodes[(sim.nextStartNodeIndex+i)%len(sim.nodes)]
		if sim.filterReason(p, n) == "" {
			sim.nextStartNodeIndex = n.index + 1
			return n
		}
	}
	return nil
}

// hasPendingTaint tells whether the node carries the taint of nodes that are still to come, or will
// while this one is drained.
func (sim *simulation) hasPendingTaint(n *nodeInfo) bool {
	for _, taint := range n.Spec.Taints {
		if taint.Key == drain.TaintUpdateInProgress {
			return true
		}
	}
	return n.pool != nil && n.pool == sim.draining[0].pool && n.pool.TaintsPendingNodes &&
		drain.IsPending(n.pool.Pool, n.state)
}

// filterSummary puts why no node takes a pod into words: of 4 nodes 2 port 80 of the node in use, 1
// cordoned, 1 the node that is drained.
func (sim *simulation) filterSummary(why map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(why), func(a, b string) int { return cmp.Or(why[b]-why[a], cmp.Compare(a, b)) })
	parts := make([]string, 0, len(keys))
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d %s", why[k], k))
	}
	return fmt.Sprintf("of %d nodes %s", len(sim.nodes), abbreviate(parts, 4))
}
