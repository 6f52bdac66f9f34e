package drain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// refusing follows a budget that refuses an eviction to the pods that keep it from allowing one.
func (t *tracer) refusing(kept *corev1.Pod, b *Budget) trail {
	link := rollout.Link{
		Kind: "PodDisruptionBudget", Namespace: b.PDB.Namespace, Name: b.PDB.Name, Since: budgetSince(b),
		Message: fmt.Sprintf("PDB %s %s and keeps pod %s", b.Name(), inNumbers(b), kept.Name),
	}
	out := trail{kept: nameOf(kept), budget: numbers(b), since: budgetSince(b)}
	switch {
	case b.Trouble != "":
		out.hindrance, out.links = rollout.HindranceBudgetStale, []rollout.Link{link}
		return out
	case blocksForStorage(b):
		link.Message += ": rook allows no storage node but the one that is down to be drained until all placement groups are active+clean, and lifts it then"
		out.hindrance, out.links = rollout.HindranceMigrating, []rollout.Link{link}
		return out
	case b.Never():
		link.Message += fmt.Sprintf(": with %s it never allows a disruption, even when all of its %d pods are healthy", b.Wants(), max(int(b.Expected), len(b.Pods)))
		out.hindrance, out.links = rollout.HindranceBudgetZero, []rollout.Link{link}
		return out
	}
	var trails []trail
	for _, p := range b.Pods {
		if !healthy(p, nil, t.Now) {
			trails = append(trails, t.unhealthy(p))
		}
	}
	trails = append(trails, t.missing(b)...)
	if len(trails) == 0 {
		link.Message += ": an eviction that was granted is not over yet"
		out.hindrance, out.links = rollout.HindranceTerminating, []rollout.Link{link}
		return out
	}
	deepest := worst(trails)
	out.hindrance, out.links = deepest.hindrance, append([]rollout.Link{link}, deepest.links...)
	if deepest.since.After(out.since) && deepest.hindrance.Passing() {
		out.since = deepest.since
	}
	slices.SortFunc(trails, func(a, b trail) int { return rankOf(a.hindrance) - rankOf(b.hindrance) })
	for _, one := range trails {
		out.pods = append(out.pods, one.pods...)
	}
	return out
}

// inNumbers is the budget for a chain: allows 0 (2 of 3 healthy, 2 wanted).
func inNumbers(b *Budget) string {
	if b.Trouble != "" {
		return "allows 0: " + b.Trouble
	}
	return fmt.Sprintf("allows %d (%d of %d healthy, %d wanted)", b.Allowed(), b.Healthy, b.Expected, b.Desired)
}

// numbers is the budget for the core.
func numbers(b *Budget) *rollout.Budget {
	out := &rollout.Budget{
		Namespace: b.PDB.Namespace, Name: b.PDB.Name, UID: string(b.PDB.UID),
		Allowed: int(b.Allowed()), Healthy: int(b.Healthy), Desired: int(b.Desired), Expected: int(b.Expected),
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
func budgetSince(b *Budget) time.Time {
	c := meta.FindStatusCondition(b.PDB.Status.Conditions, policyv1.DisruptionAllowedCondition)
	if c == nil || c.Status != metav1.ConditionFalse {
		return time.Time{}
	}
	return c.LastTransitionTime.UTC()
}

// blocksForStorage knows the budgets that rook makes while an OSD is down: one for each other failure domain, which allow nothing.
func blocksForStorage(b *Budget) bool {
	return strings.HasPrefix(b.PDB.Name, "rook-ceph-osd-") && b.PDB.Spec.MaxUnavailable != nil && b.PDB.Spec.MaxUnavailable.IntValue() == 0
}

// missing are pods that a budget counts on and that do not exist: their controller has not created them, or cannot.
func (t *tracer) missing(b *Budget) []trail {
	there := int32(0)
	var scale Scale
	for _, p := range b.Pods {
		if p.DeletionTimestamp == nil && !Ended(p) {
			there++
		}
		if owner := metav1.GetControllerOf(p); owner != nil && scale.Name == "" {
			scale = t.Scales[owner.UID]
			scale.UID = owner.UID
		}
	}
	if there >= b.Expected || scale.Name == "" {
		return nil
	}
	link := rollout.Link{Kind: scale.Kind, Namespace: scale.Namespace, Name: scale.Name,
		Message: fmt.Sprintf("%s has %d of %d pods", scale, there, b.Expected)}
	if why := t.Creations[scale.UID]; why != "" {
		link.Message += " and cannot create the next: " + oneLine(why)
		return []trail{{hindrance: rollout.HindranceWebhook, links: []rollout.Link{link}}}
	}
	link.Message += ", and creates the next"
	return []trail{{hindrance: rollout.HindranceStarting, links: []rollout.Link{link}}}
}

// terminating tells a pod within its grace period from one that is past it.
func (t *tracer) terminating(p *corev1.Pod) trail {
	until := p.DeletionTimestamp.UTC()
	since := until
	if p.DeletionGracePeriodSeconds != nil {
		since = until.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
	}
	out := trail{since: since, pods: []rollout.FailingPod{t.failing(p, "Terminating", nil)}}
	say := func(h rollout.Hindrance, format string, args ...any) trail {
		out.hindrance = h
		out.links = []rollout.Link{{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Since: since, Message: "pod " + nameIn(p) + onNode(p) + " " + fmt.Sprintf(format, args...)}}
		return out
	}
	if t.Now.Before(until.Add(overdue)) {
		return say(rollout.HindranceTerminating, "is terminating and has until %s for it", until.Format(time.RFC3339))
	}
	if lostSince, lost := t.lost(p.Spec.NodeName); lost {
		out = say(rollout.HindranceNodeLost, "was to be gone by %s", until.Format(time.RFC3339))
		out.links = append(out.links, t.lostLink(p.Spec.NodeName, lostSince))
		return out
	}
	if len(p.Finalizers) > 0 {
		return say(rollout.HindranceFinalizer, "was to be gone by %s and is held by its finalizers %s", until.Format(time.RFC3339), strings.Join(p.Finalizers, ", "))
	}
	return say(rollout.HindranceFinalizer, "was to be gone by %s, and its kubelet has not ended it: a process that cannot be killed, or a volume that cannot be unmounted", until.Format(time.RFC3339))
}

// lost tells whether a node is gone, or silent, or has said that it is not ready for longer than a restart of its kubelet takes. One whose
// condition is Unknown has been silent for the grace period of the node controller already (40 s or 50 s, by release), and is lost at once:
//
//	Ready=False   for 20 s: its kubelet talks, and is about to be ready again
//	Ready=Unknown for  2 s: nobody has heard of it for the better part of a minute
func (t *tracer) lost(name string) (since time.Time, lost bool) {
	if name == "" {
		return time.Time{}, false
	}
	n := t.nodes[name]
	if n == nil {
		return time.Time{}, len(t.nodes) > 0
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return c.LastTransitionTime.UTC(), c.Status == corev1.ConditionUnknown || t.Now.Sub(c.LastTransitionTime.Time) >= lostTime
		}
	}
	return time.Time{}, false
}

func (t *tracer) lostLink(name string, since time.Time) rollout.Link {
	message := "node " + name + " is gone"
	if t.nodes[name] != nil {
		message = "node " + name + " is NotReady since " + since.Format(time.RFC3339) + ": its kubelet does not report"
	}
	return rollout.Link{Kind: "Node", Name: name, Since: since, Message: message}
}

// nameOf names the pod for good.
func nameOf(p *corev1.Pod) *rollout.PodName {
	return &rollout.PodName{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}
}

func nameIn(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

func onNode(p *corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return ""
	}
	return " on " + p.Spec.NodeName
}

func podLink(p *corev1.Pod, message string) rollout.Link {
	return rollout.Link{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Message: message}
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
	const most = 300
	text := strings.Join(strings.Fields(s), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
