package rollout

import (
	"fmt"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// maxProofAge is how old a proof may be when it is relied upon; after proofRefreshAge it is made
// again in the background, so that a release does not have to wait for it.
const (
	maxProofAge     = 15 * time.Minute
	proofRefreshAge = 10 * time.Minute
)

// checkPlan refuses what cannot work, before anything is copied or paused: references that could be
// pulled and could not be any more (I2). Those that are dead already are counted, not held against
// the rollout.
func checkPlan(o Observed) Step {
	plan, ok := o.Plan.Get()
	if !ok {
		return waitForRead("Plan", o.Plan.Why())
	}
	transfers := EnsureTransfers{PlanDigest: plan.Digest, NotOlderThan: o.Now.Add(-proofRefreshAge),
		Copy: mayCopy(o, plan.Digest)}
	if plan.Lost > 0 {
		return Fail{Reason: v1alpha1.ReasonImagesLost, Actions: []Action{transfers},
			Blockers: problemsOrCount(plan.Problems, v1alpha1.ReasonImagesLost,
				"%d references could not be pulled any more", plan.Lost)}
	}
	if plan.PendingChecks > 0 {
		return Wait{
			Blockers: []Blocker{{Kind: "Image", Name: "references", Message: fmt.Sprintf(
				"asking the registries about %d references that this rollout does not copy", plan.PendingChecks)}},
			Actions: []Action{transfers},
		}
	}
	if step := awaitForecastBeforeStart(o); step != nil {
		return step
	}
	return Done{Message: fmt.Sprintf("%d references, %d change where they are pulled from, none is lost", plan.Total,
		plan.Changed)}
}

// mayCopy tells whether the engine may go on writing to the mirrors: the rollout has started, or
// this very plan was found good and is being copied. A new reference to ask about must not cancel
// what is in progress.
func mayCopy(o Observed, plan string) bool {
	t, ok := o.Transfers.Get()
	return o.Record.StartedAt != nil || (ok && t.Copying && t.PlanDigest == plan)
}

// mirrorImages copies the bulk before the pools are paused, so that they are held as short as
// possible.
func mirrorImages(o Observed) Step {
	pools, _ := o.Pools.Get()
	if _, before := entryGate(o, pools); o.Record.StartedAt != nil && !before {
		return Done{}
	}
	return awaitProofs(o, time.Time{})
}

// verifyImages proves every changed reference again once the pools are held, and from then on never
// lets a proof grow older than maxProofAge.
func verifyImages(o Observed) Step {
	bound := o.Now.Add(-maxProofAge)
	plan, ok := o.Plan.Get()
	if !ok {
		return waitForRead("Plan", o.Plan.Why())
	}
	if started := o.Record.StartedAt; started != nil && o.Record.AppliedPlanHash != plan.Digest &&
		started.After(bound) {
		bound = started.Time
	}
	return awaitProofs(o, bound)
}

// awaitProofs tells whether every job of the plan has a proof that is not older than the bound.
func awaitProofs(o Observed, bound time.Time) Step {
	plan, ok := o.Plan.Get()
	if !ok {
		return waitForRead("Plan", o.Plan.Why())
	}
	transfers, ok := o.Transfers.Get()
	if !ok {
		return waitForRead("Transfers", o.Transfers.Why())
	}
	refresh := bound
	if b := o.Now.Add(-proofRefreshAge); b.After(refresh) {
		refresh = b
	}
	work := EnsureTransfers{PlanDigest: plan.Digest, Copy: true, NotOlderThan: refresh}
	switch {
	case transfers.PlanDigest != plan.Digest || !transfers.Copying:
		return Do{Actions: []Action{work}, Why: fmt.Sprintf("handing %d references to the mirror engine", plan.Changed)}
	case transfers.Failed > 0 && transfers.Failed+transfers.Verified >= transfers.Total:
		return Fail{Reason: firstReason(transfers.Problems, v1alpha1.ReasonImagesFailed), Actions: []Action{work},
			Blockers: problemsOrCount(transfers.Problems, v1alpha1.ReasonImagesFailed,
				"%d references could not be copied or proven", transfers.Failed)}
	case transfers.Verified < transfers.Total:
		blockers := append(toBlockers(transfers.Problems),
			Blocker{Kind: "Image", Name: "references", Message: fmt.Sprintf(
				"%d of %d references proven, %d copied so far", transfers.Verified, transfers.Total, transfers.Copied)})
		return Wait{Blockers: blockers, Actions: []Action{work}}
	case transfers.Total > 0 && transfers.OldestProof.Before(bound):
		return Wait{
			Blockers: []Blocker{{Kind: "Image", Name: "references", Message: fmt.Sprintf(
				"proving %d references again: the oldest proof is from %s", transfers.Total,
				transfers.OldestProof.UTC().Format(time.RFC3339))}},
			Actions: []Action{work},
		}
	case transfers.Total > 0 && transfers.OldestProof.Before(o.Now.Add(-proofRefreshAge)):
		// good for this step, made anew meanwhile
		return Done{Message: provenMessage(transfers), Actions: []Action{work}}
	default:
		return Done{Message: provenMessage(transfers)}
	}
}

func provenMessage(t Transfers) string {
	return fmt.Sprintf("%d of %d changed references proven to be pullable under the planned configuration", t.Verified,
		t.Total)
}

// problemsOrCount names the problems, or at least how many there are: there is no wait without a
// name (I7).
func problemsOrCount(problems []Problem, reason v1alpha1.ConditionReason, format string, n int) []Blocker {
	if len(problems) == 0 {
		return []Blocker{{Reason: reason, Kind: "Image", Name: "references", Message: fmt.Sprintf(format, n)}}
	}
	return toBlockers(problems)
}

func firstReason(problems []Problem, otherwise v1alpha1.ConditionReason) v1alpha1.ConditionReason {
	if len(problems) > 0 && problems[0].Reason != "" {
		return problems[0].Reason
	}
	return otherwise
}
