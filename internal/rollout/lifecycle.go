package rollout

import (
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// decideBeforePhases comes before any phase.
type decideBeforePhases struct {
	name string
	// about is the row's text on the page.
	about string
	// decide makes the decision if the guard applies.
	decide func(o Observed) (d Decision, applies bool)
}

// guards are asked in this order. What is partly written comes first: between two writes lies a
// state that nobody has asked for (I13).
var guards = []decideBeforePhases{
	{"FinishWriting", "one of two mirror sets is written and the other is not: finish them",
		func(o Observed) (Decision, bool) {
			return stepOf(o, PhaseApply, finishWriting(o))
		}},
	{"Delete", "the rollout is being deleted: put back what can be put back at once, and let it go",
		func(o Observed) (Decision, bool) {
			if !o.Rollout.Deleting || rollbackOnDelete(o) {
				return Decision{}, false
			}
			return decideDeletion(o)
		}},
	{"BeginRollback", "somebody or something asks for a rollback: put it on record", func(o Observed) (Decision, bool) {
		return stepOf(o, "", startRollback(o))
	}},
	{"WithdrawPass", "a deleted rollout is in a second pass of which nothing is written: go back to the first",
		func(o Observed) (Decision, bool) {
			return stepOf(o, "", cancelEnforcePass(o))
		}},
	{"Ended", "the rollout has ended: watch for drift, or plan anew when the spec has changed", afterEnd},
}

// firstGuard is the decision of the first guard that applies.
func firstGuard(o Observed) (Decision, bool) {
	for _, g := range guards {
		if d, applies := g.decide(o); applies {
			return d, true
		}
	}
	return Decision{}, false
}

// stepOf is the decision that the step makes in the phase; there is none without a step. An empty
// phase is the one that the rollout is in.
func stepOf(o Observed, p Phase, step Step) (Decision, bool) {
	if step == nil {
		return Decision{}, false
	}
	d := Decision{Phase: p}
	d.apply(step, o.Now)
	return d, true
}

// afterEnd decides for a rollout that has reached its end.
func afterEnd(o Observed) (Decision, bool) {
	switch {
	case o.Record.CompletedGeneration == 0:
		return Decision{}, false
	case o.Rollout.Deleting:
		return decideDeletion(o)
	case o.Record.CompletedSpecHash != o.Rollout.SpecHash:
		return stepOf(o, PhasePreflight, Do{
			Facts: []Fact{RolloutRestarted{}},
			Why: fmt.Sprintf("the spec has changed (generation %d, completed was %d): planning anew",
				o.Rollout.Generation, o.Record.CompletedGeneration),
		})
	default:
		return decideCompleted(o), true
	}
}

// Ended tells whether the rollout has nothing left to decide but whether its mirror sets are still
// there: it is complete, or it was and is being deleted. Pools, images and workloads need not be
// read for that.
func Ended(r v1alpha1.Record, spec Spec) bool {
	return r.CompletedGeneration != 0 && (spec.Deleting || r.CompletedSpecHash == spec.SpecHash) &&
		!rollbackRequested(r, spec)
}

// decideDeletion lets the rollout go as soon as nothing of it dangles. Before the mirror sets were
// applied the pools are restored at once. After that the mirror sets stay, and the rollout is
// carried to its end first: giving the pools back half way would let the MCO take the remaining
// nodes unproven and all at its own pace (I5).
func decideDeletion(o Observed) (Decision, bool) {
	if !o.Rollout.Finalizer {
		return Decision{Phase: PhaseComplete, Complete: true, Reason: v1alpha1.ReasonComplete}, true
	}
	d := Decision{Phase: PhaseRestore}
	step, proceed := removeFinalizer(o)
	if proceed {
		return Decision{}, false
	}
	d.apply(step, o.Now)
	return d, true
}

// removeFinalizer is the next step of a rollout that is being deleted; proceed is true when that is
// a step of the phases.
func removeFinalizer(o Observed) (step Step, proceed bool) {
	remove := Step(Do{Actions: []Action{RemoveFinalizer{}}, Why: "nothing of this rollout is left to undo"})
	if c, known := o.Cluster.Get(); known && c.Unsupported != "" {
		return remove, false // there is no Machine Config Operator: nothing of ours can be there
	}
	if policyMayRemain(o) {
		remove = waitForRead(policyKind, o.NodeDisruptionPolicy.Why())
	}
	pools, ok := o.Pools.Get()
	completed := o.Record.CompletedGeneration != 0
	switch {
	case !ok && completed && !policyInCluster(o):
		return remove, false // the pools were restored before completion was recorded
	case !ok:
		return waitForRead("MachineConfigPool", o.Pools.Why()), false
	case !needsRestore(o, pools) && (o.Record.StartedAt == nil || completed):
		return remove, false
	case !completed:
		sets, ok := o.Sets.Get()
		if !ok {
			return waitForRead("ImageTagMirrorSet", o.Sets.Why()), false
		}
		if mustComplete(o, sets, pools) {
			return nil, true
		}
	}
	if step := restorePausedPools(o, pools); step != nil {
		return step, false
	}
	return remove, false
}

// mustComplete tells whether the rollout has to be carried to its end. The intent to apply says so,
// unless it was never carried out or was taken back before any node was released; and when the
// record is lost, our mirror set and pools with nodes left to update say so.
func mustComplete(o Observed, sets MirrorSets, pools []Pool) bool {
	if o.Record.AppliedPlanHash == "" {
		return sets.anyPresent() && !allPoolsUpdated(pools)
	}
	if sets.anyPresent() {
		return true
	}
	for _, p := range pools {
		if !neverReleased(p) && (p.Registries != MatchesBefore || !p.fullyUpdated()) {
			return true
		}
	}
	return false
}

// neverReleased tells whether no node of the pool was released by this rollout, as far as the
// pause record knows.
func neverReleased(p Pool) bool { return p.PauseRecord == nil || p.PauseRecord.Release == nil }

// needsRestore tells whether anything of ours has to be restored.
func needsRestore(o Observed, pools []Pool) bool { return anyPauseRecord(pools) || policyInCluster(o) }

func anyPauseRecord(pools []Pool) bool {
	for _, p := range pools {
		if p.PauseRecord != nil {
			return true
		}
	}
	return false
}

func allPoolsUpdated(pools []Pool) bool {
	for _, p := range pools {
		if !p.fullyUpdated() {
			return false
		}
	}
	return true
}

// decideCompleted watches a rollout that has ended well. It reports drift and changes nothing: a
// mirror set is never written again while pools are unpaused, because the MCO would take every node
// at once. Should a pool carry a pause record all the same, because somebody has put an old copy of
// it back, it is restored once more.
func decideCompleted(o Observed) Decision {
	d := Decision{Phase: PhaseComplete, Complete: true, Reason: v1alpha1.ReasonComplete, PhaseResults: allPhasesDone()}
	if rollback := o.Record.Rollback; rollback != nil {
		d.Complete, d.Stalled, d.Reason, d.Why = false, true, v1alpha1.ReasonRolledBack, rolledBackMessage(*rollback)
		d.PhaseResults = nil // no phase of the way forward is done any more
		d.Blockers = []Blocker{{Reason: v1alpha1.ReasonRolledBack, Kind: "SafeMirrorRollout", Name: o.Rollout.Name,
			Message: d.Why}}
	}
	if pools, ok := o.Pools.Get(); ok && needsRestore(o, pools) {
		d.Phase, d.Complete = PhaseRestore, false
		d.apply(restorePausedPools(o, pools), o.Now)
		return d
	}
	sets, ok := o.Sets.Get()
	if !ok || (sets.IDMS.upToDate() && sets.ITMS.upToDate()) {
		return d
	}
	d.Complete = false
	d.apply(Fail{Reason: v1alpha1.ReasonDrifted, Blockers: driftBlockers(o.Rollout.Name, sets)}, o.Now)
	return d
}

func driftBlockers(name string, sets MirrorSets) []Blocker {
	var out []Blocker
	for _, s := range sets.byKind() {
		if s.state.upToDate() {
			continue
		}
		out = append(out, Blocker{
			Reason: v1alpha1.ReasonDrifted, Kind: s.kind, Name: name,
			Message: fmt.Sprintf("%s %s is no longer what this rollout applied (%s); it is not written again while pools are unpaused: "+
				"put it back, or change the spec so that a new rollout is planned, or delete this SafeMirrorRollout to accept it", s.kind, name, s.state),
		})
	}
	return out
}
