package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Evidence is what a diagnosis looks at beside the Snapshot. Every part of it may be missing: then
// the chain ends earlier.
type Evidence struct {
	Pulls PullContext
	// PullEventMessage are what events tell of the failed pull of an image by a pod, for kubelets
	// whose pods do not say it themselves. Nil knows none.
	PullEventMessage func(pod *corev1.Pod, image string) string
	// SkipSettlePeriod is true when the time of the look is only known to be not earlier: of files,
	// for which a drain that has only begun is told too.
	SkipSettlePeriod bool
	// UpdateStarted are, by node, when its daemon took up the new configuration.
	UpdateStarted map[string]time.Time
	// VMMigrations are the virtual machines of virt-launcher pods, by namespace/name.
	VMMigrations map[types.NamespacedName]VMMigration
	// EvictionRefusals are the answers to evictions that were tried without effect, by the UID of
	// the pod.
	EvictionRefusals map[types.UID]EvictionRefusal
	// Awaited is the release whose pods are waited for; nil when none is.
	Awaited *AwaitedRelease
	// PodCreateErrors are what controllers of pods say when they cannot create one, by their UID.
	PodCreateErrors map[types.UID]string
}

// EvictionRefusal is the API server's answer to an eviction that was a dry run.
type EvictionRefusal struct {
	Code    int
	Message string
	// ByBudget is true when it gives a PodDisruptionBudget as the cause.
	ByBudget bool
}

// Times after which something that is slow counts as stuck, or as worth to be told.
const (
	// settling: a drain that has only begun is not diagnosed: its pods are still being evicted, and
	// budgets recover.
	settlePeriod = 15 * time.Second
	// cordonTimeout is how long the Machine Config Controller may take to cordon a node.
	cordonTimeout = time.Minute
	// schedulingTimeout is how long a pod may wait for the scheduler.
	schedulingTimeout = 10 * time.Second
	// terminationOverdue is how long after its grace period a pod may still be there.
	terminationOverdue = 30 * time.Second
	// pullTimeout is how long the pull of an image may take; a registry that takes a connection and
	// does not answer holds it for ever.
	pullTimeout = 5 * time.Minute
	// readyTimeout is how long a running container may take to become ready.
	readyTimeout = 5 * time.Minute
	// notReadyTimeout is how long a node may say that it is not ready before its pods count as
	// lost.
	notReadyTimeout = time.Minute
	// daemonTimeout is how long the daemon of a node may take for anything but the drain.
	daemonTimeout = 10 * time.Minute
	// budgetSyncTimeout is how long the disruption controller may take to see a change of pods.
	budgetSyncTimeout = time.Minute
)

// Bounds of an obstacle.
const (
	maxChain = 8
	maxPods  = 8
	maxPulls = 4
)

// Diagnose says of every updating node and makes no progress what holds it, from the drain
// to the root cause.
//
// Of the several pods that may hold a drain the one is told whose cause is the furthest from
// passing by itself: while one pod terminates, as pods do, another may wait for an image that is
// nowhere.
func Diagnose(s *drain.Snapshot, e Evidence) []rollout.BlockedDrain {
	d := newDiagnoser(s, e)
	var out []rollout.BlockedDrain
	for _, p := range s.Pools {
		for _, n := range p.Nodes {
			if n.CurrentConfig == "" || n.UpdateStage(n.DesiredConfig) == "Done" {
				continue
			}
			if o, ok := d.diagnoseNode(p.Name, n); ok {
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b rollout.BlockedDrain) int {
		return cmp.Or(reasonRank(a.Reason)-reasonRank(b.Reason), cmp.Compare(a.Node, b.Node))
	})
	return d.addAwaitedRelease(out)
}

// diagnoser follows chains through one snapshot.
type diagnoser struct {
	*drain.Snapshot
	Evidence
	budgets    *drain.Budgets
	nodes      map[string]*corev1.Node
	nodeStates map[string]rollout.Node
	podsByNode map[string][]*corev1.Pod
}

func newDiagnoser(s *drain.Snapshot, e Evidence) *diagnoser {
	d := &diagnoser{
		Snapshot: s, Evidence: e, budgets: drain.NewBudgets(s.Budgets, s.Pods, s.Scales, s.Now),
		nodes: map[string]*corev1.Node{}, nodeStates: map[string]rollout.Node{}, podsByNode: map[string][]*corev1.Pod{},
	}
	for _, n := range s.Nodes {
		d.nodes[n.Name] = n
	}
	for _, p := range s.Pools {
		for _, n := range p.Nodes {
			d.nodeStates[n.Name] = n
		}
	}
	for _, p := range s.Pods {
		if p.Spec.NodeName != "" {
			d.podsByNode[p.Spec.NodeName] = append(d.podsByNode[p.Spec.NodeName], p)
		}
	}
	return d
}

// causeChain is a part of a chain, from something that waits to its cause.
type causeChain struct {
	reason       rollout.DrainBlockReason
	links        []rollout.CauseLink
	since        time.Time
	budget       *rollout.DisruptionBudget
	protectedPod *rollout.PodRef
	failingPods  []rollout.FailingPod
}

// reasonsBySeverity order the drain block reasons, the furthest from passing by itself first. A
// pull, a crash or a node that is lost comes before a pod that has no node: the latter is often the
// consequence.
var reasonsBySeverity = []rollout.DrainBlockReason{
	rollout.DrainBlockNodeLost, rollout.DrainBlockPull, rollout.DrainBlockCrashing, rollout.DrainBlockBudgetZero,
	rollout.DrainBlockOverlap,
	rollout.DrainBlockWebhook, rollout.DrainBlockFinalizer, rollout.DrainBlockUnschedulable,
	rollout.DrainBlockBudgetStale,
	rollout.DrainBlockNotDraining, rollout.DrainBlockUnknown,
	rollout.DrainBlockMigrating, rollout.DrainBlockTerminating, rollout.DrainBlockStarting, rollout.DrainBlockRetrying,
}

func reasonRank(h rollout.DrainBlockReason) int { return slices.Index(reasonsBySeverity, h) }

// worstChain is the trail that is told; of equals the one that began first, and then the first by
// name, so that the same world gives the same words.
func worstChain(chains []causeChain) causeChain {
	return slices.MinFunc(chains, func(a, b causeChain) int {
		return cmp.Or(reasonRank(a.reason)-reasonRank(b.reason), a.since.Compare(b.since),
			cmp.Compare(firstLinkName(a), firstLinkName(b)))
	})
}

func firstLinkName(d causeChain) string {
	if len(d.links) == 0 {
		return ""
	}
	return d.links[0].Namespace + "/" + d.links[0].Name
}

// diagnoseNode diagnoses one node; ok is false when it gets on.
func (d *diagnoser) diagnoseNode(pool string, n rollout.Node) (rollout.BlockedDrain, bool) {
	var chain causeChain
	startedAt := d.drainBegan(n)
	draining := strings.HasPrefix(n.DesiredDrain, "drain-") && n.DesiredDrain != n.LastAppliedDrain
	switch {
	case !draining:
		var stuck bool
		if chain, stuck = d.daemonChain(n); !stuck {
			return rollout.BlockedDrain{}, false
		}
	case !d.SkipSettlePeriod && !startedAt.IsZero() && d.Now.Sub(startedAt) < settlePeriod:
		return rollout.BlockedDrain{}, false
	case !n.Unschedulable && (startedAt.IsZero() || d.Now.Sub(startedAt) < cordonTimeout):
		return rollout.BlockedDrain{}, false
	case !n.Unschedulable:
		// Up to 4.20 the drain of a node that somebody has uncordoned goes on, so its pods come
		// first.
		if chain = d.diagnoseDrain(n); chain.reason == rollout.DrainBlockRetrying {
			chain = d.notCordonedChain(n)
		}
	default:
		chain = d.diagnoseDrain(n)
	}
	if draining && startedAt.After(chain.since) {
		chain.since = startedAt
	}
	head := rollout.CauseLink{Kind: "Node", Name: n.Name, Since: startedAt, Message: headline(chain.reason, n.Name)}
	o := rollout.BlockedDrain{
		Pool: pool, Node: n.Name, Since: chain.since, Reason: chain.reason, Budget: chain.budget,
		ProtectedPod: chain.protectedPod,
		Pods:         chain.failingPods[:min(len(chain.failingPods), maxPods)],
		CauseChain:   append([]rollout.CauseLink{head}, chain.links...),
	}
	if len(o.CauseChain) > maxChain { // the root cause stays
		o.CauseChain = append(o.CauseChain[:maxChain-1:maxChain-1], o.CauseChain[len(o.CauseChain)-1])
	}
	return o, true
}

func headline(h rollout.DrainBlockReason, node string) string {
	switch {
	case h == rollout.DrainBlockNotDraining:
		return "node " + node + " makes no progress"
	case h.Transient():
		return "drain of " + node + " waits"
	default:
		return "drain of " + node + " is blocked"
	}
}

// drainBegan is when the node was cordoned for its drain: the taint of a cordon carries its time. A
// node that an administrator had cordoned long before is drained after its daemon took up the
// update. (The condition Drained of a MachineConfigNode does not tell: its time is that of the last
// attempt.)
func (d *diagnoser) drainBegan(n rollout.Node) time.Time {
	startedAt := d.UpdateStarted[n.Name]
	if object := d.nodes[n.Name]; object != nil {
		for _, taint := range object.Spec.Taints {
			if taint.Key == corev1.TaintNodeUnschedulable && taint.TimeAdded != nil &&
				taint.TimeAdded.After(startedAt) {
				startedAt = taint.TimeAdded.Time
			}
		}
	}
	return startedAt.UTC()
}

// diagnoseDrain looks at every pod that still has to leave the node.
func (d *diagnoser) diagnoseDrain(n rollout.Node) causeChain {
	if since, lost := d.nodeLost(n.Name); lost {
		return causeChain{reason: rollout.DrainBlockNodeLost, since: since,
			links: []rollout.CauseLink{d.nodeLostLink(n.Name, since)}}
	}
	var chains []causeChain
	for _, p := range d.podsByNode[n.Name] {
		if BlocksDrain(p) {
			chains = append(chains, d.diagnosePod(p))
		}
	}
	if len(chains) == 0 {
		return causeChain{reason: rollout.DrainBlockRetrying, links: []rollout.CauseLink{{
			Kind: "Node", Name: n.Name, Message: "no pod is left that has to leave; " + retryText}}}
	}
	return worstChain(chains)
}

// retryText is when the Machine Config Controller tries a drain the next time.
const retryText = "the Machine Config Controller tries again within a minute, and within 5 once a drain has failed for 10"

// BlocksDrain tells whether a drain has to wait for the pod. It follows k8s.io/kubectl/pkg/drain
// with the options of the Machine Config Controller: pods of DaemonSets and static pods stay; bare
// pods go, and so do those that have ended.
func BlocksDrain(p *corev1.Pod) bool {
	if p.Annotations[corev1.MirrorPodAnnotationKey] != "" {
		return false
	}
	owner := metav1.GetControllerOf(p)
	if owner != nil && owner.Kind == "DaemonSet" {
		return false
	}
	return p.DeletionTimestamp != nil || !drain.IsPodTerminal(p)
}

// diagnosePod says what a pod that has to leave waits for.
func (d *diagnoser) diagnosePod(p *corev1.Pod) causeChain {
	switch {
	case p.DeletionTimestamp != nil:
		return d.terminatingChain(p)
	case isVirtLauncher(p):
		return d.vmChain(p)
	}
	if refused, ok := d.EvictionRefusals[p.UID]; ok && !refused.ByBudget && refused.Code >= 400 {
		if chain, ok := d.webhookChain(p, refused); ok {
			return chain
		}
	}
	response := d.budgets.CheckEviction(p)
	switch {
	case len(response.Budgets) > 1 && !response.Granted():
		return d.overlapChain(p, response.Budgets)
	case response.Granted() && d.statusLags(response):
		return d.staleBudgetChain(p, response.Budgets[0])
	case response.Granted():
		return causeChain{reason: rollout.DrainBlockRetrying, protectedPod: podRefOf(p),
			links: []rollout.CauseLink{podLink(p, "pod "+podKey(p)+" may be evicted now; "+retryText)}}
	default:
		return d.budgetChain(p, response.Budgets[0])
	}
}

// statusLags tells whether the eviction API still has older numbers than the pods have: it looks at
// the status of the budget.
func (d *diagnoser) statusLags(a drain.EvictionResponse) bool {
	if !a.ConsumesBudget || len(a.Budgets) != 1 || a.Budgets[0].PDB.Status.DisruptionsAllowed > 0 {
		return false
	}
	for _, p := range a.Budgets[0].Pods {
		if since := transition(p, corev1.PodReady); d.Now.Sub(since) < budgetSyncTimeout {
			return false
		}
	}
	return true
}

func (d *diagnoser) staleBudgetChain(p *corev1.Pod, b *drain.Budget) causeChain {
	status := b.PDB.Status
	return causeChain{
		reason: rollout.DrainBlockBudgetStale, protectedPod: podRefOf(p), budget: disruptionBudgetOf(b),
		since: budgetSince(b),
		links: []rollout.CauseLink{{Kind: "PodDisruptionBudget", Namespace: b.PDB.Namespace, Name: b.PDB.Name,
			Since: budgetSince(b), Message: fmt.Sprintf(
				"the status of PDB %s allows 0 (%d of %d healthy), and its pods would allow %d: the disruption controller has not counted them for more than %s",
				b.Name(), status.CurrentHealthy, status.ExpectedPods, b.Allowed(), budgetSyncTimeout)}},
	}
}

func (d *diagnoser) overlapChain(p *corev1.Pod, budgets []*drain.Budget) causeChain {
	var names []string
	for _, b := range budgets {
		names = append(names, b.Name())
	}
	slices.Sort(names)
	return causeChain{reason: rollout.DrainBlockOverlap, protectedPod: podRefOf(p),
		links: []rollout.CauseLink{podLink(p, fmt.Sprintf(
			"pod %s is selected by %d PDBs, %s: the API server answers 500 to its eviction for as long as it is by more than one",
			podKey(p), len(names), strings.Join(names, " and ")))}}
}

// webhookChain reads an eviction that something else than a budget refuses.
func (d *diagnoser) webhookChain(p *corev1.Pod, r EvictionRefusal) (causeChain, bool) {
	if r.Code == 403 && !strings.Contains(r.Message, "admission webhook") {
		return causeChain{}, false // we may not evict, which says nothing of the drain
	}
	if strings.Contains(r.Message, "more than one PodDisruptionBudget") {
		return d.overlapChain(p, d.budgets.ForPod(p)), true
	}
	return causeChain{reason: rollout.DrainBlockWebhook, protectedPod: podRefOf(p),
		links: []rollout.CauseLink{podLink(p, fmt.Sprintf(
			"the eviction of pod %s is answered %d: %s", podKey(p), r.Code, oneLine(r.Message)))}}, true
}
