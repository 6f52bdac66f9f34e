package drain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Evidence is what a diagnosis looks at beside the Snapshot. Every part of it may be missing: then the chain ends earlier.
type Evidence struct {
	Pulling Pulling
	// Words are what events tell of the failed pull of an image by a pod, for kubelets whose pods do not say it themselves. Nil knows none.
	Words func(pod *corev1.Pod, image string) string
	// Impatient is true when the time of the look is only known to be not earlier: of files, for which a drain that has only begun is told too.
	Impatient bool
	// Updates are, by node, when its daemon took up the new configuration.
	Updates map[string]time.Time
	// VirtualMachines are the virtual machines of virt-launcher pods, by namespace/name.
	VirtualMachines map[types.NamespacedName]VirtualMachine
	// Refusals are the answers to evictions that were tried without effect, by the UID of the pod.
	Refusals map[types.UID]Refusal
	// Awaited is the release whose pods are waited for; nil when none is.
	Awaited *Awaited
	// Creations are what controllers of pods say when they cannot create one, by their UID.
	Creations map[types.UID]string
}

// Refusal is the API server's answer to an eviction that was a dry run.
type Refusal struct {
	Code    int
	Message string
	// Budget is true when it gives a PodDisruptionBudget as the cause.
	Budget bool
}

// Times after which something that is slow counts as stuck, or as worth to be told.
const (
	// settling: a drain that has only begun is not diagnosed: its pods are still being evicted, and budgets recover.
	settling = 15 * time.Second
	// cordoning is how long the Machine Config Controller may take to cordon a node.
	cordoning = time.Minute
	// placing is how long a pod may wait for the scheduler.
	placing = 10 * time.Second
	// overdue is how long after its grace period a pod may still be there.
	overdue = 30 * time.Second
	// pullTime is how long the pull of an image may take; a registry that takes a connection and does not answer holds it for ever.
	pullTime = 5 * time.Minute
	// readyTime is how long a running container may take to become ready.
	readyTime = 5 * time.Minute
	// lostTime is how long a node may say that it is not ready before its pods count as lost.
	lostTime = time.Minute
	// daemonTime is how long the daemon of a node may take for anything but the drain.
	daemonTime = 10 * time.Minute
	// recount is how long the disruption controller may take to see a change of pods.
	recount = time.Minute
)

// Bounds of an obstacle.
const (
	maxChain = 8
	maxPods  = 8
	maxPulls = 4
)

// Diagnose says of every node that is under way and does not get on what holds it, from the drain to the root cause.
//
// Of the several pods that may hold a drain the one is told whose cause is the furthest from passing by itself: while one pod
// terminates, as pods do, another may wait for an image that is nowhere.
func Diagnose(s *Snapshot, e Evidence) []rollout.Obstacle {
	t := newTracer(s, e)
	var out []rollout.Obstacle
	for _, p := range s.Pools {
		for _, n := range p.Nodes {
			if n.Current == "" || n.Stage(n.Desired) == "Done" {
				continue
			}
			if o, ok := t.node(p.Name, n); ok {
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b rollout.Obstacle) int {
		return cmp.Or(rankOf(a.Hindrance)-rankOf(b.Hindrance), cmp.Compare(a.Node, b.Node))
	})
	return t.notBack(out)
}

// tracer follows chains through one snapshot.
type tracer struct {
	*Snapshot
	Evidence
	budgets *Budgets
	nodes   map[string]*corev1.Node
	states  map[string]rollout.Node
	onNode  map[string][]*corev1.Pod
}

func newTracer(s *Snapshot, e Evidence) *tracer {
	t := &tracer{
		Snapshot: s, Evidence: e, budgets: NewBudgets(s.Budgets, s.Pods, s.Scales, s.Now),
		nodes: map[string]*corev1.Node{}, states: map[string]rollout.Node{}, onNode: map[string][]*corev1.Pod{},
	}
	for _, n := range s.Nodes {
		t.nodes[n.Name] = n
	}
	for _, p := range s.Pools {
		for _, n := range p.Nodes {
			t.states[n.Name] = n
		}
	}
	for _, p := range s.Pods {
		if p.Spec.NodeName != "" {
			t.onNode[p.Spec.NodeName] = append(t.onNode[p.Spec.NodeName], p)
		}
	}
	return t
}

// trail is a part of a chain, from something that waits to its cause.
type trail struct {
	hindrance rollout.Hindrance
	links     []rollout.Link
	since     time.Time
	budget    *rollout.Budget
	kept      *rollout.PodName
	pods      []rollout.FailingPod
}

// ranks order the hindrances, the furthest from passing by itself first. A pull, a crash or a node that is lost comes before a pod that has
// no node: the latter is often the consequence.
var ranks = []rollout.Hindrance{
	rollout.HindranceNodeLost, rollout.HindrancePull, rollout.HindranceCrashing, rollout.HindranceBudgetZero, rollout.HindranceOverlap,
	rollout.HindranceWebhook, rollout.HindranceFinalizer, rollout.HindranceUnschedulable, rollout.HindranceBudgetStale,
	rollout.HindranceNotDraining, rollout.HindranceUnknown,
	rollout.HindranceMigrating, rollout.HindranceTerminating, rollout.HindranceStarting, rollout.HindranceRetrying,
}

func rankOf(h rollout.Hindrance) int { return slices.Index(ranks, h) }

// worst is the trail that is told; of equals the one that began first, and then the first by name, so that the same world gives the same
// words.
func worst(trails []trail) trail {
	return slices.MinFunc(trails, func(a, b trail) int {
		return cmp.Or(rankOf(a.hindrance)-rankOf(b.hindrance), a.since.Compare(b.since), cmp.Compare(lastOf(a), lastOf(b)))
	})
}

func lastOf(t trail) string {
	if len(t.links) == 0 {
		return ""
	}
	return t.links[0].Namespace + "/" + t.links[0].Name
}

// node diagnoses one node; ok is false when it gets on.
func (t *tracer) node(pool string, n rollout.Node) (rollout.Obstacle, bool) {
	var found trail
	began := t.drainBegan(n)
	draining := strings.HasPrefix(n.DrainWanted, "drain-") && n.DrainWanted != n.DrainApplied
	switch {
	case !draining:
		var held bool
		if found, held = t.daemon(n); !held {
			return rollout.Obstacle{}, false
		}
	case !t.Impatient && !began.IsZero() && t.Now.Sub(began) < settling:
		return rollout.Obstacle{}, false
	case !n.Unschedulable && (began.IsZero() || t.Now.Sub(began) < cordoning):
		return rollout.Obstacle{}, false
	case !n.Unschedulable:
		// Up to 4.20 the drain of a node that somebody has uncordoned goes on, so its pods come first.
		if found = t.draining(n); found.hindrance == rollout.HindranceRetrying {
			found = t.notCordoned(n)
		}
	default:
		found = t.draining(n)
	}
	if draining && began.After(found.since) {
		found.since = began
	}
	head := rollout.Link{Kind: "Node", Name: n.Name, Since: began, Message: headline(found.hindrance, n.Name)}
	o := rollout.Obstacle{
		Pool: pool, Node: n.Name, Since: found.since, Hindrance: found.hindrance, Budget: found.budget, Kept: found.kept,
		Pods: found.pods[:min(len(found.pods), maxPods)], Chain: append([]rollout.Link{head}, found.links...),
	}
	if len(o.Chain) > maxChain { // the root cause stays
		o.Chain = append(o.Chain[:maxChain-1:maxChain-1], o.Chain[len(o.Chain)-1])
	}
	return o, true
}

func headline(h rollout.Hindrance, node string) string {
	switch {
	case h == rollout.HindranceNotDraining:
		return "node " + node + " does not get on"
	case h.Passing():
		return "drain of " + node + " waits"
	default:
		return "drain of " + node + " is blocked"
	}
}

// drainBegan is when the node was cordoned for its drain: the taint of a cordon carries its time. A node that an administrator had cordoned
// long before is drained after its daemon took up the update. (The condition Drained of a MachineConfigNode does not tell: its time is that
// of the last attempt.)
func (t *tracer) drainBegan(n rollout.Node) time.Time {
	began := t.Updates[n.Name]
	if object := t.nodes[n.Name]; object != nil {
		for _, taint := range object.Spec.Taints {
			if taint.Key == corev1.TaintNodeUnschedulable && taint.TimeAdded != nil && taint.TimeAdded.After(began) {
				began = taint.TimeAdded.Time
			}
		}
	}
	return began.UTC()
}

// draining looks at every pod that still has to leave the node.
func (t *tracer) draining(n rollout.Node) trail {
	if since, lost := t.lost(n.Name); lost {
		return trail{hindrance: rollout.HindranceNodeLost, since: since, links: []rollout.Link{t.lostLink(n.Name, since)}}
	}
	var trails []trail
	for _, p := range t.onNode[n.Name] {
		if HasToLeave(p) {
			trails = append(trails, t.leaving(p))
		}
	}
	if len(trails) == 0 {
		return trail{hindrance: rollout.HindranceRetrying, links: []rollout.Link{{
			Kind: "Node", Name: n.Name, Message: "no pod is left that has to leave; " + again}}}
	}
	return worst(trails)
}

// again is when the Machine Config Controller tries a drain the next time.
const again = "the Machine Config Controller tries again within a minute, and within 5 once a drain has failed for 10"

// HasToLeave tells whether a drain has to wait for the pod. It follows k8s.io/kubectl/pkg/drain with the options of the Machine Config Controller: pods of DaemonSets and static pods
// stay; bare pods go, and so do those that have ended.
func HasToLeave(p *corev1.Pod) bool {
	if p.Annotations[corev1.MirrorPodAnnotationKey] != "" {
		return false
	}
	owner := metav1.GetControllerOf(p)
	if owner != nil && owner.Kind == "DaemonSet" {
		return false
	}
	return p.DeletionTimestamp != nil || !Ended(p)
}

// leaving says what a pod that has to leave waits for.
func (t *tracer) leaving(p *corev1.Pod) trail {
	switch {
	case p.DeletionTimestamp != nil:
		return t.terminating(p)
	case isLauncher(p):
		return t.machine(p)
	}
	if refused, ok := t.Refusals[p.UID]; ok && !refused.Budget && refused.Code >= 400 {
		if found, ok := t.refused(p, refused); ok {
			return found
		}
	}
	answer := t.budgets.Ask(p)
	switch {
	case len(answer.Budgets) > 1 && !answer.Granted():
		return t.overlap(p, answer.Budgets)
	case answer.Granted() && t.behind(answer):
		return t.stale(p, answer.Budgets[0])
	case answer.Granted():
		return trail{hindrance: rollout.HindranceRetrying, kept: nameOf(p), links: []rollout.Link{podLink(p, "pod "+nameIn(p)+" may be evicted now; "+again)}}
	default:
		return t.refusing(p, answer.Budgets[0])
	}
}

// behind tells whether the eviction API still has older numbers than the pods have: it looks at the status of the budget.
func (t *tracer) behind(a Answer) bool {
	if !a.Counts || len(a.Budgets) != 1 || a.Budgets[0].PDB.Status.DisruptionsAllowed > 0 {
		return false
	}
	for _, p := range a.Budgets[0].Pods {
		if since := transition(p, corev1.PodReady); t.Now.Sub(since) < recount {
			return false
		}
	}
	return true
}

func (t *tracer) stale(p *corev1.Pod, b *Budget) trail {
	status := b.PDB.Status
	return trail{
		hindrance: rollout.HindranceBudgetStale, kept: nameOf(p), budget: numbers(b), since: budgetSince(b),
		links: []rollout.Link{{Kind: "PodDisruptionBudget", Namespace: b.PDB.Namespace, Name: b.PDB.Name, Since: budgetSince(b), Message: fmt.Sprintf(
			"the status of PDB %s allows 0 (%d of %d healthy), and its pods would allow %d: the disruption controller has not counted them for more than %s",
			b.Name(), status.CurrentHealthy, status.ExpectedPods, b.Allowed(), recount)}},
	}
}

func (t *tracer) overlap(p *corev1.Pod, budgets []*Budget) trail {
	var names []string
	for _, b := range budgets {
		names = append(names, b.Name())
	}
	slices.Sort(names)
	return trail{hindrance: rollout.HindranceOverlap, kept: nameOf(p), links: []rollout.Link{podLink(p, fmt.Sprintf(
		"pod %s is selected by %d PDBs, %s: the API server answers 500 to its eviction for as long as it is by more than one",
		nameIn(p), len(names), strings.Join(names, " and ")))}}
}

// refused reads an eviction that something else than a budget refuses.
func (t *tracer) refused(p *corev1.Pod, r Refusal) (trail, bool) {
	if r.Code == 403 && !strings.Contains(r.Message, "admission webhook") {
		return trail{}, false // we may not evict, which says nothing of the drain
	}
	if strings.Contains(r.Message, "more than one PodDisruptionBudget") {
		return t.overlap(p, t.budgets.Of(p)), true
	}
	return trail{hindrance: rollout.HindranceWebhook, kept: nameOf(p), links: []rollout.Link{podLink(p, fmt.Sprintf(
		"the eviction of pod %s is answered %d: %s", nameIn(p), r.Code, oneLine(r.Message)))}}, true
}
