package drain

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Question is an eviction that the API server can be asked about without anything being evicted.
type Question struct {
	Node string
	Pod  *corev1.Pod
}

// Questions are those worth asking: protected pods that would leave first, on nodes that can be next and are thought to be safe. A pod that has
// to wait for another's replacement would be refused now, and that is known. The API server does not count what it was asked before, so
// one pod of each budget is as good as all of them.
func (r Report) Questions(s Snapshot, most int) []Question {
	safe := map[string]bool{}
	for _, n := range r.Nodes {
		safe[n.Node] = n.Turn == 1 && n.Outlook == rollout.OutlookSafe && n.Leaving > 0
	}
	budgets := NewBudgets(s.Budgets, s.Pods, s.Scales, s.Now)
	type asked struct {
		node   string
		budget *Budget
	}
	seen := map[asked]bool{}
	var out []Question
	for _, p := range s.Pods {
		of := budgets.Of(p)
		fare := FareOf(p, nil)
		if !safe[p.Spec.NodeName] || len(of) != 1 || (fare != Moves && fare != Lost) || p.Labels[kubevirtLabel] != "" || p.Status.Phase == corev1.PodPending {
			continue
		}
		if key := (asked{p.Spec.NodeName, of[0]}); !seen[key] && budgets.Ask(p).Granted() {
			seen[key] = true
			out = append(out, Question{p.Spec.NodeName, p})
		}
	}
	slices.SortFunc(out, func(a, b Question) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name))
	})
	return out[:min(len(out), most)]
}

// Object makes the outlook of a node worse, by what somebody else has found out.
func (r *Report) Object(node string, outlook rollout.Outlook, p rollout.Problem) {
	for i := range r.Nodes {
		n := &r.Nodes[i]
		if n.Node != node {
			continue
		}
		if badness(outlook) > badness(n.Outlook) {
			n.Outlook = outlook
		}
		n.Problems = append(n.Problems, p)
	}
}
