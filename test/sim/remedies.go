package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// cordonedBy stands for the managed field of spec.unschedulable: who has written it last.
const cordonedBy = "sim/cordoned-by"

// blockedDrains are the drains that do not progress, by what the operator can see: the nodes, the
// pods and the budgets.
func (p *process) blockedDrains(o *rollout.Observed, from *objects) []rollout.BlockedDrain {
	out := []rollout.BlockedDrain{}
	for _, n := range from.nodes.list() {
		if !strings.HasPrefix(n.Annotations[desiredDrain], "drain-") ||
			n.Annotations[desiredDrain] == n.Annotations[lastAppliedDrain] {
			if r := o.Record.Release; r != nil && slices.Contains(r.Nodes, n.Name) {
				out = append(out, p.waitingPods(n, from)...)
			}
			continue
		}
		for _, k := range p.sim.workloads.list {
			if blocked, held := p.blockedByBudget(k, n, from); held {
				if blocked.Since.IsZero() {
					blocked.Since = o.Now // as far as anybody can tell
				}
				if r := o.Record.Release; len(blocked.Pods) == 0 && r != nil && slices.Contains(r.Nodes, n.Name) &&
					r.UpdateStartedAt != nil {
					blocked.Since = r.UpdateStartedAt.Time
				}
				out = append(out, blocked)
				break
			}
		}
	}
	return out
}

// waitingPods are the pods that left the node and cannot get their image where they are now.
func (p *process) waitingPods(n *corev1.Node, from *objects) []rollout.BlockedDrain {
	blocked := rollout.BlockedDrain{Pool: poolNameOf(n), Node: n.Name, Reason: rollout.DrainBlockPull}
	for _, f := range from.pods.list() {
		if k := p.sim.workloads.find(f.workload); f.node != "" && !f.running && !f.terminating &&
			f.message != "pulling" {
			blocked.Pods = append(blocked.Pods, p.failingPod(k, f))
			if blocked.Since.IsZero() || f.created.Before(blocked.Since) {
				blocked.Since = f.created
			}
		}
	}
	if len(blocked.Pods) == 0 {
		return nil
	}
	return []rollout.BlockedDrain{blocked}
}

func (p *process) failingPod(k *workload, f *pod) rollout.FailingPod {
	out := rollout.FailingPod{
		PodRef: rollout.PodRef{Namespace: "shop", Name: f.name, UID: "uid-" + f.name}, Node: f.node, Reason: f.message,
		Owner: "Deployment/shop/" + k.name, NeverStarted: !f.running,
	}
	if f.node != "" && !f.running && f.message != "pulling" {
		out.Pulls = []rollout.FailedPull{p.failedPull(k.ref, f.message)}
	}
	return out
}

// blockedByBudget tells whether the budget of the workload keeps a pod on the node, and why it
// does.
func (p *process) blockedByBudget(k *workload, n *corev1.Node, from *objects) (rollout.BlockedDrain, bool) {
	var protected *pod
	var failing []*pod
	healthy, leaving := 0, false
	for _, pod := range from.pods.list() {
		switch {
		case pod.workload != k.name:
		case pod.terminating:
			leaving = true
		case pod.ready:
			healthy++
			if pod.node == n.Name {
				protected = pod
			}
		default:
			failing = append(failing, pod)
		}
	}
	desired := k.replicas - k.budget
	if protected == nil || (k.budget < 0 && !k.overlapping) || (healthy > desired && !k.overlapping) {
		return rollout.BlockedDrain{}, false
	}
	blocked := rollout.BlockedDrain{
		Pool: poolNameOf(n), Node: n.Name, Reason: rollout.DrainBlockBudgetZero,
		Budget: &rollout.DisruptionBudget{Namespace: "shop", Name: k.name, CurrentHealthy: healthy,
			DesiredHealthy: desired, ExpectedPods: k.replicas, MaxUnavailable: fmt.Sprint(k.budget)},
		CauseChain: []rollout.CauseLink{{Kind: "PodDisruptionBudget", Namespace: "shop", Name: k.name,
			Message: fmt.Sprintf("%d of %d healthy, %d wanted", healthy, k.replicas, desired)}},
	}
	if k.overlapping {
		blocked.Reason = rollout.DrainBlockOverlap
		return blocked, true
	}
	for i, f := range failing {
		if i == 0 || f.created.Before(blocked.Since) {
			blocked.Since = f.created
		}
		blocked.Pods = append(blocked.Pods, p.failingPod(k, f))
	}
	blocked.Reason = drainBlockReason(blocked, leaving || len(failing)+healthy < k.replicas)
	return blocked, true
}

// drainBlockReason is what the failing pods have in common: one that cannot pull weighs more than
// one that has no node, or is starting.
func drainBlockReason(blocked rollout.BlockedDrain, changing bool) rollout.DrainBlockReason {
	switch {
	case slices.ContainsFunc(blocked.Pods, func(f rollout.FailingPod) bool { return len(f.Pulls) > 0 }):
		return rollout.DrainBlockPull
	case slices.ContainsFunc(blocked.Pods, func(f rollout.FailingPod) bool { return f.Node == "" }):
		return rollout.DrainBlockUnschedulable
	case changing || len(blocked.Pods) > 0:
		return rollout.DrainBlockStarting
	default:
		return rollout.DrainBlockBudgetZero
	}
}

func (p *process) failedPull(ref, message string) rollout.FailedPull {
	pull := rollout.FailedPull{Reference: ref, Cause: rollout.PullMissing, Message: message}
	if pr := p.engine.proofs[ref]; pr != nil {
		pull.ProvenAt = pr.provenAt
		if pr.provenAt.IsZero() {
			pull.ProofError = pr.failure
		}
	}
	return pull
}

// observeRemedies are the objects of the remedies on record, and the nodes that a pod could be
// moved from.
func (p *process) observeRemedies(o *rollout.Observed, from *objects) rollout.Remedies {
	var out rollout.Remedies
	live := &p.sim.apiServer.live
	for _, r := range rollout.OpenRemedies(o.Record) {
		c := rollout.RemedyObject{ID: r.ID}
		switch r.Kind {
		case "Pod":
			_, there := live.pods.get(r.Name)
			c.Gone = !there
		case "Node":
			n, there := live.nodes.get(r.Name)
			if c.Gone = !there; there {
				c.Value = cordonState(n)
				note, noted := remediation.ReadNote(n)
				c.HasNote = noted && note.Remedy.ID == r.ID
				c.Ours = c.HasNote && n.Annotations[cordonedBy] == fieldManager
			}
		default:
			continue
		}
		out.Objects = append(out.Objects, c)
	}
	for _, n := range from.nodes.list() {
		if note, ok := remediation.ReadNote(n); ok && note.Rollout == o.Rollout.Name {
			out.Unrecorded = append(out.Unrecorded, note.Remedy)
		}
	}
	obstacles, _ := o.BlockedDrains.Get()
	for _, blocked := range obstacles {
		for _, f := range blocked.Pods {
			if n, there := from.nodes.get(f.Node); there && len(f.Pulls) > 0 {
				out.Candidates = append(out.Candidates, p.remedyCandidate(blocked, f, n, from))
			}
		}
	}
	return out
}

func (p *process) remedyCandidate(blocked rollout.BlockedDrain, f rollout.FailingPod, n *corev1.Node,
	from *objects) rollout.RemedyCandidate {
	out := rollout.RemedyCandidate{Node: blocked.Node, Action: v1alpha1.Relocate, Kind: "Node", Name: n.Name,
		UID: "uid-" + n.Name, Value: cordonState(n)}
	if n.Spec.Unschedulable || !done(n) {
		out.Refusal = "node " + n.Name + " is cordoned or updating"
	}
	for _, other := range from.nodes.list() {
		if d := p.sim.nodes[other.Name]; other.Name != n.Name && poolNameOf(other) == poolNameOf(n) &&
			!unavailable(other) && d != nil && d.images[f.Pulls[0].Reference] {
			out.FeasibleNodes++
		}
	}
	return out
}

// fieldManager is what the operator signs with.
const fieldManager = "operator"

func cordonState(n *corev1.Node) string {
	if n.Spec.Unschedulable {
		return rollout.Cordoned
	}
	return rollout.Schedulable
}

// proveAgain proves the references once more, unless they were since.
func (e *engine) proveAgain(refs []string, notOlderThan time.Time) {
	for _, ref := range refs {
		if pr := e.proofs[ref]; pr != nil && !pr.running && !pr.provenAt.IsZero() && pr.provenAt.Before(notOlderThan) {
			pr.provenAt, pr.failures, pr.retryAt = time.Time{}, 0, time.Time{}
			e.start(ref, pr)
		}
	}
}

// deletePod is the executor's: of this very pod, and only while no container of it has run.
func (p *process) deletePod(r v1alpha1.RemedyRecord) error {
	pod, ok := p.sim.apiServer.live.pods.get(r.Name)
	switch {
	case !ok || pod.terminating:
		return nil
	case pod.running:
		return &actionRefused{"a container of pod " + pod.name + " has run meanwhile"}
	}
	return p.write(func() error {
		p.sim.logf(p.name, "deletes pod %s, of which no container has run", pod.name)
		p.sim.checker.checkPodDeletion(p, pod)
		p.sim.apiServer.deletePod(pod.name)
		p.sim.workloads.syncSoon()
		return nil
	})
}

func (p *process) cordon(c *rolloutObject, r v1alpha1.RemedyRecord) error {
	n, ok := p.sim.apiServer.live.nodes.get(r.Name)
	switch {
	case !ok:
		return &actionRefused{"node " + r.Name + " is gone"}
	case n.Spec.Unschedulable:
		if _, noted := remediation.ReadNote(n); noted {
			return nil
		}
		return &actionRefused{"node " + r.Name + " is cordoned meanwhile"}
	}
	return p.write(func() error {
		p.sim.logf(p.name, "cordons node %s for %s", r.Name, r.Action)
		p.sim.apiServer.editNode(r.Name, func(n *corev1.Node) {
			n.Spec.Unschedulable = true
			n.Annotations[remediation.Annotation],
				n.Annotations[cordonedBy] = remediation.NewNote(c.spec.Name, r).String(), fieldManager
		})
		return nil
	})
}

func (p *process) uncordon(r v1alpha1.RemedyRecord) error {
	n, ok := p.sim.apiServer.live.nodes.get(r.Name)
	if !ok {
		return nil
	}
	if note, noted := remediation.ReadNote(n); !noted || note.Remedy.ID != r.ID {
		return nil
	}
	return p.write(func() error {
		release := n.Spec.Unschedulable && n.Annotations[cordonedBy] == fieldManager && done(n)
		p.sim.logf(p.name, "takes its note off node %s, uncordons it: %t", r.Name, release)
		p.sim.apiServer.editNode(r.Name, func(n *corev1.Node) {
			n.Spec.Unschedulable = n.Spec.Unschedulable && !release
			delete(n.Annotations, remediation.Annotation)
		})
		return nil
	})
}

// checkPodDeletion holds a deletion by the operator against I9: nothing that runs, or has ever run,
// is deleted.
func (c *checker) checkPodDeletion(p *process, pod *pod) {
	if pod.running || pod.ready {
		c.violate("I9", "%s deletes pod %s, which runs on node %s", p.name, pod.name, pod.node)
	}
}

// checkNotesRemoved: nothing of a remedy is left on a node once every rollout is settled (I5).
func (c *checker) checkNotesRemoved() {
	for _, n := range c.sim.apiServer.live.nodes.list() {
		if note, ok := remediation.ReadNote(n); ok && len(c.finalizerForced) == 0 {
			c.violate("I5", "node %s carries the note of remedy %s at the end", n.Name, note.Remedy.ID)
		}
	}
}
