package rollout

import (
	"fmt"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A staged rollout goes through the phases twice: with the sources as a fallback, and again with
// those blocked that are declared to be. What differs between the passes is what is wanted
// (MirrorSets.To), and with it the plan; everything else, from the proofs to the order of the
// nodes, is the same. Between them the pools are restored, because a pool that is held for days
// gets no other change either; they are taken again for the second pass like those of a mirror set
// that was lost (docs/adr/0011).
//
// Which pass it is stands on record from the first intent on. When the record is lost the mirror
// sets tell: those of the second pass are there, in part or all of them, or they are not, and then
// it is the first pass.

// GateEnforce is the gate before the sources are blocked.
const GateEnforce = "enforce"

// currentPass is the pass in progress; empty for a rollout that is not staged.
func currentPass(o Observed) v1alpha1.Pass {
	sets, _ := o.Sets.Get()
	return sets.Pass
}

// entryGate is the gate at which a pass begins, and whether this is before it: nothing is held for
// the pass yet.
func entryGate(o Observed, pools []Pool) (gate string, closed bool) {
	if o.Rollout.Deleting {
		return "", false
	}
	plan, _ := o.Plan.Get()
	if currentPass(o) == v1alpha1.PassEnforce && o.Record.AppliedPlanHash != plan.Digest && !anyPauseRecord(pools) {
		return GateEnforce, true
	}
	return GateApply, o.Record.StartedAt == nil
}

// passGate is the gate of the pass.
func passGate(o Observed) string {
	if currentPass(o) == v1alpha1.PassEnforce {
		return GateEnforce
	}
	return GateApply
}

// enforcePass is the phase between the passes. The first pass is on every node and the pools are as
// they were; after a while the second begins.
func enforcePass(o Observed) Step {
	sets, ok := o.Sets.Get()
	if !ok {
		return waitForRead("ImageTagMirrorSet", o.Sets.Why())
	}
	switch {
	case sets.Pass == v1alpha1.PassEnforce:
		return Done{Message: "the sources are blocked as declared"}
	case sets.Pass == "":
		return Done{}
	case o.Rollout.Deleting:
		return Done{Message: "deleted in the first pass: no source is blocked that was not before"}
	}
	rec := o.Record.Pass
	switch {
	case rec == nil || rec.Pass != sets.Pass || rec.MirrorsHash != sets.ListsHash:
		return Do{Facts: []Fact{PassStarted{Pass: sets.Pass, ListsHash: sets.ListsHash}},
			Why: "every node has the mirrors, with the sources as a fallback"}
	case rec.ReachedAt == nil:
		return Do{Facts: []Fact{PassReached{At: o.Now}},
			Why: "every node has the mirrors, with the sources as a fallback; that is watched from now on"}
	}
	if until := rec.ReachedAt.Add(o.Rollout.EnforceAfter); o.Now.Before(until) {
		return Wait{RecheckAt: until, Blockers: []Blocker{{Reason: v1alpha1.ReasonSoaking, Kind: "SafeMirrorRollout",
			Name: o.Rollout.Name, Message: fmt.Sprintf(
				"the first pass was on every node at %s, with the sources as a fallback, and is watched until %s; the pools are as they were meanwhile, and the "+
					"second pass, which blocks the sources and drains each node again, begins then",
				rec.ReachedAt.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))}}}
	}
	if step := consent(o); step != nil {
		return step
	}
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	if step := awaitPoolsUpdated(pools); step != nil {
		return step
	}
	return Do{
		Facts: []Fact{PassStarted{Pass: v1alpha1.PassEnforce, ListsHash: sets.ListsHash}},
		Why:   "the first pass has been watched for as long as was wanted: the second, which blocks the sources, is planned",
	}
}

// cancelEnforcePass takes the second pass of a deleted rollout back as long as nothing of it was
// written: what is carried to its end then is the first.
func cancelEnforcePass(o Observed) Step {
	sets, ok := o.Sets.Get()
	plan, planned := o.Plan.Get()
	if !ok || !planned || !o.Rollout.Deleting || rollingBack(o) || sets.Pass != v1alpha1.PassEnforce ||
		sets.upToDate() {
		return nil
	}
	w := o.Record.PendingWrite
	unwritten := w != nil && w.TargetHash == sets.DesiredHash && w.DigestMirrorsHash == sets.PresentIDMSHash &&
		w.TagMirrorsHash == sets.PresentITMSHash
	if o.Record.AppliedPlanHash == "" || (o.Record.AppliedPlanHash == plan.Digest && !unwritten) {
		return nil
	}
	return Do{
		Facts: []Fact{PassStarted{Pass: v1alpha1.PassAllow, ListsHash: sets.ListsHash}},
		Why:   "the rollout is deleted before the second pass has written anything: it ends with the first",
	}
}
