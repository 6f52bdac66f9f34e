package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// budgetChain follows a budget that refuses an eviction to the pods that keep it from allowing one.
func (d *diagnoser) budgetChain(protectedPod *corev1.Pod, b *drain.Budget) causeChain {
	link := rollout.CauseLink{
		Kind: "PodDisruptionBudget", Namespace: b.PDB.Namespace, Name: b.PDB.Name, Since: budgetSince(b),
		Message: fmt.Sprintf("PDB %s %s and keeps pod %s", b.Name(), shortBudget(b), protectedPod.Name),
	}
	out := causeChain{protectedPod: podRefOf(protectedPod), budget: disruptionBudgetOf(b), since: budgetSince(b)}
	switch {
	case b.NotComputed != "":
		out.reason, out.links = rollout.DrainBlockBudgetStale, []rollout.CauseLink{link}
		return out
	case isRookOSDBudget(b):
		link.Message += ": rook allows no storage node but the one that is down to be drained until all placement groups are active+clean, and lifts it then"
		out.reason, out.links = rollout.DrainBlockMigrating, []rollout.CauseLink{link}
		return out
	case b.NeverAllows():
		link.Message += fmt.Sprintf(": with %s it never allows a disruption, even when all of its %d pods are healthy",
			b.Requirement(), max(int(b.Expected), len(b.Pods)))
		out.reason, out.links = rollout.DrainBlockBudgetZero, []rollout.CauseLink{link}
		return out
	}
	var chains []causeChain
	for _, p := range b.Pods {
		if !drain.IsHealthy(p, nil, d.Now) {
			chains = append(chains, d.unhealthyPodChain(p))
		}
	}
	chains = append(chains, d.missingPodsChains(b)...)
	if len(chains) == 0 {
		link.Message += ": an eviction that was granted is not over yet"
		out.reason, out.links = rollout.DrainBlockTerminating, []rollout.CauseLink{link}
		return out
	}
	deepest := worstChain(chains)
	out.reason, out.links = deepest.reason, append([]rollout.CauseLink{link}, deepest.links...)
	if deepest.since.After(out.since) && deepest.reason.Transient() {
		out.since = deepest.since
	}
	slices.SortFunc(chains, func(a, b causeChain) int { return reasonRank(a.reason) - reasonRank(b.reason) })
	for _, one := range chains {
		out.failingPods = append(out.failingPods, one.failingPods...)
	}
	return out
}

// shortBudget is the budget for a chain: allows 0 (2 of 3 healthy, 2 wanted).
func shortBudget(b *drain.Budget) string {
	if b.NotComputed != "" {
		return "allows 0: " + b.NotComputed
	}
	return fmt.Sprintf("allows %d (%d of %d healthy, %d wanted)", b.Allowed(), b.Healthy, b.Expected, b.Desired)
}

// disruptionBudgetOf is the budget for the core.
func disruptionBudgetOf(b *drain.Budget) *rollout.DisruptionBudget {
	out := &rollout.DisruptionBudget{
		Namespace: b.PDB.Namespace, Name: b.PDB.Name, UID: string(b.PDB.UID),
		DisruptionsAllowed: int(b.Allowed()), CurrentHealthy: int(b.Healthy), DesiredHealthy: int(b.Desired),
		ExpectedPods: int(b.Expected),
	}
	if m := b.PDB.Spec.MaxUnavailable; m != nil {
		out.MaxUnavailable = m.String()
	}
	if m := b.PDB.Spec.MinAvailable; m != nil {
		out.MinAvailable = m.String()
	}
	return out
}

// budgetSince is when the disruption controller last found that nothing more may go.
func budgetSince(b *drain.Budget) time.Time {
	c := meta.FindStatusCondition(b.PDB.Status.Conditions, policyv1.DisruptionAllowedCondition)
	if c == nil || c.Status != metav1.ConditionFalse {
		return time.Time{}
	}
	return c.LastTransitionTime.UTC()
}

// isRookOSDBudget knows the budgets that rook makes while an OSD is down: one for each other
// failure domain, which allow nothing.
func isRookOSDBudget(b *drain.Budget) bool {
	return strings.HasPrefix(b.PDB.Name, "rook-ceph-osd-") && b.PDB.Spec.MaxUnavailable != nil &&
		b.PDB.Spec.MaxUnavailable.IntValue() == 0
}

// missingPodsChains are pods that a budget counts on and that do not exist: their controller has
// not created them, or cannot.
func (d *diagnoser) missingPodsChains(b *drain.Budget) []causeChain {
	existing := int32(0)
	var scale drain.Scale
	for _, p := range b.Pods {
		if p.DeletionTimestamp == nil && !drain.IsPodTerminal(p) {
			existing++
		}
		if owner := metav1.GetControllerOf(p); owner != nil && scale.Name == "" {
			scale = d.Scales[owner.UID]
			scale.UID = owner.UID
		}
	}
	if existing >= b.Expected || scale.Name == "" {
		return nil
	}
	link := rollout.CauseLink{Kind: scale.Kind, Namespace: scale.Namespace, Name: scale.Name,
		Message: fmt.Sprintf("%s has %d of %d pods", scale, existing, b.Expected)}
	if why := d.PodCreateErrors[scale.UID]; why != "" {
		link.Message += " and cannot create the next: " + oneLine(why)
		return []causeChain{{reason: rollout.DrainBlockWebhook, links: []rollout.CauseLink{link}}}
	}
	link.Message += ", and creates the next"
	return []causeChain{{reason: rollout.DrainBlockStarting, links: []rollout.CauseLink{link}}}
}

// terminatingChain tells a pod within its grace period from one that is past it.
func (d *diagnoser) terminatingChain(p *corev1.Pod) causeChain {
	deadline := p.DeletionTimestamp.UTC()
	since := deadline
	if p.DeletionGracePeriodSeconds != nil {
		since = deadline.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
	}
	out := causeChain{since: since, failingPods: []rollout.FailingPod{d.failingPod(p, "Terminating", nil)}}
	withMessage := func(h rollout.DrainBlockReason, format string, args ...any) causeChain {
		out.reason = h
		out.links = []rollout.CauseLink{{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Since: since,
			Message: "pod " + podKey(p) + onNodeSuffix(p) + " " + fmt.Sprintf(format, args...)}}
		return out
	}
	if d.Now.Before(deadline.Add(terminationOverdue)) {
		return withMessage(rollout.DrainBlockTerminating, "is terminating and has until %s for it",
			deadline.Format(time.RFC3339))
	}
	if lostSince, lost := d.nodeLost(p.Spec.NodeName); lost {
		out = withMessage(rollout.DrainBlockNodeLost, "was to be gone by %s", deadline.Format(time.RFC3339))
		out.links = append(out.links, d.nodeLostLink(p.Spec.NodeName, lostSince))
		return out
	}
	if len(p.Finalizers) > 0 {
		return withMessage(rollout.DrainBlockFinalizer, "was to be gone by %s and is held by its finalizers %s",
			deadline.Format(time.RFC3339), strings.Join(p.Finalizers, ", "))
	}
	return withMessage(rollout.DrainBlockFinalizer,
		"was to be gone by %s, and its kubelet has not ended it: a process that cannot be killed, or a volume that cannot be unmounted", deadline.Format(time.RFC3339))
}

// nodeLost tells whether a node is gone, or silent, or has said that it is not ready for longer
// than a restart of its kubelet takes. One whose condition is Unknown has been silent for the grace
// period of the node controller already (40 s or 50 s, by release), and is lost at once:
//
//	Ready=False   for 20 s: its kubelet talks, and is about to be ready again
//	Ready=Unknown for  2 s: nobody has heard of it for the better part of a minute
func (d *diagnoser) nodeLost(name string) (since time.Time, lost bool) {
	if name == "" {
		return time.Time{}, false
	}
	n := d.nodes[name]
	if n == nil {
		return time.Time{}, len(d.nodes) > 0
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return c.LastTransitionTime.UTC(), c.Status == corev1.ConditionUnknown ||
				d.Now.Sub(c.LastTransitionTime.Time) >= notReadyTimeout
		}
	}
	return time.Time{}, false
}

func (d *diagnoser) nodeLostLink(name string, since time.Time) rollout.CauseLink {
	message := "node " + name + " is gone"
	if d.nodes[name] != nil {
		message = "node " + name + " is NotReady since " + since.Format(time.RFC3339) + ": its kubelet does not report"
	}
	return rollout.CauseLink{Kind: "Node", Name: name, Since: since, Message: message}
}

// podRefOf names the pod for good.
func podRefOf(p *corev1.Pod) *rollout.PodRef {
	return &rollout.PodRef{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}
}

func podKey(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

func onNodeSuffix(p *corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return ""
	}
	return " on " + p.Spec.NodeName
}

func podLink(p *corev1.Pod, message string) rollout.CauseLink {
	return rollout.CauseLink{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Message: message}
}

// transition is when a condition of the pod last changed; zero when it has none.
func transition(p *corev1.Pod, kind corev1.PodConditionType) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.LastTransitionTime.UTC()
		}
	}
	return time.Time{}
}

// oneLine is what somebody else has said, in one bounded line.
func oneLine(s string) string {
	const limit = 300
	text := strings.Join(strings.Fields(s), " ")
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return text
}
