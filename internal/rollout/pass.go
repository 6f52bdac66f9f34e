package rollout

import (
	"fmt"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A staged rollout goes through the phases twice: with the sources as a fallback, and again with those blocked that are declared to be.
// What differs between the passes is what is wanted (MirrorSets.To), and with it the plan; everything else, from the proofs to the order of
// the nodes, is the same. Between them the pools are given back, because a pool that is held for days gets no other change either; they are
// taken again for the second pass like those of a mirror set that was lost (docs/adr/0011).
//
// Which pass it is stands on record from the first intent on. When the record is lost the mirror sets tell: those of the second pass are
// there, in part or all of them, or they are not, and then it is the first pass.

// GateEnforce is the gate before the sources are blocked.
const GateEnforce = "enforce"

// passOf is the pass under way; empty for a rollout that is not staged.
func passOf(o Observed) v1alpha1.Pass {
	sets, _ := o.Sets.Get()
	return sets.Pass
}

// opening is the gate at which a pass begins, and whether this is before it: nothing is held for the pass yet.
func opening(o Observed, pools []Pool) (gate string, closed bool) {
	if o.Rollout.Deleting {
		return "", false
	}
	plan, _ := o.Plan.Get()
	if passOf(o) == v1alpha1.PassEnforce && o.Record.AppliedPlanHash != plan.Digest && !anyLedger(pools) {
		return GateEnforce, true
	}
	return GateApply, o.Record.StartedAt == nil
}

// gateOf is the gate of the pass.
func gateOf(o Observed) string {
	if passOf(o) == v1alpha1.PassEnforce {
		return GateEnforce
	}
	return GateApply
}

// enforce is the phase between the passes. The first pass is on every node and the pools are as they were; after a while the second begins.
func enforce(o Observed) Step {
	sets, ok := o.Sets.Get()
	if !ok {
		return unreadable("ImageTagMirrorSet", o.Sets.Why())
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
	case rec == nil || rec.Pass != sets.Pass || rec.MirrorsHash != sets.Lists:
		return Do{Facts: []Fact{PassBegun{Pass: sets.Pass, Lists: sets.Lists}}, Why: "every node has the mirrors, with the sources as a fallback"}
	case rec.ReachedAt == nil:
		return Do{Facts: []Fact{PassReached{At: o.Now}}, Why: "every node has the mirrors, with the sources as a fallback; that is watched from now on"}
	}
	if until := rec.ReachedAt.Add(o.Rollout.EnforceAfter); o.Now.Before(until) {
		return Wait{Until: until, Blockers: []Blocker{{Reason: v1alpha1.ReasonSoaking, Kind: "SafeMirrorRollout", Name: o.Rollout.Name, Message: fmt.Sprintf(
			"the first pass was on every node at %s, with the sources as a fallback, and is watched until %s; the pools are as they were meanwhile, and the "+
				"second pass, which blocks the sources and drains each node again, begins then", rec.ReachedAt.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))}}}
	}
	if step := consent(o); step != nil {
		return step
	}
	pools, ok := o.Pools.Get()
	if !ok {
		return unreadable("MachineConfigPool", o.Pools.Why())
	}
	if step := poolsAtRest(pools); step != nil {
		return step
	}
	return Do{
		Facts: []Fact{PassBegun{Pass: v1alpha1.PassEnforce, Lists: sets.Lists}},
		Why:   "the first pass has been watched for as long as was wanted: the second, which blocks the sources, is planned",
	}
}

// withdrawPass takes the second pass of a deleted rollout back as long as nothing of it was written: what is carried to its end then is
// the first.
func withdrawPass(o Observed) Step {
	sets, ok := o.Sets.Get()
	plan, planned := o.Plan.Get()
	if !ok || !planned || !o.Rollout.Deleting || back(o) || sets.Pass != v1alpha1.PassEnforce || sets.settled() {
		return nil
	}
	w := o.Record.PendingWrite
	unwritten := w != nil && w.TargetHash == sets.To && w.DigestMirrorsHash == sets.HaveDigest && w.TagMirrorsHash == sets.HaveTag
	if o.Record.AppliedPlanHash == "" || (o.Record.AppliedPlanHash == plan.Digest && !unwritten) {
		return nil
	}
	return Do{
		Facts: []Fact{PassBegun{Pass: v1alpha1.PassAllow, Lists: sets.Lists}},
		Why:   "the rollout is deleted before the second pass has written anything: it ends with the first",
	}
}
