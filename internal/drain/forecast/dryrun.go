package forecast

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// DryRunEviction is an eviction that the API server can be asked about without anything being
// evicted.
type DryRunEviction struct {
	Node string
	Pod  *corev1.Pod
}

// DryRunEvictions are those worth asking: protected pods that would leave first, on nodes that can
// be next and are thought to be safe. A pod that has to wait for another's replacement would be
// refused now, and that is known. The API server does not count what it was asked before, so one
// pod of each budget is as good as all of them.
func (r Report) DryRunEvictions(s drain.Snapshot, limit int) []DryRunEviction {
	safe := map[string]bool{}
	for _, n := range r.Nodes {
		safe[n.Node] = n.Position == 1 && n.Result == rollout.DrainSafe && n.Evictions > 0
	}
	budgets := drain.NewBudgets(s.Budgets, s.Pods, s.Scales, s.Now)
	type nodeBudget struct {
		node   string
		budget *drain.Budget
	}
	seen := map[nodeBudget]bool{}
	var out []DryRunEviction
	for _, p := range s.Pods {
		of := budgets.ForPod(p)
		action := drain.FilterActionOf(p, nil)
		if !safe[p.Spec.NodeName] || len(of) != 1 || (action != drain.ActionEvict && action != drain.ActionEvictUnmanaged) ||
			p.Labels[drain.KubevirtLabel] != "" || p.Status.Phase == corev1.PodPending {
			continue
		}
		if key := (nodeBudget{p.Spec.NodeName, of[0]}); !seen[key] && budgets.CheckEviction(p).Granted() {
			seen[key] = true
			out = append(out, DryRunEviction{p.Spec.NodeName, p})
		}
	}
	slices.SortFunc(out, func(a, b DryRunEviction) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod.Namespace, b.Pod.Namespace),
			cmp.Compare(a.Pod.Name, b.Pod.Name))
	})
	return out[:min(len(out), limit)]
}

// Downgrade makes the outlook of a node worse, by what somebody else has found out.
func (r *Report) Downgrade(node string, result rollout.DrainForecast, p rollout.Problem) {
	for i := range r.Nodes {
		n := &r.Nodes[i]
		if n.Node != node {
			continue
		}
		if severity(result) > severity(n.Result) {
			n.Result = result
		}
		n.Problems = append(n.Problems, p)
	}
}
