package rollout

import (
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// proveFromNodes lets nodes pull from the mirrors before anything points them there. What the operator sees of a mirror says little
// about the credentials, CAs, DNS, proxy and network of a node (R14). Once the mirror sets of this plan are applied there is nothing
// left to find out by it: the pulls are real then.
func proveFromNodes(o Observed) Step {
	plan, ok := o.Plan.Get()
	if !ok {
		return unreadable("Plan", o.Plan.Why())
	}
	if o.Record.AppliedDigest == plan.Digest && o.Record.StartedAt != nil {
		return Done{}
	}
	probes, ok := o.Probes.Get()
	if !ok {
		return unreadable("Probes", o.Probes.Why())
	}
	work := EnsureProbes{Plan: plan.Digest}
	switch {
	case probes.Disabled:
		return Done{Message: "spec.mirroring.verification.fromNodes is Disabled"}
	case probes.Plan != plan.Digest:
		return Do{Actions: []Action{work}, Why: fmt.Sprintf("choosing what %d nodes pull from the mirrors", probes.Nodes)}
	case probes.Failed > 0 && probes.Failed+probes.Proven >= probes.Wanted:
		return Fail{Reason: v1alpha1.ReasonNodesCannotPull, Actions: []Action{work},
			Blockers: orCount(probes.Worst, v1alpha1.ReasonNodesCannotPull, "%d pulls from the mirrors failed on nodes", probes.Failed)}
	case probes.Proven < probes.Wanted:
		blockers := append(blockersOf(probes.Worst), Blocker{Kind: "Node", Name: "probes", Message: fmt.Sprintf(
			"%d of %d pulls from the mirrors proven on %d nodes", probes.Proven, probes.Wanted, probes.Nodes)})
		return Wait{Blockers: blockers, Actions: []Action{work}}
	case probes.Left > 0:
		return Done{Message: probes.message(), Actions: []Action{work}}
	default:
		return Done{Message: probes.message()}
	}
}

func (p Probes) message() string {
	text := fmt.Sprintf("%d pulls from the mirrors proven on %d nodes", p.Proven, p.Nodes)
	if len(p.Skipped) > 0 {
		text += fmt.Sprintf("; not proven: %s", p.Skipped[0])
		if more := len(p.Skipped) - 1; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
	}
	return text
}
