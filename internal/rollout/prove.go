package rollout

import (
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// provePulls lets nodes pull from the mirrors before anything points them there. What the operator
// sees of a mirror says little about the credentials, CAs, DNS, proxy and network of a node (R14).
// Once the mirror sets of this plan are applied there is nothing left to find out by it: the pulls
// are real then. Neither is there on the way back, to where every node has pulled from before.
func provePulls(o Observed) Step {
	plan, ok := o.Plan.Get()
	if !ok {
		return waitForRead("Plan", o.Plan.Why())
	}
	checks, ok := o.PullChecks.Get()
	ensure := EnsurePullChecks{PlanDigest: plan.Digest}
	if rollingBack(o) || (o.Record.AppliedPlanHash == plan.Digest && o.Record.StartedAt != nil) {
		return doneAndCleanUp("", checks.PodsLeft, ensure)
	}
	if !ok {
		return waitForRead("Probes", o.PullChecks.Why())
	}
	if o.Record.StartedAt != nil && !mirrorsComplete(o, plan.Digest) {
		// what nodes would be asked for is not there yet; the phase Verify sees to that, and this
		// one is asked again
		return Done{}
	}
	actions := append([]Action{ensure}, refreshProofs(o, plan)...)
	switch {
	case checks.Disabled:
		return doneAndCleanUp("spec.mirroring.verification.fromNodes is Disabled", checks.PodsLeft, ensure)
	case checks.PlanDigest != plan.Digest:
		return Do{Actions: []Action{ensure},
			Why: fmt.Sprintf("choosing what %d nodes pull from the mirrors", checks.Nodes)}
	case checks.Failed > 0 && checks.Failed+checks.Proven >= checks.Wanted:
		return Fail{Reason: v1alpha1.ReasonNodesCannotPull, Actions: actions,
			Blockers: problemsOrCount(checks.Problems, v1alpha1.ReasonNodesCannotPull,
				"%d pulls from the mirrors failed on nodes", checks.Failed)}
	case checks.Proven < checks.Wanted:
		blockers := append(toBlockers(checks.Problems), Blocker{Kind: "Node", Name: "probes", Message: fmt.Sprintf(
			"%d of %d pulls from the mirrors proven on %d nodes", checks.Proven, checks.Wanted, checks.Nodes)})
		return Wait{Blockers: blockers, Actions: actions, RecheckAt: checks.RecheckAt}
	case checks.PodsLeft > 0:
		return Done{Message: checks.message(), Actions: []Action{ensure}}
	default:
		return Done{Message: checks.message()}
	}
}

// refreshProofs has the mirrors looked at again from time to time while nodes are asked to pull
// from them. After the start the phase Mirror is done for good, and Verify comes later: without
// this an image that vanishes from a mirror in between would be asked for until somebody copies it
// by hand.
func refreshProofs(o Observed, plan PlanSummary) []Action {
	t, ok := o.Transfers.Get()
	if o.Record.StartedAt == nil || !ok || t.Total == 0 || !t.OldestProof.Before(o.Now.Add(-proofRefreshAge)) {
		return nil
	}
	return []Action{EnsureTransfers{PlanDigest: plan.Digest, Copy: true, NotOlderThan: o.Now.Add(-proofRefreshAge)}}
}

// mirrorsComplete tells whether the mirrors hold what the plan wants.
func mirrorsComplete(o Observed, plan string) bool {
	t, ok := o.Transfers.Get()
	return ok && t.PlanDigest == plan && t.Copying && t.Verified >= t.Total
}

// doneAndCleanUp lets the phase be done, and what is left of the probes be taken away.
func doneAndCleanUp(message string, left int, ensure EnsurePullChecks) Step {
	if left == 0 {
		return Done{Message: message}
	}
	return Done{Message: message, Actions: []Action{ensure}}
}

func (p PullChecks) message() string {
	return fmt.Sprintf("%d pulls from the mirrors proven on %d nodes", p.Proven, p.Nodes) +
		skippedSuffix("not proven", p.Skipped)
}
