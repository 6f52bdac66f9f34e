package forecast

import (
	"cmp"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// issueLevel says what a finding means for the drain.
type issueLevel int

const (
	levelRemark   issueLevel = iota // worth knowing
	levelUnknown                    // nobody can say whether the drain ends
	levelBlocking                   // the drain does not end, or the next one does not
)

// issue is one thing that was found out about the drain of a node.
type issue struct {
	level                 issueLevel
	kind, namespace, name string
	text                  string
	// transient is true when it is expected to go away by itself.
	transient bool
}

func (f issue) problem() rollout.Problem {
	return rollout.Problem{
		Reason: v1alpha1.ReasonDrainForecast, Kind: f.kind, Namespace: f.namespace, Name: f.name, Message: f.text,
		Transient: f.transient,
	}
}

// maxProblems and maxRemarks bound what is said of one node.
const (
	maxProblems = 8
	maxRemarks  = 12
)

// summarizeIssues makes the outlook: the worst finding decides. The order is that of weight, then
// by name, so that the same world gives the same text.
func summarizeIssues(issues []issue) (rollout.DrainForecast, []rollout.Problem, []string) {
	slices.SortStableFunc(issues, func(a, b issue) int {
		return cmp.Or(int(b.level)-int(a.level), cmp.Compare(a.kind, b.kind), cmp.Compare(a.namespace, b.namespace),
			cmp.Compare(a.name, b.name), cmp.Compare(a.text, b.text))
	})
	issues = slices.Compact(issues)
	result := rollout.DrainSafe
	var problems []rollout.Problem
	var remarks []string
	for _, f := range issues {
		switch {
		case f.level == levelRemark && len(remarks) < maxRemarks:
			remarks = append(remarks, f.text)
		case f.level != levelRemark && len(problems) < maxProblems:
			problems = append(problems, f.problem())
		}
	}
	if len(issues) > 0 {
		switch issues[0].level {
		case levelBlocking:
			result = rollout.DrainBlocked
		case levelUnknown:
			result = rollout.DrainUnknown
		case levelRemark:
		}
	}
	return result, problems, remarks
}
