package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// applyMirrorSets writes the mirror sets once everything is proven and every pool is held. From
// that moment builds, imports and new machines may follow them; the nodes do not.
func applyMirrorSets(o Observed) Step {
	sets, ok := o.Sets.Get()
	if !ok {
		return waitForRead("ImageTagMirrorSet", o.Sets.Why())
	}
	plan, ok := o.Plan.Get()
	if !ok {
		return waitForRead("Plan", o.Plan.Why())
	}
	if upToDate, _ := applied(o); upToDate {
		return confirmApplied(o, sets)
	}
	if foreign := foreignSets(o.Rollout.Name, sets); len(foreign) > 0 {
		return Fail{Reason: v1alpha1.ReasonManagedElsewhere, Blockers: foreign}
	}
	if step := consent(o, passGate(o)); step != nil {
		return step
	}
	if step := safeToApply(o); step != nil {
		return step
	}
	if step := savePrevious(o, sets); step != nil {
		return step
	}
	if o.Record.AppliedPlanHash != plan.Digest || writeIntentMissing(o, sets) {
		return Do{Facts: []Fact{applyIntent(plan, sets)},
			Why: "everything is proven; the mirror sets are about to be applied"}
	}
	return Do{Actions: []Action{ApplyMirrorSets{PlanDigest: plan.Digest}},
		Why: "applying the mirror sets, digest mirrors first"}
}

func confirmApplied(o Observed, sets MirrorSets) Step {
	switch {
	case o.Record.PendingWrite != nil:
		return Do{Facts: []Fact{MirrorSetsWritten{}}, Why: "the mirror sets are written"}
	case sets.Pass == v1alpha1.PassAllow:
		return Done{Message: "the mirror sets are as declared, with the sources as a fallback: this is the first of two passes"}
	default:
		return Done{Message: "the mirror sets are as declared"}
	}
}

// savePrevious writes the mirror sets before the rollout into a ControllerRevision. That exists
// before the record names it, and the record names it before the first mirror set is written:
// whatever dies in between, a rollback finds what it needs.
func savePrevious(o Observed, sets MirrorSets) Step {
	switch {
	case o.Record.AppliedPlanHash != "" || sets.PreviousSaved || sets.Previous == nil:
		return nil
	case sets.PreviousProblem == nil:
		return Do{Actions: []Action{SavePrevious{Revision: sets.Previous.Name}},
			Why: "saving the present mirror sets in ControllerRevision " + sets.Previous.Name + ", for a rollback"}
	case sets.PreviousProblem.Transient:
		return Wait{Blockers: toBlockers([]Problem{*sets.PreviousProblem})}
	default:
		return nil // the record was lost, and the revision with it: a rollback is refused when it is asked for
	}
}

// writeIntentMissing tells whether the change takes more than one write and nothing on record says
// so.
func writeIntentMissing(o Observed, sets MirrorSets) bool {
	return sets.needsTwoWrites() &&
		(o.Record.PendingWrite == nil || o.Record.PendingWrite.TargetHash != sets.DesiredHash)
}

// applyIntent is what has to be on record before the first write.
func applyIntent(plan PlanSummary, sets MirrorSets) Fact {
	f := ApplyIntended{PlanDigest: plan.Digest, Previous: sets.Previous, Pass: sets.Pass, ListsHash: sets.ListsHash}
	if sets.needsTwoWrites() {
		f.Writing = &v1alpha1.PendingWriteRecord{DigestMirrorsHash: sets.PresentIDMSHash,
			TagMirrorsHash: sets.PresentITMSHash, TargetHash: sets.DesiredHash}
	}
	return f
}

// applied tells whether the mirror sets are as declared and were applied on the strength of the
// present plan; known is false when that cannot be told.
func applied(o Observed) (upToDate, known bool) {
	sets, haveSets := o.Sets.Get()
	plan, havePlan := o.Plan.Get()
	if !haveSets || !havePlan {
		return false, false
	}
	return sets.upToDate() && o.Record.AppliedPlanHash == plan.Digest, true
}

// foreignSets: a set of our name that is somebody else's is never written over, whatever the
// preflight has let through.
func foreignSets(name string, sets MirrorSets) []Blocker {
	var out []Blocker
	for _, s := range sets.byKind() {
		if s.state == SetForeign {
			out = append(out, Blocker{Reason: v1alpha1.ReasonManagedElsewhere, Kind: s.kind, Name: name,
				Message: s.kind + " " + name + " exists and is not this rollout's; give the rollout another name"})
		}
	}
	return out
}

// safeToApply holds while a node is updating, because what it is about to run must not change
// under it; while a pool is open; and while changes are queued that would hold every release
// afterwards: now they can still be let through.
func safeToApply(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	checks := slices.Concat(updatingBlockers(o, pools), unpausedPools(o, pools), pendingChangeBlockers(pools,
		"withdraw them, or delete this SafeMirrorRollout, which gives the pools back, and create it again when they are on the nodes"))
	if len(checks) > 0 {
		return Wait{Blockers: checks}
	}
	return nil
}

// renderRecheckInterval is how long the MCO may take to render a changed mirror set before we say
// that something is wrong: it waits 5 s for more changes, renders, and the node controller looks
// another 5 s later.
const renderRecheckInterval = 15 * time.Second

// awaitRendering proves that what the nodes would get is what was planned, by meaning and not by
// bytes (I12): that the mirror set exists says nothing, because the MCO reports an invalid one
// nowhere.
func awaitRendering(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	var waiting []Blocker
	for _, p := range pools {
		switch p.Registries {
		case MatchesPlanned:
			waiting = append(waiting, pendingChangeBlockers([]Pool{p},
				"withdraw them: no node is released while they are queued")...)
		case MatchesBefore, MatchesEarlier:
			waiting = append(waiting, poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"is not rendered with the mirror sets yet (%s still has the earlier registries.conf); the MCO takes some 10 s, and if it "+
					"takes minutes its machine-config-controller log tells why", p.Rendered)))
		default: // MatchesOther, and whatever is not known to be the plan
			waiting = append(waiting, poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"would get another registries.conf than the one that was planned and proven: %s: %s; no node is released while it does",
				p.Rendered, firstLine(p.Difference))))
		}
	}
	if len(waiting) > 0 {
		return Wait{Blockers: waiting, RecheckAt: o.Now.Add(renderRecheckInterval)}
	}
	return Done{Message: "every pool is rendered with the planned registries.conf"}
}

// pendingChangeBlockers names the pools behind whose pause other changes have queued up that would
// drain or reboot (R6).
func pendingChangeBlockers(pools []Pool, advice string) []Blocker {
	var out []Blocker
	for _, p := range pools {
		if len(p.PendingChanges) > 0 && !p.fullyUpdated() {
			out = append(out, poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"has other changes queued in %s that would drain or reboot: %s; %s", p.Rendered,
				firstLine(p.PendingChanges), advice)))
		}
	}
	return out
}
