package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
)

// recordRefused says who keeps the pods that are left, one finding for each budget.
func (sim *simulation) recordRefused(remaining []*pod) {
	by := map[string][]*pod{}
	var order []string
	for _, p := range remaining {
		key := budgetNames(sim.budgets.ForPod(p.Pod))
		if by[key] == nil {
			order = append(order, key)
		}
		by[key] = append(by[key], p)
	}
	for _, key := range order {
		pods := by[key]
		budgets := sim.budgets.ForPod(pods[0].Pod)
		response := drain.CheckEviction(pods[0].Pod, budgets, func(b *drain.Budget) int32 { return b.Healthy - sim.disruptions[b] })
		if response.Code == drain.StatusInternalError {
			sim.addIssue(levelBlocking, "PodDisruptionBudget", budgets[0].PDB.Namespace, budgets[0].PDB.Name,
				fmt.Sprintf(
					"%s cannot be evicted: PDBs %s all select it, and the API server answers 500 then; narrow the selector of one of them", describePods(pods), budgetNames(budgets)))
			continue
		}
		sim.issues = append(sim.issues, sim.refusedByBudget(budgets[0], pods))
	}
}

// refusedByBudget says why one budget keeps the pods.
func (sim *simulation) refusedByBudget(b *drain.Budget, pods []*pod) issue {
	f := issue{level: levelBlocking, kind: "PodDisruptionBudget", namespace: b.PDB.Namespace, name: b.PDB.Name}
	who := describePods(pods)
	evicted := sim.disruptions[b]
	hint := knownBudgetHint(b)
	switch uncertainty := sim.uncertain[b]; {
	case b.Stale:
		f.level, f.transient = levelUnknown, true
		f.text = fmt.Sprintf("PDB %s %s; %s cannot be evicted before it has", b.Name(), b, who)
	case b.NotComputed != "":
		f.text = fmt.Sprintf("PDB %s %s; so %s cannot be evicted", b.Name(), b, who)
	case b.NeverAllows():
		f.text = fmt.Sprintf("PDB %s %s, whatever happens, so %s can never be evicted: raise maxUnavailable, lower minAvailable, or run one more pod", b.Name(), b, who)
		f.transient = hint.transient
	case uncertainty != "":
		f.level = levelUnknown
		f.text = fmt.Sprintf("PDB %s %s, and %s can be evicted only when another pod of it is back first: %s", b.Name(),
			b, who, uncertainty)
	case evicted > 0 && b.Allowed() > 0:
		f.text = fmt.Sprintf("PDB %s %s, which is used up by the first %d pods that leave %s: %s would have to wait for their replacements, which have no place before the drain is over",
			b.Name(), b, evicted, sim.drainingNames(), who)
	default:
		f.text = fmt.Sprintf("PDB %s %s, so %s cannot be evicted%s", b.Name(), b, who, sim.unhealthyPods(b))
		f.transient = sim.isRecovering(b)
	}
	if hint.text != "" {
		f.text += "; " + hint.text
	}
	return f
}

// unhealthyPods names the pods that a budget counts as missing.
func (sim *simulation) unhealthyPods(b *drain.Budget) string {
	var out []string
	for _, p := range b.Pods {
		if !drain.IsHealthy(p, b.PDB.Status.DisruptedPods, sim.snapshot.Now) && !drain.IsPodTerminal(p) {
			out = append(out, sim.podState(p))
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
	return "; not healthy: " + abbreviate(out, 3) + missing
}

func (sim *simulation) podState(p *corev1.Pod) string {
	where := "on no node yet"
	if p.Spec.NodeName != "" {
		where = "on " + p.Spec.NodeName
	}
	if n := sim.byName[p.Spec.NodeName]; n != nil && !n.usable {
		where += ", which is not Ready"
	}
	return fmt.Sprintf("pod %s %s (%s)", p.Name, where, NotReadyReason(p))
}

// isRecovering tells whether all that a budget lacks is young, or on its way out: it is then
// expected to be back by itself.
func (sim *simulation) isRecovering(b *drain.Budget) bool {
	for _, p := range b.Pods {
		if drain.IsHealthy(p, nil, sim.snapshot.Now) || drain.IsPodTerminal(p) || p.DeletionTimestamp != nil {
			continue
		}
		if sim.snapshot.Now.Sub(p.CreationTimestamp.Time) > 5*time.Minute || NotReadyReason(p) != notReady {
			return false
		}
	}
	return true
}

const notReady = "not ready"

// NotReadyReason says in a word or two what an unready pod waits for, in the kubelet's or the
// scheduler's words.
func NotReadyReason(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "being deleted"
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if w := list[i].State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" &&
				w.Reason != "ContainerCreating" {
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

// describePods names the pods that stay: pod a on worker-1, or pods a, b, c and 2 more on worker-1,
// or pods a on worker-1, b on worker-2.
func describePods(pods []*pod) string {
	if len(pods) == 1 {
		return "pod " + pods[0].Name + " on " + pods[0].node.Name
	}
	var list, placed []string
	one := true
	for _, p := range pods {
		list, placed = append(list, p.Name), append(placed, p.Name+" on "+p.node.Name)
		one = one && p.node == pods[0].node
	}
	slices.Sort(list)
	slices.Sort(placed)
	if !one {
		return "pods " + abbreviate(placed, 3)
	}
	return "pods " + abbreviate(list, 3) + " on " + pods[0].node.Name
}

func budgetNames(budgets []*drain.Budget) string {
	out := make([]string, 0, len(budgets))
	for _, b := range budgets {
		out = append(out, b.Name())
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// terminationSlack is how long after the end of its grace period a pod may still be there.
const terminationSlack = 2 * time.Minute

// checkTerminating judges a pod that is being deleted already: the drain waits until it is gone.
// Within its grace period that is slow and nothing else.
func (sim *simulation) checkTerminating(p *pod) {
	remaining := p.DeletionTimestamp.Sub(sim.snapshot.Now)
	switch {
	case remaining > 0:
		sim.addIssue(levelRemark, "Pod", p.Namespace, p.Name,
			fmt.Sprintf("pod %s is being deleted, and has until %s for it", p,
				p.DeletionTimestamp.UTC().Format(time.RFC3339)))
	case -remaining < terminationSlack:
	case len(p.Finalizers) > 0:
		sim.addIssue(levelBlocking, "Pod", p.Namespace, p.Name, fmt.Sprintf(
			"pod %s should have been gone at %s and is kept by its finalizer %s, and the drain waits for it: whoever set it has to take it off",
			p, p.DeletionTimestamp.UTC().Format(time.RFC3339), abbreviate(p.Finalizers, 3)))
	default:
		sim.addIssue(levelBlocking, "Pod", p.Namespace, p.Name, fmt.Sprintf(
			"pod %s should have been gone at %s and is still there, and the drain waits for it: look at the kubelet of %s",
			p, p.DeletionTimestamp.UTC().Format(time.RFC3339), p.node.Name))
	}
}
