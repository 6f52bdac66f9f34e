package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A rollback is a rollout to the mirror sets of before: it is planned, proven, applied and released like one, by the same phases. Three
// things differ. It is latched (I10). It needs nobody's consent but that the rollout is not held. And a node that is stuck on its way to
// the new configuration does not stop it: taking the mirror sets away does not free such a node, because the MCO does not give a new
// target to a cordoned one. What frees it is that the nodes which have the new configuration get the old one back, so that the pods it
// waits for can be started there. Only nodes that took the new configuration are drained again; for the others nothing changes.

// back tells whether the rollout is on its way back.
func back(o Observed) bool { return o.Record.Rollback != nil }

// wantsBack tells whether the user asks for a rollback that has not begun.
func wantsBack(r v1alpha1.Record, v View) bool {
	return r.Rollback == nil && (pending(r, v, v1alpha1.RequestRollback) != "" || (v.Deleting && v.RollbackOnDelete))
}

// pending is the id of the first request for the verb that has not been carried out.
func pending(r v1alpha1.Record, v View, verb v1alpha1.RequestAction) string {
	for _, q := range v.asking(verb) {
		if !carriedOut(r, q.ID) {
			return q.ID
		}
	}
	return ""
}

// backOnDelete tells whether a rollout that is being deleted has to go back first: when it has written mirror sets, or is at it already.
func backOnDelete(o Observed) bool {
	if !o.Rollout.Deleting || !o.Rollout.RollbackOnDelete || !o.Rollout.Finalizer {
		return false
	}
	if back(o) {
		return o.Record.CompletedGeneration == 0
	}
	return o.Record.AppliedPlanHash != ""
}

// begin latches a rollback for which somebody or something asks, and holds what was aborted too late to be simply taken back.
func begin(o Observed) Step {
	if back(o) {
		return nil
	}
	latch := func(reason v1alpha1.RollbackReason, request, why string) Step {
		return Do{Facts: []Fact{RollbackBegun{Reason: reason, Request: request, Spec: o.Rollout.Spec, At: o.Now}}, Why: why}
	}
	v, ended := o.Rollout, o.Record.CompletedGeneration != 0
	rollback, aborted := pending(o.Record, v, v1alpha1.RequestRollback), pending(o.Record, v, v1alpha1.RequestAbort)
	switch {
	case ended && o.Record.CompletedSpecHash != v.Spec && !v.Deleting:
		return nil // the spec is a new one: its requests are about what comes
	case rollback != "" && refusedRollback(o) != nil:
		return refusedRollback(o)
	case backOnDelete(o) && refusedRollback(o) != nil:
		return refusedRollback(o)
	case rollback != "":
		return latch(v1alpha1.RollbackRequested, rollback, "request "+rollback+" asks for a rollback")
	case backOnDelete(o):
		return latch(v1alpha1.RollbackDeleted, "", "the rollout is deleted and spec.deletion is Rollback")
	case aborted != "" && !ended:
		return abort(o, aborted, latch)
	case v.RollbackOnFailure && timedOut(o) && refusedRollback(o) == nil:
		return latch(v1alpha1.RollbackDrainTimedOut, "", fmt.Sprintf("%s did not get through in time and spec.onFailure is Rollback", nodeNames(o.Record.Release.Nodes)))
	}
	return nil
}

// refusedRollback says why there is nothing to roll back to: the ControllerRevision with the earlier mirror sets is gone, or was edited. Such
// a rollback is refused before it begins, because it could not be completed. Nil when it can be.
func refusedRollback(o Observed) Step {
	if o.Record.AppliedPlanHash == "" || o.Record.Previous == nil {
		return nil
	}
	sets, ok := o.Sets.Get()
	switch {
	case !ok:
		return unreadable("ImageTagMirrorSet", o.Sets.Why())
	case sets.PreviousProblem == nil:
		return nil
	case sets.PreviousProblem.Passing:
		return Wait{Blockers: blockersOf([]Problem{*sets.PreviousProblem})}
	default:
		return Fail{Reason: sets.PreviousProblem.Reason, Blockers: blockersOf([]Problem{*sets.PreviousProblem})}
	}
}

// abort takes back at once what has reached no node. Otherwise the user has to choose.
func abort(o Observed, request string, latch func(reason v1alpha1.RollbackReason, request, why string) Step) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return unreadable("MachineConfigPool", o.Pools.Why())
	}
	reached := 0
	for _, p := range pools {
		switch {
		case passOf(o) == v1alpha1.PassEnforce: // every node has the first pass at least
			reached += len(p.Nodes)
		case p.Meaning == MeansPlanned:
			reached += p.Taken(p.Rendered)
		}
	}
	if o.Record.AppliedPlanHash == "" || reached == 0 {
		return latch(v1alpha1.RollbackAborted, request, "request "+request+" aborts the rollout, which has reached no node")
	}
	return Fail{Reason: v1alpha1.ReasonAborted, Blockers: []Blocker{{Reason: v1alpha1.ReasonAborted, Kind: "SafeMirrorRollout", Name: o.Rollout.Name, Message: fmt.Sprintf(
		"request %s aborts the rollout, and %d nodes have the new configuration or are on their way to it: no more are released. To go back, add a request "+
			"with the action Rollback, which drains those nodes again; to go on, remove request %s", request, reached, request)}}}
}

// timedOut tells whether the node under way has used up the user's patience.
func timedOut(o Observed) bool {
	r := o.Record.Release
	return r != nil && r.UpdateStartedAt != nil && o.Now.Sub(r.UpdateStartedAt.Time) >= o.Rollout.drainLimit()
}

func rolledBack(r v1alpha1.RollbackRecord) string {
	why := map[v1alpha1.RollbackReason]string{
		v1alpha1.RollbackRequested: "request " + r.RequestID + " asked for it", v1alpha1.RollbackAborted: "request " + r.RequestID + " aborted the rollout",
		v1alpha1.RollbackDeleted: "the rollout was deleted", v1alpha1.RollbackDrainTimedOut: "a node did not get through in time",
	}[r.Reason]
	return fmt.Sprintf("rolled back since %s because %s: every node has the mirror sets of before, and every pool is as it was; change the spec to try again",
		r.DecidedAt.UTC().Format(time.RFC3339), why)
}

// withdraw is the phase table of a rollback before anything was applied: there is nothing to bring back but the pools. Should sets of ours
// be there all the same, because the record was lost, they are taken back like any others.
var withdraw = []phase{
	{PhaseRestore, "", "every pool is as it was before", func(o Observed) Step {
		pools, ok := o.Pools.Get()
		if !ok {
			return unreadable("MachineConfigPool", o.Pools.Why())
		}
		if step := giveBack(o, pools); step != nil {
			return step
		}
		return Done{Message: "every pool is as it was before"}
	}},
	{PhaseFinish, "", "the end is on record", finish},
}

// tableOf is the phase table that the rollout goes through.
func tableOf(o Observed) []phase {
	sets, known := o.Sets.Get()
	if back(o) && o.Record.AppliedPlanHash == "" && known && sets.settled() {
		return withdraw
	}
	return forward
}

// moving are the nodes of the pool that are on their way, without those that a rollback finds stuck.
func (p Pool) moving(o Observed) []Node {
	stuck := p.stuck(o)
	return slices.DeleteFunc(p.inFlight(), func(n Node) bool {
		return slices.ContainsFunc(stuck, func(s Node) bool { return s.Name == n.Name })
	})
}

// stuck are the nodes of the pool that were on their way to what is being rolled back when it began, and are held up in a drain or by
// an error of their daemon. Before the pool is rendered with the mirror sets of before, that is any node on its way. On the way forward it
// is a node that was given up for now, because what its pool gets was corrected since.
func (p Pool) stuck(o Observed) []Node {
	if !back(o) {
		return p.givenUp(o)
	}
	var out []Node
	for _, n := range p.inFlight() {
		rendered := p.Meaning == MeansPlanned
		stage := n.Stage(n.Desired)
		if n.Current != "" && (!rendered || (n.Desired != p.Rendered && (stage == "Draining" || stage == "Degraded"))) {
			out = append(out, n)
		}
	}
	return out
}

// givenUp are the nodes for which their pool has been given room for one more.
func (p Pool) givenUp(o Observed) []Node {
	raised := func(n Node) bool {
		return slices.ContainsFunc(o.Record.Remedies, func(r v1alpha1.RemedyRecord) bool {
			return r.Action == v1alpha1.RaiseMaxUnavailable && r.State == v1alpha1.RemedyTaken && r.Node == n.Name && r.Name == p.Name
		})
	}
	return slices.DeleteFunc(p.inFlight(), func(n Node) bool { return !raised(n) })
}
