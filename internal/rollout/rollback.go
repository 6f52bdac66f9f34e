package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A rollback is a rollout to the previous mirror sets: it is planned, proven, applied and released
// like one, by the same phases. Three things differ. It is latched (I10). It needs nobody's consent
// but that the rollout is not held. And a node that is stuck on its way to the new configuration
// does not stop it: taking the mirror sets away does not free such a node, because the MCO does not
// give a new target to a cordoned one. What frees it is that the nodes which have the new
// configuration get the old one back, so that the pods it waits for can be started there. Only
// nodes that took the new configuration are drained again; for the others nothing changes.

// rollingBack tells whether the rollout is on its way back.
func rollingBack(o Observed) bool { return o.Record.Rollback != nil }

// rollbackRequested tells whether the user asks for a rollback that has not begun.
func rollbackRequested(r v1alpha1.Record, spec Spec) bool {
	return r.Rollback == nil && (pendingRequest(r, spec, v1alpha1.RequestRollback) != "" ||
		(spec.Deleting && spec.RollbackOnDelete))
}

// pendingRequest is the id of the first request for the verb that has not been carried out.
func pendingRequest(r v1alpha1.Record, spec Spec, verb v1alpha1.RequestAction) string {
	for _, request := range spec.requestsFor(verb) {
		if !carriedOut(r, request.ID) {
			return request.ID
		}
	}
	return ""
}

// rollbackOnDelete tells whether a rollout that is being deleted has to roll back first: when it
// has written mirror sets, or is at it already.
func rollbackOnDelete(o Observed) bool {
	if !o.Rollout.Deleting || !o.Rollout.RollbackOnDelete || !o.Rollout.Finalizer {
		return false
	}
	if rollingBack(o) {
		return o.Record.CompletedGeneration == 0
	}
	return o.Record.AppliedPlanHash != ""
}

// startRollback latches a rollback for which somebody or something asks, and holds what was aborted
// too late to be simply taken back.
func startRollback(o Observed) Step {
	if rollingBack(o) {
		return nil
	}
	start := func(reason v1alpha1.RollbackReason, request, why string) Step {
		return Do{Facts: []Fact{RollbackStarted{Reason: reason, Request: request, SpecHash: o.Rollout.SpecHash,
			At: o.Now}}, Why: why}
	}
	spec, completed := o.Rollout, o.Record.CompletedGeneration != 0
	rollback, aborted := pendingRequest(o.Record, spec, v1alpha1.RequestRollback),
		pendingRequest(o.Record, spec, v1alpha1.RequestAbort)
	switch {
	case completed && o.Record.CompletedSpecHash != spec.SpecHash && !spec.Deleting:
		return nil // the spec is a new one: its requests are about what comes
	case rollback != "" && refusedRollback(o) != nil:
		return refusedRollback(o)
	case rollbackOnDelete(o) && refusedRollback(o) != nil:
		return refusedRollback(o)
	case rollback != "":
		return start(v1alpha1.RollbackRequested, rollback, "request "+rollback+" asks for a rollback")
	case rollbackOnDelete(o):
		return start(v1alpha1.RollbackDeleted, "", "the rollout is deleted and spec.deletion is Rollback")
	case aborted != "" && !completed:
		return abort(o, aborted, start)
	case spec.RollbackOnFailure && drainTimedOut(o) && refusedRollback(o) == nil:
		return start(v1alpha1.RollbackDrainTimedOut, "",
			fmt.Sprintf("%s did not get through in time and spec.onFailure is Rollback",
				joinNodeNames(o.Record.Release.Nodes)))
	}
	return nil
}

// refusedRollback says why there is nothing to roll back to: the ControllerRevision with the
// earlier mirror sets is gone, or was edited. Such a rollback is refused before it begins, because
// it could not be completed. Nil when it can be.
func refusedRollback(o Observed) Step {
	if o.Record.AppliedPlanHash == "" || o.Record.Previous == nil {
		return nil
	}
	sets, ok := o.Sets.Get()
	switch {
	case !ok:
		return waitForRead("ImageTagMirrorSet", o.Sets.Why())
	case sets.PreviousProblem == nil:
		return nil
	case sets.PreviousProblem.Transient:
		return Wait{Blockers: toBlockers([]Problem{*sets.PreviousProblem})}
	default:
		return Fail{Reason: sets.PreviousProblem.Reason, Blockers: toBlockers([]Problem{*sets.PreviousProblem})}
	}
}

// abort takes back at once what has reached no node. Otherwise the user has to choose.
func abort(o Observed, request string, start func(reason v1alpha1.RollbackReason, request, why string) Step) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	updated := 0
	for _, p := range pools {
		switch {
		case currentPass(o) == v1alpha1.PassEnforce: // every node has the first pass at least
			updated += len(p.Nodes)
		case p.Registries == MatchesPlanned:
			updated += p.CountDesired(p.Rendered)
		}
	}
	if o.Record.AppliedPlanHash == "" || updated == 0 {
		return start(v1alpha1.RollbackAborted, request, "request "+request+
			" aborts the rollout, which has reached no node")
	}
	return Fail{Reason: v1alpha1.ReasonAborted,
		Blockers: []Blocker{{Reason: v1alpha1.ReasonAborted, Kind: "SafeMirrorRollout", Name: o.Rollout.Name,
			Message: fmt.Sprintf(
				"request %s aborts the rollout, and %d nodes have the new configuration or are on their way to it: no more are released. To go back, add a request "+
					"with the action Rollback, which drains those nodes again; to go on, remove request %s", request,
				updated,
				request)}}}
}

// drainTimedOut tells whether the updating node has used up the user's patience.
func drainTimedOut(o Observed) bool {
	r := o.Record.Release
	return r != nil && r.UpdateStartedAt != nil && o.Now.Sub(r.UpdateStartedAt.Time) >= o.Rollout.drainTimeout()
}

func rolledBackMessage(r v1alpha1.RollbackRecord) string {
	why := map[v1alpha1.RollbackReason]string{
		v1alpha1.RollbackRequested: "request " + r.RequestID + " asked for it", v1alpha1.RollbackAborted: "request " +
			r.RequestID + " aborted the rollout",
		v1alpha1.RollbackDeleted:       "the rollout was deleted",
		v1alpha1.RollbackDrainTimedOut: "a node did not get through in time",
	}[r.Reason]
	return fmt.Sprintf("rolled back since %s because %s: every node has the previous mirror sets, and every pool is as it was; change the spec to try again",
		r.DecidedAt.UTC().Format(time.RFC3339), why)
}

// restoreOnlyPhases is the phase table of a rollback before anything was applied: there is nothing
// to bring back but the pools. Should sets of ours be there all the same, because the record was
// lost, they are taken back like any others.
var restoreOnlyPhases = []phase{
	{PhaseRestore, "", "every pool is as it was before", func(o Observed) Step {
		pools, ok := o.Pools.Get()
		if !ok {
			return waitForRead("MachineConfigPool", o.Pools.Why())
		}
		if step := restorePausedPools(o, pools); step != nil {
			return step
		}
		return Done{Message: "every pool is as it was before"}
	}},
	{PhaseFinish, "", "the end is on record", finish},
}

// phasesFor is the phase table that the rollout goes through.
func phasesFor(o Observed) []phase {
	sets, known := o.Sets.Get()
	if rollingBack(o) && o.Record.AppliedPlanHash == "" && known && sets.upToDate() {
		return restoreOnlyPhases
	}
	return rolloutPhases
}

// progressingNodes are the nodes of the pool that are on their way, without those that a rollback
// finds stuck.
func (p Pool) progressingNodes(o Observed) []Node {
	stuck := p.stuckNodes(o)
	return slices.DeleteFunc(p.updatingNodes(), func(n Node) bool {
		return slices.ContainsFunc(stuck, func(s Node) bool { return s.Name == n.Name })
	})
}

// stuckNodes are the nodes of the pool that were on their way to what is being rolled back when it
// began, and are blocked in a drain or by an error of their daemon. Before the pool is rendered
// with the previous mirror sets, that is any node on its way. On the way forward it is a node that
// was given up for now, because what its pool gets was corrected since.
func (p Pool) stuckNodes(o Observed) []Node {
	if !rollingBack(o) {
		return p.abandonedNodes(o)
	}
	var out []Node
	for _, n := range p.updatingNodes() {
		rendered := p.Registries == MatchesPlanned
		stage := n.UpdateStage(n.DesiredConfig)
		if n.CurrentConfig != "" && (!rendered ||
			(n.DesiredConfig != p.Rendered && (stage == "Draining" || stage == "Degraded"))) {
			out = append(out, n)
		}
	}
	return out
}

// abandonedNodes are the nodes for which their pool has been given room for one more.
func (p Pool) abandonedNodes(o Observed) []Node {
	raised := func(n Node) bool {
		return slices.ContainsFunc(o.Record.Remedies, func(r v1alpha1.RemedyRecord) bool {
			return r.Action == v1alpha1.RaiseMaxUnavailable && r.State == v1alpha1.RemedyTaken && r.Node == n.Name &&
				r.Name == p.Name
		})
	}
	return slices.DeleteFunc(p.updatingNodes(), func(n Node) bool { return !raised(n) })
}
