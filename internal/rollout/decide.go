package rollout

import (
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Decide says what to do next. It is total, deterministic and free of side effects. Three tables
// make the decision, and docs/phases.md shows them: the first guard that applies decides; if none
// does, the first phase that is not done decides; then come the amendments, which are about every
// decision.
func Decide(o Observed) Decision {
	d, guarded := firstGuard(o)
	if !guarded {
		return amended(o, evaluatePhases(phasesFor(o), o))
	}
	return withPhaseResults(o, amended(o, d))
}

// withPhaseResults adds to the decision of a guard which phases are done: a guard stops actions, and
// does not change what the cluster is like. Example: a rollout that is aborted while it releases
// nodes is in phase Release, with paused pools and applied mirror sets, and its reason is Aborted.
// The amendments come before, because they depend on what the guard decided.
func withPhaseResults(o Observed, d Decision) Decision {
	if d.Complete || d.PhaseResults != nil || restarted(d) {
		return d
	}
	completed := o.Record.CompletedGeneration != 0
	if completed && rollingBack(o) {
		return d // it has rolled back: no phase of the rollout is done any more
	}
	known := Decision{Phase: PhaseComplete, PhaseResults: allPhasesDone()}
	if !completed {
		known = evaluatePhases(phasesFor(o), o)
	}
	if d.Phase == "" {
		d.Phase = known.Phase
	}
	for _, r := range known.PhaseResults {
		if !r.Done || r.Phase == d.Phase {
			break
		}
		d.PhaseResults = append(d.PhaseResults, r)
	}
	if next := len(d.PhaseResults); next < len(known.PhaseResults) && known.PhaseResults[next].Phase == d.Phase {
		d.PhaseResults = append(d.PhaseResults, PhaseResult{Phase: d.Phase, Reason: d.Reason, Message: d.Why})
	}
	return d
}

// restarted reports whether the rollout is planned anew: no phase of the new plan is done.
func restarted(d Decision) bool {
	return slices.ContainsFunc(d.Facts, func(f Fact) bool { _, yes := f.(RolloutRestarted); return yes })
}

// mustRepause tells whether a pool that is open for one node has to be closed before it has had it:
// the user holds the rollout, the maintenance window closes, or what forbids a release has come up
// meanwhile (I6), as when the policy is gone by which its node would reload: it would be drained,
// and nobody has looked ahead at that. Proofs that are being made anew do not: they are all the
// time.
func mustRepause(o Observed, d Decision) bool {
	_, closed := outsideWindows(o)
	return o.Rollout.Held || (closed && !rollingBack(o)) || d.Stalled || d.Phase == PhasePreflight ||
		d.Phase == PhasePolicy || d.Phase == ""
}

// recheck bounds the time of the next look: never before now, and while there is something to do
// never later than maxRecheckInterval (I7).
func recheck(d Decision, now time.Time) time.Time {
	latest := now.Add(maxRecheckInterval)
	switch {
	case d.RecheckAt.IsZero() && d.Complete:
		return time.Time{}
	case d.RecheckAt.IsZero() || d.RecheckAt.After(latest):
		return latest
	case d.RecheckAt.Before(now):
		return now
	default:
		return d.RecheckAt
	}
}

// StillSafe runs the same decision on a fresh look and tells whether it still asks for the action.
// It is called with uncached reads right before a disruptive action; why says what has changed.
func StillSafe(fresh Observed, a Action) (why string, ok bool) {
	d := Decide(fresh)
	for _, b := range d.Actions {
		if b.Key() == a.Key() {
			return "", true
		}
	}
	if len(d.Blockers) > 0 {
		return d.Blockers[0].Message, false
	}
	return d.Why, false
}

// evaluatePhases goes through the phases in order; the first one that is not done is the current
// phase.
func evaluatePhases(table []phase, o Observed) Decision {
	d := Decision{}
	var background []Action
	for _, p := range table {
		step := p.evaluate(o)
		if done, ok := step.(Done); ok {
			background = append(background, done.Actions...)
			d.PhaseResults = append(d.PhaseResults,
				PhaseResult{Phase: p.name, Done: true, Reason: v1alpha1.ReasonDone, Message: done.Message})
			continue
		}
		d.Phase = p.name
		d.apply(step, o.Now)
		d.Actions = append(d.Actions, background...)
		d.PhaseResults = append(d.PhaseResults, PhaseResult{Phase: p.name, Reason: d.Reason, Message: d.Why})
		return d
	}
	d.Phase, d.Complete = PhaseComplete, true
	d.Reason = v1alpha1.ReasonComplete
	return d
}

// apply folds the current phase's step into the decision.
func (d *Decision) apply(step Step, now time.Time) {
	switch s := step.(type) {
	case Done:
	case Do:
		d.Actions, d.Facts, d.Why = s.Actions, s.Facts, s.Why
		d.Reason = v1alpha1.ReasonProgressing
		d.RecheckAt = now // the next step follows at once
	case Wait:
		d.Actions, d.Blockers, d.RecheckAt = s.Actions, s.Blockers, s.RecheckAt
		d.Reason, d.Why = v1alpha1.ReasonWaiting, firstMessage(s.Blockers)
		if len(s.Blockers) > 0 && s.Blockers[0].Reason != "" {
			d.Reason = s.Blockers[0].Reason
		}
	case Fail:
		d.Actions, d.Blockers, d.Stalled = s.Actions, s.Blockers, true
		d.Reason, d.Why = s.Reason, firstMessage(s.Blockers)
	}
}

func firstMessage(blockers []Blocker) string {
	if len(blockers) == 0 {
		return ""
	}
	return blockers[0].Message
}

// windowOutdated tells whether the unpause window is of the way forward, and the rollout rolls back
// now.
func windowOutdated(o Observed, window UnpauseWindow) bool {
	r := o.Record.Release
	return rollingBack(o) && (r == nil || !r.IntendedAt.Time.Equal(window.IntendedAt))
}

// repauseActions are the pauses that are due whatever else is going on: an unpause window that has
// had its node or its time, and a pool that somebody else unpaused. They come before everything, in
// every phase, and while the rollout is being deleted.
func repauseActions(o Observed, repause bool) []Action {
	pools, ok := o.Pools.Get()
	if !ok {
		return nil
	}
	var out []Action
	for _, p := range pools {
		if p.PauseRecord == nil || p.Paused {
			continue
		}
		record := *p.PauseRecord
		switch window := record.Release; {
		case window != nil && !window.Closed:
			if !repause && !p.UnpauseWindowOver(o.Now) && !windowOutdated(o, *window) {
				continue
			}
			closed := *window
			closed.Closed = true
			record.Release = &closed
		case record.Repaused == 0:
			record.Repaused++ // once, and never a war over it (R2)
		default:
			continue
		}
		out = append(out, PausePool{Pool: p.Name, Record: record})
	}
	return out
}

// repauseFirst puts the closures before the decision's own actions and takes the disruptive ones
// out: what is disruptive can wait for a loop in which nothing had to be stopped.
func repauseFirst(d Decision, repauses []Action) Decision {
	if len(repauses) == 0 {
		return d
	}
	keep := slices.DeleteFunc(slices.Clone(d.Actions), func(a Action) bool {
		return a.Disruptive() || slices.ContainsFunc(repauses, func(c Action) bool { return c.Key() == a.Key() })
	})
	d.Actions = append(repauses, keep...)
	d.Complete = false
	return d
}
