package drain

import (
	"cmp"
	"slices"
	"strings"
)

// trial is the drain of one node, or of a few at the same time, thought through to its end. kubectl's drain evicts all pods at the same
// time, each again every five seconds while it is refused; so the trial goes round until nothing more goes: what one eviction takes from a
// budget, a replacement that becomes ready gives back.
//
// Example: two pods of one budget on the node, maxUnavailable 1. The first goes, the second is refused; the replacement of the first
// becomes ready elsewhere; the second goes. With no room elsewhere the second is refused for ever: the replacement waits for the node,
// and the node waits for the second pod.
type trial struct {
	*cluster
	// set are the nodes: one, or those of one pool that are drained at the same time.
	set []*place
	// change is how many healthy pods of a budget have gone, less those that are back.
	change map[*Budget]int32
	// unsureOf says why it is not known whether a replacement would count for the budget again.
	unsureOf map[*Budget]string
	// down are the hosts of registries that nobody serves while the nodes are away, with why.
	down map[string]string
	// rooms, ports and extra are what replacements take where they land.
	rooms map[int]*room
	ports map[int][]port
	extra map[*group]map[int]int
	// domains are the counts of topology spreads, as they are now.
	domains map[*constraint]map[string]int
	placed  []landed
	// ends are what became of the pods that were evicted.
	ends     map[*pod]outcome
	findings []finding
	start    int
}

type landed struct {
	*pod
	at int
}

// drained tells whether the node is one of those of this trial.
func (t *trial) drained(n *place) bool { return slices.Contains(t.set, n) }

// where names the nodes in a sentence: worker-1, or worker-1 and worker-2.
func (t *trial) where() string {
	list := make([]string, 0, len(t.set))
	for _, n := range t.set {
		list = append(list, n.Name)
	}
	if last := len(list) - 1; last > 0 && last < 4 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return few(list, 4)
}

// outcome is what becomes of a pod that was evicted.
type outcome struct {
	// nowhere is true when no other node takes its replacement; back tells whether the node itself does, once its drain is over.
	nowhere, back bool
	// sound tells whether its images are there, or can be had, wherever it lands.
	sound bool
}

func (c *cluster) try(set ...*place) *trial {
	t := &trial{
		cluster: c, set: set, change: map[*Budget]int32{}, unsureOf: map[*Budget]string{}, down: map[string]string{},
		rooms: map[int]*room{}, ports: map[int][]port{}, extra: map[*group]map[int]int{}, domains: map[*constraint]map[string]int{}, ends: map[*pod]outcome{}, start: set[0].index,
	}
	t.registries()
	t.run()
	t.services()
	t.controlPlane()
	return t
}

// run evicts until nothing more goes. Protected pods come first, as they are the ones that can hold the drain.
func (t *trial) run() {
	var left []*pod
	for _, n := range t.set {
		for _, p := range n.pods {
			switch {
			case p.fare == Stays || (Ended(p.Pod) && p.DeletionTimestamp == nil):
			case p.fare == Ends:
				t.ending(p)
			default:
				left = append(left, p)
			}
		}
	}
	slices.SortFunc(left, func(a, b *pod) int {
		return cmp.Or(b2i(len(t.budgets.Of(b.Pod)) > 0)-b2i(len(t.budgets.Of(a.Pod)) > 0), cmp.Compare(b.priority, a.priority), cmp.Compare(a.String(), b.String()))
	})
	for {
		before := len(left)
		left = slices.DeleteFunc(left, t.evict)
		if len(left) == 0 || len(left) == before {
			break
		}
	}
	t.refused(left)
}

// evict asks the budget, and finds the pod another place. It tells whether the pod is gone.
func (t *trial) evict(p *pod) bool {
	if f, ok := t.judgeMachine(p.Pod); ok {
		t.findings = append(t.findings, f)
		t.ends[p] = outcome{}
		return true // its budget, if it has one, is moved out of the way together with it
	}
	budgets := t.budgets.Of(p.Pod)
	answer := ask(p.Pod, budgets, func(b *Budget) int32 { return b.Healthy - t.change[b] })
	if !answer.Granted() {
		return false
	}
	for _, b := range budgets {
		if healthy(p.Pod, b.PDB.Status.DisruptedPods, t.s.Now) {
			t.change[b]++
		}
	}
	if p.fare == Lost {
		t.findings = append(t.findings, finding{weight: remark, kind: "Pod", namespace: p.Namespace, name: p.Name,
			text: "pod " + p.String() + " belongs to no controller: it is deleted, and nothing starts it again"})
		return true
	}
	if t.replace(p, budgets) {
		for _, b := range budgets {
			t.change[b]--
		}
	}
	return true
}
