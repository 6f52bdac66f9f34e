package drain

import (
	"cmp"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// weight says what a finding means for the drain.
type weight int

const (
	remark weight = iota // worth knowing
	unsure               // nobody can say whether the drain ends
	blocks               // the drain does not end, or the next one does not
)

// finding is one thing that was found out about the drain of a node.
type finding struct {
	weight                weight
	kind, namespace, name string
	text                  string
	// passing is true when it is expected to go away by itself.
	passing bool
}

func (f finding) problem() rollout.Problem {
	return rollout.Problem{
		Reason: v1alpha1.ReasonDrainForecast, Kind: f.kind, Namespace: f.namespace, Name: f.name, Message: f.text, Passing: f.passing,
	}
}

// maxProblems and maxRemarks bound what is said of one node.
const (
	maxProblems = 8
	maxRemarks  = 12
)

// sum makes the outlook: the worst finding decides. The order is that of weight, then by name, so that the same world gives the same
// text.
func sum(findings []finding) (rollout.Outlook, []rollout.Problem, []string) {
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Or(int(b.weight)-int(a.weight), cmp.Compare(a.kind, b.kind), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name), cmp.Compare(a.text, b.text))
	})
	findings = slices.Compact(findings)
	outlook := rollout.OutlookSafe
	var problems []rollout.Problem
	var remarks []string
	for _, f := range findings {
		switch {
		case f.weight == remark && len(remarks) < maxRemarks:
			remarks = append(remarks, f.text)
		case f.weight != remark && len(problems) < maxProblems:
			problems = append(problems, f.problem())
		}
	}
	if len(findings) > 0 {
		switch findings[0].weight {
		case blocks:
			outlook = rollout.OutlookBlocked
		case unsure:
			outlook = rollout.OutlookUnknown
		case remark:
		}
	}
	return outlook, problems, remarks
}
