package forecast

import (
	"cmp"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"slices"
	"strings"
)

// simulation is the drain of one node, or of a few at the same time, thought through to its end.
// kubectl's drain evicts all pods at the same time, each again every five seconds while it is
// refused; so the trial goes round until nothing more goes: what one eviction takes from a budget,
// a replacement that becomes ready restores.
//
// Example: two pods of one budget on the node, maxUnavailable 1. The first goes, the second is
// refused; the replacement of the first becomes ready elsewhere; the second goes. With no room
// elsewhere the second is refused for ever: the replacement waits for the node, and the node waits
// for the second pod.
type simulation struct {
	*cluster
	// draining are the nodes: one, or those of one pool that are drained at the same time.
	draining []*nodeInfo
	// disruptions is how many healthy pods of a budget have gone, less those that are back.
	disruptions map[*drain.Budget]int32
	// uncertain says why it is not known whether a replacement would count for the budget again.
	uncertain map[*drain.Budget]string
	// unavailableRegistries are the hosts of registries that nobody serves while the nodes are
	// away, with why.
	unavailableRegistries map[string]string
	// rooms, ports and extra are what replacements take where they land.
	freeByNode       map[int]*freeResources
	assumedHostPorts map[int][]hostPort
	assumedPerGroup  map[*podGroup]map[int]int
	// spreadDomains are the counts of topology spreads, as they are now.
	spreadDomains map[*spreadConstraint]map[string]int
	assumed       []assumedPod
	// outcomes are what became of the pods that were evicted.
	outcomes           map[*pod]outcome
	issues             []issue
	nextStartNodeIndex int
}

type assumedPod struct {
	*pod
	nodeIndex int
}

// isDraining tells whether the node is one of those of this trial.
func (sim *simulation) isDraining(n *nodeInfo) bool { return slices.Contains(sim.draining, n) }

// drainingNames names the nodes in a sentence: worker-1, or worker-1 and worker-2.
func (sim *simulation) drainingNames() string {
	list := make([]string, 0, len(sim.draining))
	for _, n := range sim.draining {
		list = append(list, n.Name)
	}
	if last := len(list) - 1; last > 0 && last < 4 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return abbreviate(list, 4)
}

// outcome is what becomes of a pod that was evicted.
type outcome struct {
	// noOtherNode is true when no other node takes its replacement; back tells whether the node
	// itself does, once its drain is over.
	noOtherNode, canReturn bool
	// imagesAvailable tells whether its images are there, or can be had, wherever it lands.
	imagesAvailable bool
}

func (c *cluster) simulate(draining ...*nodeInfo) *simulation {
	sim := &simulation{
		cluster: c, draining: draining, disruptions: map[*drain.Budget]int32{}, uncertain: map[*drain.Budget]string{},
		unavailableRegistries: map[string]string{},
		freeByNode:            map[int]*freeResources{}, assumedHostPorts: map[int][]hostPort{},
		assumedPerGroup: map[*podGroup]map[int]int{}, spreadDomains: map[*spreadConstraint]map[string]int{},
		outcomes: map[*pod]outcome{}, nextStartNodeIndex: draining[0].index,
	}
	sim.checkRegistries()
	sim.run()
	sim.checkServices()
	sim.checkControlPlane()
	return sim
}

// run evicts until nothing more goes. Protected pods come first, as they are the ones that can hold
// the drain.
func (sim *simulation) run() {
	var remaining []*pod
	for _, n := range sim.draining {
		for _, p := range n.pods {
			switch {
			case p.action == drain.ActionIgnore || (drain.IsPodTerminal(p.Pod) && p.DeletionTimestamp == nil):
			case p.action == drain.ActionTerminating:
				sim.checkTerminating(p)
			default:
				remaining = append(remaining, p)
			}
		}
	}
	slices.SortFunc(remaining, func(a, b *pod) int {
		return cmp.Or(boolToInt(len(sim.budgets.ForPod(b.Pod)) > 0)-boolToInt(len(sim.budgets.ForPod(a.Pod)) > 0),
			cmp.Compare(b.priority, a.priority), cmp.Compare(a.String(), b.String()))
	})
	for {
		before := len(remaining)
		remaining = slices.DeleteFunc(remaining, sim.evict)
		if len(remaining) == 0 || len(remaining) == before {
			break
		}
	}
	sim.recordRefused(remaining)
}

// evict asks the budget, and finds the pod another place. It tells whether the pod is gone.
func (sim *simulation) evict(p *pod) bool {
	if f, ok := sim.checkVM(p.Pod); ok {
		sim.issues = append(sim.issues, f)
		sim.outcomes[p] = outcome{}
		return true // its budget, if it has one, is moved out of the way together with it
	}
	budgets := sim.budgets.ForPod(p.Pod)
	response := drain.CheckEviction(p.Pod, budgets, func(b *drain.Budget) int32 { return b.Healthy - sim.disruptions[b] })
	if !response.Granted() {
		return false
	}
	for _, b := range budgets {
		if drain.IsHealthy(p.Pod, b.PDB.Status.DisruptedPods, sim.snapshot.Now) {
			sim.disruptions[b]++
		}
	}
	if p.action == drain.ActionEvictUnmanaged {
		sim.issues = append(sim.issues, issue{level: levelRemark, kind: "Pod", namespace: p.Namespace, name: p.Name,
			text: "pod " + p.String() + " belongs to no controller: it is deleted, and nothing starts it again"})
		return true
	}
	if sim.placeReplacement(p, budgets) {
		for _, b := range budgets {
			sim.disruptions[b]--
		}
	}
	return true
}
