package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remedy"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// cordonedBy stands for the managed field of spec.unschedulable: who has written it last.
const cordonedBy = "sim/cordoned-by"

// obstacles are the drains that do not progress, by what the operator can see: the nodes, the pods and the budgets.
func (p *process) obstacles(o *rollout.Observed, from *objects) []rollout.Obstacle {
	out := []rollout.Obstacle{}
	for _, n := range from.nodes.list() {
		if !strings.HasPrefix(n.Annotations[desiredDrain], "drain-") || n.Annotations[desiredDrain] == n.Annotations[lastAppliedDrain] {
			if r := o.Record.Release; r != nil && slices.Contains(r.Nodes, n.Name) {
				out = append(out, p.waited(n, from)...)
			}
			continue
		}
		for _, k := range p.w.workloads.list {
			if ob, held := p.heldUpBy(k, n, from); held {
				if ob.Since.IsZero() {
					ob.Since = o.Now // as far as anybody can tell
				}
				if r := o.Record.Release; len(ob.Pods) == 0 && r != nil && slices.Contains(r.Nodes, n.Name) && r.UpdateStartedAt != nil {
					ob.Since = r.UpdateStartedAt.Time
				}
				out = append(out, ob)
				break
			}
		}
	}
	return out
}

// waited are the pods that left the node and cannot get their image where they are now.
func (p *process) waited(n *corev1.Node, from *objects) []rollout.Obstacle {
	ob := rollout.Obstacle{Pool: poolOf(n), Node: n.Name, Hindrance: rollout.HindrancePull}
	for _, f := range from.pods.list() {
		if k := p.w.workloads.find(f.workload); f.node != "" && !f.running && !f.leaving && f.message != "pulling" {
			ob.Pods = append(ob.Pods, p.failingPod(k, f))
			if ob.Since.IsZero() || f.created.Before(ob.Since) {
				ob.Since = f.created
			}
		}
	}
	if len(ob.Pods) == 0 {
		return nil
	}
	return []rollout.Obstacle{ob}
}

func (p *process) failingPod(k *workload, f *pod) rollout.FailingPod {
	out := rollout.FailingPod{
		PodName: rollout.PodName{Namespace: "shop", Name: f.name, UID: "uid-" + f.name}, Node: f.node, Reason: f.message,
		Owner: "Deployment/shop/" + k.name, AllWaiting: !f.running,
	}
	if f.node != "" && !f.running && f.message != "pulling" {
		out.Pulls = []rollout.FailedPull{p.failedPull(k.ref, f.message)}
	}
	return out
}

// heldUpBy tells whether the budget of the workload keeps a pod on the node, and why it does.
func (p *process) heldUpBy(k *workload, n *corev1.Node, from *objects) (rollout.Obstacle, bool) {
	var kept *pod
	var failing []*pod
	healthy, leaving := 0, false
	for _, pod := range from.pods.list() {
		switch {
		case pod.workload != k.name:
		case pod.leaving:
			leaving = true
		case pod.ready:
			healthy++
			if pod.node == n.Name {
				kept = pod
			}
		default:
			failing = append(failing, pod)
		}
	}
	desired := k.replicas - k.budget
	if kept == nil || (k.budget < 0 && !k.overlapping) || (healthy > desired && !k.overlapping) {
		return rollout.Obstacle{}, false
	}
	ob := rollout.Obstacle{
		Pool: poolOf(n), Node: n.Name, Hindrance: rollout.HindranceBudgetZero,
		Budget: &rollout.Budget{Namespace: "shop", Name: k.name, Healthy: healthy, Desired: desired, Expected: k.replicas, MaxUnavailable: fmt.Sprint(k.budget)},
		Chain:  []rollout.Link{{Kind: "PodDisruptionBudget", Namespace: "shop", Name: k.name, Message: fmt.Sprintf("%d of %d healthy, %d wanted", healthy, k.replicas, desired)}},
	}
	if k.overlapping {
		ob.Hindrance = rollout.HindranceOverlap
		return ob, true
	}
	for i, f := range failing {
		if i == 0 || f.created.Before(ob.Since) {
			ob.Since = f.created
		}
		ob.Pods = append(ob.Pods, p.failingPod(k, f))
	}
	ob.Hindrance = hindrance(ob, leaving || len(failing)+healthy < k.replicas)
	return ob, true
}

// hindrance is what the failing pods have in common: one that cannot pull weighs more than one that has no node, or is starting.
func hindrance(ob rollout.Obstacle, changing bool) rollout.Hindrance {
	switch {
	case slices.ContainsFunc(ob.Pods, func(f rollout.FailingPod) bool { return len(f.Pulls) > 0 }):
		return rollout.HindrancePull
	case slices.ContainsFunc(ob.Pods, func(f rollout.FailingPod) bool { return f.Node == "" }):
		return rollout.HindranceUnschedulable
	case changing || len(ob.Pods) > 0:
		return rollout.HindranceStarting
	default:
		return rollout.HindranceBudgetZero
	}
}

func (p *process) failedPull(ref, message string) rollout.FailedPull {
	pull := rollout.FailedPull{Reference: ref, Cause: rollout.PullMissing, Message: message}
	if pr := p.engine.proofs[ref]; pr != nil {
		pull.Proven = pr.at
		if pr.at.IsZero() {
			pull.Refused = pr.why
		}
	}
	return pull
}

// remedies are the objects of the remedies on record, and the nodes that a pod could be moved from.
func (p *process) remedies(o *rollout.Observed, from *objects) rollout.Remedies {
	var out rollout.Remedies
	live := &p.w.api.live
	for _, r := range rollout.OpenRemedies(o.Record) {
		c := rollout.Changed{ID: r.ID}
		switch r.Kind {
		case "Pod":
			_, there := live.pods.get(r.Name)
			c.Gone = !there
		case "Node":
			n, there := live.nodes.get(r.Name)
			if c.Gone = !there; there {
				c.Value = cordonText(n)
				note, noted := remedy.Read(n)
				c.Noted = noted && note.Remedy.ID == r.ID
				c.Ours = c.Noted && n.Annotations[cordonedBy] == signature
			}
		default:
			continue
		}
		out.Changed = append(out.Changed, c)
	}
	for _, n := range from.nodes.list() {
		if note, ok := remedy.Read(n); ok && note.Rollout == o.Rollout.Name {
			out.Found = append(out.Found, note.Remedy)
		}
	}
	obstacles, _ := o.Obstacles.Get()
	for _, ob := range obstacles {
		for _, f := range ob.Pods {
			if n, there := from.nodes.get(f.Node); there && len(f.Pulls) > 0 {
				out.Offers = append(out.Offers, p.offer(ob, f, n, from))
			}
		}
	}
	return out
}

func (p *process) offer(ob rollout.Obstacle, f rollout.FailingPod, n *corev1.Node, from *objects) rollout.Offer {
	out := rollout.Offer{Node: ob.Node, Action: v1alpha1.Relocate, Kind: "Node", Name: n.Name, UID: "uid-" + n.Name, Value: cordonText(n)}
	if n.Spec.Unschedulable || !done(n) {
		out.Refusal = "node " + n.Name + " is cordoned or under way"
	}
	for _, other := range from.nodes.list() {
		if d := p.w.nodes[other.Name]; other.Name != n.Name && poolOf(other) == poolOf(n) && !unavailable(other) && d != nil && d.images[f.Pulls[0].Reference] {
			out.Spares++
		}
	}
	return out
}

// signature is what the operator signs with.
const signature = "operator"

func cordonText(n *corev1.Node) string {
	if n.Spec.Unschedulable {
		return rollout.Cordoned
	}
	return rollout.Schedulable
}

// recheck proves the references once more, unless they were since.
func (e *engine) recheck(refs []string, notOlderThan time.Time) {
	for _, ref := range refs {
		if pr := e.proofs[ref]; pr != nil && !pr.running && !pr.at.IsZero() && pr.at.Before(notOlderThan) {
			pr.at, pr.tries, pr.next = time.Time{}, 0, time.Time{}
			e.start(ref, pr)
		}
	}
}

// deletePod is the executor's: of this very pod, and only while no container of it has run.
func (p *process) deletePod(r v1alpha1.RemedyRecord) error {
	pod, ok := p.w.api.live.pods.get(r.Name)
	switch {
	case !ok || pod.leaving:
		return nil
	case pod.running:
		return &refused{"a container of pod " + pod.name + " has run meanwhile"}
	}
	return p.write(func() error {
		p.w.tell(p.name, "deletes pod %s, of which no container has run", pod.name)
		p.w.check.deletes(p, pod)
		p.w.api.deletePod(pod.name)
		p.w.workloads.soon()
		return nil
	})
}

func (p *process) cordon(c *custom, r v1alpha1.RemedyRecord) error {
	n, ok := p.w.api.live.nodes.get(r.Name)
	switch {
	case !ok:
		return &refused{"node " + r.Name + " is gone"}
	case n.Spec.Unschedulable:
		if _, noted := remedy.Read(n); noted {
			return nil
		}
		return &refused{"node " + r.Name + " is cordoned meanwhile"}
	}
	return p.write(func() error {
		p.w.tell(p.name, "cordons node %s for %s", r.Name, r.Action)
		p.w.api.editNode(r.Name, func(n *corev1.Node) {
			n.Spec.Unschedulable = true
			n.Annotations[remedy.Annotation], n.Annotations[cordonedBy] = remedy.NewNote(c.view.Name, r).String(), signature
		})
		return nil
	})
}

func (p *process) uncordon(r v1alpha1.RemedyRecord) error {
	n, ok := p.w.api.live.nodes.get(r.Name)
	if !ok {
		return nil
	}
	if note, noted := remedy.Read(n); !noted || note.Remedy.ID != r.ID {
		return nil
	}
	return p.write(func() error {
		release := n.Spec.Unschedulable && n.Annotations[cordonedBy] == signature && done(n)
		p.w.tell(p.name, "takes its note off node %s, uncordons it: %t", r.Name, release)
		p.w.api.editNode(r.Name, func(n *corev1.Node) {
			n.Spec.Unschedulable = n.Spec.Unschedulable && !release
			delete(n.Annotations, remedy.Annotation)
		})
		return nil
	})
}

// deletes holds a deletion by the operator against I9: nothing that runs, or has ever run, is deleted.
func (c *checker) deletes(p *process, pod *pod) {
	if pod.running || pod.ready {
		c.violate("I9", "%s deletes pod %s, which runs on node %s", p.name, pod.name, pod.node)
	}
}

// notesLeft: nothing of a remedy is left on a node once every rollout is settled (I5).
func (c *checker) notesLeft() {
	for _, n := range c.w.api.live.nodes.list() {
		if note, ok := remedy.Read(n); ok && len(c.force) == 0 {
			c.violate("I5", "node %s carries the note of remedy %s at the end", n.Name, note.Remedy.ID)
		}
	}
}
