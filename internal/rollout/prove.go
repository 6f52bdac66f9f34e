package rollout

import (
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// proveFromNodes lets nodes pull from the mirrors before anything points them there. What the operator sees of a mirror says little
// about the credentials, CAs, DNS, proxy and network of a node (R14). Once the mirror sets of this plan are applied there is nothing
// left to find out by it: the pulls are real then. Neither is there on the way back, to where every node has pulled from before.
func proveFromNodes(o Observed) Step {
	plan, ok := o.Plan.Get()
	if !ok {
		return unreadable("Plan", o.Plan.Why())
	}
	probes, ok := o.Probes.Get()
	work := EnsureProbes{Plan: plan.Digest}
	if back(o) || (o.Record.AppliedPlanHash == plan.Digest && o.Record.StartedAt != nil) {
		return unwanted("", probes.Left, work)
	}
	if !ok {
		return unreadable("Probes", o.Probes.Why())
	}
	if o.Record.StartedAt != nil && !copied(o, plan.Digest) {
		return Done{} // what nodes would be asked for is not there yet; the phase Verify sees to that, and this one is asked again
	}
	again := append([]Action{work}, keptFresh(o, plan)...)
	switch {
	case probes.Disabled:
		return unwanted("spec.mirroring.verification.fromNodes is Disabled", probes.Left, work)
	case probes.Plan != plan.Digest:
		return Do{Actions: []Action{work}, Why: fmt.Sprintf("choosing what %d nodes pull from the mirrors", probes.Nodes)}
	case probes.Failed > 0 && probes.Failed+probes.Proven >= probes.Wanted:
		return Fail{Reason: v1alpha1.ReasonNodesCannotPull, Actions: again,
			Blockers: orCount(probes.Worst, v1alpha1.ReasonNodesCannotPull, "%d pulls from the mirrors failed on nodes", probes.Failed)}
	case probes.Proven < probes.Wanted:
		blockers := append(blockersOf(probes.Worst), Blocker{Kind: "Node", Name: "probes", Message: fmt.Sprintf(
			"%d of %d pulls from the mirrors proven on %d nodes", probes.Proven, probes.Wanted, probes.Nodes)})
		return Wait{Blockers: blockers, Actions: again, Until: probes.Until}
	case probes.Left > 0:
		return Done{Message: probes.message(), Actions: []Action{work}}
	default:
		return Done{Message: probes.message()}
	}
}

// keptFresh has the mirrors looked at again from time to time while nodes are asked to pull from them. After the start the phase Mirror is
// done for good, and Verify comes later: without this an image that vanishes from a mirror in between would be asked for until somebody
// copies it by hand.
func keptFresh(o Observed, plan Plan) []Action {
	t, ok := o.Transfers.Get()
	if o.Record.StartedAt == nil || !ok || t.Total == 0 || !t.Oldest.Before(o.Now.Add(-refreshAge)) {
		return nil
	}
	return []Action{EnsureTransfers{Plan: plan.Digest, Copy: true, NotOlderThan: o.Now.Add(-refreshAge)}}
}

// copied tells whether the mirrors hold what the plan wants.
func copied(o Observed, plan string) bool {
	t, ok := o.Transfers.Get()
	return ok && t.Plan == plan && t.Copying && t.Verified >= t.Total
}

// unwanted lets the phase be done, and what is left of the probes be taken away.
func unwanted(message string, left int, work EnsureProbes) Step {
	if left == 0 {
		return Done{Message: message}
	}
	return Done{Message: message, Actions: []Action{work}}
}

func (p Probes) message() string {
	return fmt.Sprintf("%d pulls from the mirrors proven on %d nodes", p.Proven, p.Nodes) + lacking("not proven", p.Skipped)
}
