package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// GateApply is the gate before the first pool is paused.
const GateApply = "apply"

// consent says what keeps a step that disrupts from being taken now, although nothing about the
// cluster does: the user holds the rollout, no maintenance window is open, or a gate waits for its
// approval. A gate that was opened stays open for its plan, whatever becomes of the request.
func consent(o Observed, gates ...string) Step {
	if w, yes := waitWhileHeld(o); yes {
		return w
	}
	if rollingBack(o) {
		return nil
	}
	if w, closed := outsideWindows(o); closed {
		return w
	}
	for _, gate := range gates {
		if step := awaitApproval(o, gate); step != nil {
			return step
		}
	}
	return nil
}

// awaitApproval is nil when the gate needs no approval, or has it.
func awaitApproval(o Observed, gate string) Step {
	plan, ok := o.Plan.Get()
	if !ok {
		return waitForRead("Plan", o.Plan.Why())
	}
	if !needsApproval(o, gate) || approved(o.Record, gate, plan.Digest) {
		return nil
	}
	approvals := o.Rollout.requestsFor(v1alpha1.RequestApprove)
	for _, a := range approvals {
		if a.Gate == gate && a.PlanDigest == plan.Digest {
			return Do{
				Facts: []Fact{GateApproved{Gate: gate, PlanDigest: plan.Digest, Request: a.ID, At: o.Now}},
				Why:   fmt.Sprintf("gate %s is approved by request %s", gate, a.ID),
			}
		}
	}
	message := fmt.Sprintf("gate %s waits for its approval: add to spec.requests {id: …, action: Approve, gate: %s, planHash: %q}", gate, gate, plan.Digest)
	if i := slices.IndexFunc(approvals, func(a Request) bool { return a.Gate == gate }); i >= 0 {
		message += fmt.Sprintf("; request %s approves another plan (%s)", approvals[i].ID, approvals[i].PlanDigest)
	}
	return Wait{Blockers: []Blocker{{Reason: v1alpha1.ReasonApprovalRequired, Kind: "SafeMirrorRollout",
		Name: o.Rollout.Name, Message: message}}}
}

func needsApproval(o Observed, gate string) bool {
	if gate == GateApply || gate == GateEnforce {
		return o.Rollout.ApplyApproval
	}
	pools, _ := o.Pools.Get()
	return slices.ContainsFunc(effectiveStages(o, pools), func(s Stage) bool { return s.Name == gate && s.Approval })
}

func approved(r v1alpha1.Record, gate, plan string) bool {
	return slices.ContainsFunc(r.Approvals,
		func(a v1alpha1.ApprovalRecord) bool { return a.Gate == gate && a.PlanHash == plan })
}

// awaitSoak waits until the stages that come before this one have been watched for as long as the
// user wants. When a stage was reached is on record from the first look at it, so that a node that
// is released later does not start the time anew.
func awaitSoak(o Observed, stages []Stage, pools []Pool, next Stage) Step {
	for _, s := range stages {
		if s == next {
			return nil
		}
		if s.Soak == 0 || !stageReached(o, s, pools) {
			continue
		}
		at, known := stageReachedAt(o.Record, s.Name)
		if !known {
			return Do{Facts: []Fact{StageReached{Name: s.Name, At: o.Now}}, Why: "stage " + s.Name +
				" is reached and is watched from now on"}
		}
		if until := at.Add(s.Soak); o.Now.Before(until) {
			return Wait{RecheckAt: until, Blockers: []Blocker{{Reason: v1alpha1.ReasonSoaking,
				Kind: "MachineConfigPool", Name: s.Pool, Message: fmt.Sprintf(
					"stage %s was reached at %s and is watched until %s; stage %s begins then", s.Name,
					at.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339), next.Name)}}}
		}
	}
	return nil
}

func stageReachedAt(r v1alpha1.Record, stage string) (time.Time, bool) {
	for _, s := range r.Stages {
		if s.Name == stage {
			return s.ReachedAt.Time, true
		}
	}
	return time.Time{}, false
}

// stageReached tells whether the pool has as many nodes done as the stage wants, or has none that
// could still be released.
func stageReached(o Observed, s Stage, pools []Pool) bool {
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == s.Pool })
	return i < 0 || pools[i].Updated() >= s.requiredNodes(pools[i]) || len(candidates(o, pools[i])) == 0
}

// requiredNodes is how many nodes of the pool are done after the stage.
func (s Stage) requiredNodes(p Pool) int {
	if s.Nodes > 0 {
		return min(s.Nodes, len(p.Nodes))
	}
	return len(p.Nodes)
}

// addRetry adds to the decision what the requests to try again ask for. It goes with any step but a
// disruptive one, which it would only delay by a moment.
func addRetry(o Observed, d Decision) Decision {
	if o.Rollout.Deleting || d.Complete || slices.ContainsFunc(d.Actions, Action.Disruptive) {
		return d
	}
	var pending []string
	for _, r := range o.Rollout.requestsFor(v1alpha1.RequestRetry) {
		if !carriedOut(o.Record, r.ID) {
			pending = append(pending, r.ID)
		}
	}
	if len(pending) == 0 {
		return d
	}
	d.Actions = append(d.Actions, RetryFailed{ID: pending[len(pending)-1]})
	d.Facts = append(d.Facts, Retried{IDs: pending})
	return d
}

// requestsFor are the requests for the verb.
func (s Spec) requestsFor(verb v1alpha1.RequestAction) []Request {
	return slices.DeleteFunc(slices.Clone(s.Requests), func(r Request) bool { return r.Verb != verb })
}

// carriedOut: a request is acted upon once, however long it stays in the spec.
func carriedOut(r v1alpha1.Record, id string) bool { return slices.Contains(r.HandledRequests, id) }
