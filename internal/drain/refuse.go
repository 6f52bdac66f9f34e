package drain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// refused says who keeps the pods that are left, one finding for each budget.
func (t *trial) refused(left []*pod) {
	by := map[string][]*pod{}
	var order []string
	for _, p := range left {
		key := names(t.budgets.Of(p.Pod))
		if by[key] == nil {
			order = append(order, key)
		}
		by[key] = append(by[key], p)
	}
	for _, key := range order {
		pods := by[key]
		budgets := t.budgets.Of(pods[0].Pod)
		answer := ask(pods[0].Pod, budgets, func(b *Budget) int32 { return b.Healthy - t.change[b] })
		if answer.Code == statusInternalError {
			t.note(blocks, "PodDisruptionBudget", budgets[0].PDB.Namespace, budgets[0].PDB.Name, fmt.Sprintf(
				"%s cannot be evicted: PDBs %s all select it, and the API server answers 500 then; narrow the selector of one of them", subject(pods), names(budgets)))
			continue
		}
		t.findings = append(t.findings, t.refusedBy(budgets[0], pods))
	}
}

// refusedBy says why one budget keeps the pods.
func (t *trial) refusedBy(b *Budget, pods []*pod) finding {
	f := finding{weight: blocks, kind: "PodDisruptionBudget", namespace: b.PDB.Namespace, name: b.PDB.Name}
	who := subject(pods)
	gone := t.change[b]
	hint := offender(b)
	switch doubt := t.unsureOf[b]; {
	case b.Stale:
		f.weight, f.passing = unsure, true
		f.text = fmt.Sprintf("PDB %s %s; %s cannot be evicted before it has", b.Name(), b, who)
	case b.Trouble != "":
		f.text = fmt.Sprintf("PDB %s %s; so %s cannot be evicted", b.Name(), b, who)
	case b.Never():
		f.text = fmt.Sprintf("PDB %s %s, whatever happens, so %s can never be evicted: raise maxUnavailable, lower minAvailable, or run one more pod", b.Name(), b, who)
		f.passing = hint.passing
	case doubt != "":
		f.weight = unsure
		f.text = fmt.Sprintf("PDB %s %s, and %s can be evicted only when another pod of it is back first: %s", b.Name(), b, who, doubt)
	case gone > 0 && b.Allowed() > 0:
		f.text = fmt.Sprintf("PDB %s %s, which is used up by the first %d pods that leave %s: %s would have to wait for their replacements, which have no place before the drain is over",
			b.Name(), b, gone, t.where(), who)
	default:
		f.text = fmt.Sprintf("PDB %s %s, so %s cannot be evicted%s", b.Name(), b, who, t.unhealthy(b))
		f.passing = t.recovering(b)
	}
	if hint.text != "" {
		f.text += "; " + hint.text
	}
	return f
}

// unhealthy names the pods that a budget counts as missing.
func (t *trial) unhealthy(b *Budget) string {
	var out []string
	for _, p := range b.Pods {
		if !healthy(p, b.PDB.Status.DisruptedPods, t.s.Now) && !Ended(p) {
			out = append(out, t.podState(p))
		}
	}
	slices.Sort(out)
	missing := ""
	if n := b.Expected - int32(len(b.Pods)); n > 0 {
		missing = fmt.Sprintf("; %d of its pods do not exist", n)
	}
	if len(out) == 0 {
		return missing
	}
	return "; not healthy: " + few(out, 3) + missing
}

func (t *trial) podState(p *corev1.Pod) string {
	where := "on no node yet"
	if p.Spec.NodeName != "" {
		where = "on " + p.Spec.NodeName
	}
	if n := t.byName[p.Spec.NodeName]; n != nil && !n.usable {
		where += ", which is not Ready"
	}
	return fmt.Sprintf("pod %s %s (%s)", p.Name, where, PodTrouble(p))
}

// recovering tells whether all that a budget lacks is young, or on its way out: it is then expected to be back by itself.
func (t *trial) recovering(b *Budget) bool {
	for _, p := range b.Pods {
		if healthy(p, nil, t.s.Now) || Ended(p) || p.DeletionTimestamp != nil {
			continue
		}
		if t.s.Now.Sub(p.CreationTimestamp.Time) > 5*time.Minute || PodTrouble(p) != notReady {
			return false
		}
	}
	return true
}

const notReady = "not ready"

// PodTrouble says in a word or two what an unready pod waits for, in the kubelet's or the scheduler's words.
func PodTrouble(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "being deleted"
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if w := list[i].State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
				return w.Reason
			}
		}
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return cmp.Or(c.Reason, "Unschedulable")
		}
	}
	return notReady
}

// subject names the pods that stay: pod a on worker-1, or pods a, b, c and 2 more on worker-1, or pods a on worker-1, b on worker-2.
func subject(pods []*pod) string {
	if len(pods) == 1 {
		return "pod " + pods[0].Name + " on " + pods[0].at.Name
	}
	var list, placed []string
	one := true
	for _, p := range pods {
		list, placed = append(list, p.Name), append(placed, p.Name+" on "+p.at.Name)
		one = one && p.at == pods[0].at
	}
	slices.Sort(list)
	slices.Sort(placed)
	if !one {
		return "pods " + few(placed, 3)
	}
	return "pods " + few(list, 3) + " on " + pods[0].at.Name
}

func names(budgets []*Budget) string {
	out := make([]string, 0, len(budgets))
	for _, b := range budgets {
		out = append(out, b.Name())
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// patience is how long after the end of its grace period a pod may still be there.
const patience = 2 * time.Minute

// ending judges a pod that is being deleted already: the drain waits until it is gone. Within its grace period that is slow and nothing
// else.
func (t *trial) ending(p *pod) {
	left := p.DeletionTimestamp.Sub(t.s.Now)
	switch {
	case left > 0:
		t.note(remark, "Pod", p.Namespace, p.Name, fmt.Sprintf("pod %s is being deleted, and has until %s for it", p, p.DeletionTimestamp.UTC().Format(time.RFC3339)))
	case -left < patience:
	case len(p.Finalizers) > 0:
		t.note(blocks, "Pod", p.Namespace, p.Name, fmt.Sprintf(
			"pod %s should have been gone at %s and is kept by its finalizer %s, and the drain waits for it: whoever set it has to take it off",
			p, p.DeletionTimestamp.UTC().Format(time.RFC3339), few(p.Finalizers, 3)))
	default:
		t.note(blocks, "Pod", p.Namespace, p.Name, fmt.Sprintf(
			"pod %s should have been gone at %s and is still there, and the drain waits for it: look at the kubelet of %s",
			p, p.DeletionTimestamp.UTC().Format(time.RFC3339), p.at.Name))
	}
}
