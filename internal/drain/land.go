package drain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// refusal says why a node does not take a pod; empty when it does. The order is from cheap to dear.
func (t *trial) refusal(p *pod, n *place) string {
	if t.drained(n) {
		if n != p.at {
			return "drained at the same time"
		}
		return "the node that is drained"
	}
	if why := t.shape(p.mould).why[n.index]; why != "" {
		return why
	}
	if why := taken(p.ports, n.ports); why != "" {
		return why
	}
	if why := taken(p.ports, t.ports[n.index]); why != "" {
		return why
	}
	if why := t.crowded(p, n); why != "" {
		return why
	}
	if why := t.s.Volumes.reaches(p.Pod, n.Node); why != "" {
		return why
	}
	return t.unsociable(p, n)
}

// crowded says what the node has too little of. A pod may push out others of lower priority.
func (t *trial) crowded(p *pod, n *place) string {
	r := t.rooms[n.index]
	if r == nil {
		r = &n.room
	}
	why := r.lacks(p.needs)
	if why == "" {
		return ""
	}
	if policy := p.Spec.PreemptionPolicy; policy == nil || *policy != corev1.PreemptNever {
		free, pushed := r.clone(), false
		for _, q := range n.pods {
			if q.priority < p.priority && !Ended(q.Pod) && q.fare != Stays {
				free.give(q.needs)
				pushed = true
			}
		}
		if pushed && free.lacks(p.needs) == "" {
			return ""
		}
	}
	return "too little " + why
}

// unsociable says which rule about other pods keeps this one from the node.
func (t *trial) unsociable(p *pod, n *place) string {
	for _, s := range t.shunnedBy(p.mould) {
		if v, ok := n.Labels[s.key]; ok && t.kin(s.by, s.key, v, n) > 0 {
			return "anti-affinity of " + s.by.sample.Namespace + "/" + s.by.sample.Name
		}
	}
	for _, a := range p.apart {
		if v, ok := n.Labels[a.key]; ok && t.near(&a.group, a.key, v, n) > 0 {
			return "anti-affinity to its own kind"
		}
	}
	for _, a := range p.near {
		v, ok := n.Labels[a.key]
		if ok && t.near(&a.group, a.key, v, n) > 0 {
			continue
		}
		if !ok || !a.includes(p.Pod) || t.all(&a.group) > 0 {
			return "affinity to other pods"
		}
	}
	for _, k := range p.spread {
		if !t.spreads(k, p, n) {
			return "topology spread over " + k.key
		}
	}
	return ""
}

// kin counts the pods of a kind in the domain.
func (t *trial) kin(m *mould, key, value string, n *place) int {
	if key == corev1.LabelHostname {
		return m.at[n.index]
	}
	sum := 0
	for i, c := range m.at {
		if !t.drained(t.nodes[i]) && t.nodes[i].Labels[key] == value {
			sum += c
		}
	}
	return sum
}

// near counts the pods of the group in the domain: those that are there, without those that leave, with those that have come.
func (t *trial) near(g *group, key, value string, n *place) int {
	on, extra := g.count(t.cluster), t.arrivals(g)
	if key == corev1.LabelHostname {
		return on[n.index] + extra[n.index]
	}
	sum := 0
	for _, counts := range []map[int]int{on, extra} {
		for i, c := range counts {
			if t.nodes[i].Labels[key] == value {
				sum += c
			}
		}
	}
	for _, d := range t.set {
		if d.Labels[key] == value {
			sum -= t.leaving(g, d)
		}
	}
	return sum
}

func (t *trial) all(g *group) int {
	sum := 0
	for _, d := range t.set {
		sum -= t.leaving(g, d)
	}
	for _, counts := range []map[int]int{g.count(t.cluster), t.arrivals(g)} {
		for _, c := range counts {
			sum += c
		}
	}
	return sum
}

// leaving are the pods of the group that the drain takes from a node.
func (t *trial) leaving(g *group, from *place) int {
	if g.count(t.cluster)[from.index] == 0 {
		return 0
	}
	n := 0
	for _, p := range from.pods {
		if (p.fare == Moves || p.fare == Lost) && g.includes(p.Pod) {
			n++
		}
	}
	return n
}

// arrivals are the pods of the group that have landed during this trial.
func (t *trial) arrivals(g *group) map[int]int {
	counts, ok := t.extra[g]
	if !ok {
		counts = map[int]int{}
		for _, l := range t.placed {
			if g.includes(l.Pod) {
				counts[l.at]++
			}
		}
		t.extra[g] = counts
	}
	return counts
}

// spreads follows the scheduler's filter: with the pod, no domain may have more than skew pods above the emptiest one. The node that is
// drained stays a domain, an empty one, unless nodeTaintsPolicy is Honor: a spread over nodes with a skew of one then keeps every other
// node from taking a second pod.
func (t *trial) spreads(k *constraint, p *pod, n *place) bool {
	value, ok := n.Labels[k.key]
	if !ok {
		return false
	}
	domains, known := t.domains[k]
	if !known {
		domains = t.domainsOf(k, p)
		t.domains[k] = domains
	}
	least := 0
	if len(domains) >= k.domains {
		least = slices.Min(append(slices.Collect(maps.Values(domains)), domains[value]))
	}
	return domains[value]+k.itself-least <= k.skew
}

// domainsOf counts the pods of the spread in each domain. It is kept until a pod of the group lands.
func (t *trial) domainsOf(k *constraint, p *pod) map[string]int {
	on, extra := k.count(t.cluster), t.arrivals(&k.group)
	domains := map[string]int{}
	for _, o := range t.nodes {
		v, has := o.Labels[k.key]
		if !has || !t.counts(k, p, o) {
			continue
		}
		c := on[o.index] + extra[o.index]
		if t.drained(o) {
			c -= t.leaving(&k.group, o)
		}
		domains[v] += c
	}
	return domains
}

// counts tells whether a node's pods count for the spread.
func (t *trial) counts(k *constraint, p *pod, o *place) bool {
	if t.drained(o) {
		return !k.taints
	}
	switch why := t.shape(p.mould).why[o.index]; {
	case why == "":
		return true
	case strings.HasPrefix(why, "taint "), why == "cordoned", why == "not Ready":
		return !k.taints
	default:
		return !k.affinity
	}
}

// land puts the replacement on the node, for the rest of the trial.
func (t *trial) land(p *pod, n *place) {
	r := t.rooms[n.index]
	if r == nil {
		c := n.room.clone()
		r = &c
		t.rooms[n.index] = r
	}
	r.take(p.needs)
	if len(p.ports) > 0 {
		t.ports[n.index] = append(t.ports[n.index], p.ports...)
	}
	t.placed = append(t.placed, landed{p, n.index})
	clear(t.domains)
	for g, counts := range t.extra {
		if g.includes(p.Pod) {
			counts[n.index]++
		}
	}
}

// places are the nodes that take the pod: all of them, those that the scheduler prefers first. A pod is steered away from nodes that
// carry the taint UpdateInProgress; that is a preference, so they remain possible.
func (t *trial) places(p *pod) (preferred, others []*place, why map[string]int) {
	why = map[string]int{}
	steered := t.shape(p.mould).steered
	for _, n := range t.nodes {
		switch r := t.refusal(p, n); {
		case r != "":
			why[r]++
		case steered && t.avoided(n):
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

// anywhere is the first place that is found, for a pod of which no more has to be known. Where the search begins moves on, as the
// scheduler spreads what it places.
func (t *trial) anywhere(p *pod) *place {
	for i := range t.nodes {
		n := t.nodes[(t.start+i)%len(t.nodes)]
		if t.refusal(p, n) == "" {
			t.start = n.index + 1
			return n
		}
	}
	return nil
}

// avoided tells whether the node carries the taint of nodes that are still to come, or will while this one is drained.
func (t *trial) avoided(n *place) bool {
	for _, taint := range n.Spec.Taints {
		if taint.Key == updateInProgress {
			return true
		}
	}
	return n.pool != nil && n.pool == t.set[0].pool && n.pool.Steered && coming(n.pool.Pool, n.view)
}

// reasons puts why no node takes a pod into words: of 4 nodes 2 port 80 of the node in use, 1 cordoned, 1 the node that is drained.
func (t *trial) reasons(why map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(why), func(a, b string) int { return cmp.Or(why[b]-why[a], cmp.Compare(a, b)) })
	parts := make([]string, 0, len(keys))
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d %s", why[k], k))
	}
	return fmt.Sprintf("of %d nodes %s", len(t.nodes), few(parts, 4))
}
