package rollout

import (
	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Phase names a row of the phase table.
type Phase string

// The phases, in order.
const (
	PhasePreflight Phase = "Preflight"
	PhasePlan      Phase = "Plan"
	PhaseMirror    Phase = "Mirror"
	PhaseProve     Phase = "Prove"
	PhasePause     Phase = "Pause"
	PhaseVerify    Phase = "Verify"
	PhasePolicy    Phase = "Policy"
	PhaseApply     Phase = "Apply"
	PhaseRender    Phase = "Render"
	PhaseRelease   Phase = "Release"
	PhaseRestore   Phase = "Restore"
	PhaseEnforce   Phase = "Enforce"
	PhaseFinish    Phase = "Finish"
	PhaseComplete  Phase = "Complete"
)

type phase struct {
	name Phase
	// condition of the API that tells of this phase; empty when it has none, and True when all rows
	// that name it are done.
	condition string
	// description is the row's text in the diagram.
	description string
	evaluate    func(Observed) Step
}

// rolloutPhases is the phase table. A phase that was done and is no longer, because an image
// vanished or somebody deleted the mirror set, becomes the current phase again, and everything
// below it waits (I6).
var rolloutPhases = []phase{
	{PhasePreflight, v1alpha1.ConditionPreflightPassed, "nothing about the cluster or the spec forbids the rollout",
		preflight},
	{PhasePlan, v1alpha1.ConditionPlanned, "no reference is lost under the predicted configuration", checkPlan},
	{PhaseMirror, "", "the mirrors hold every changed reference", mirrorImages},
	{PhaseProve, v1alpha1.ConditionNodePullsVerified, "nodes have pulled from the mirrors themselves", provePulls},
	{PhasePause, v1alpha1.ConditionPoolsPaused, "every pool is held, and the MCO has seen it", pausePools},
	{PhaseVerify, v1alpha1.ConditionImagesVerified, "every changed reference was proven after the pause", verifyImages},
	{PhasePolicy, "", "where nodes are to reload, the node disruption policy says so and is in effect", ensurePolicy},
	{PhaseApply, v1alpha1.ConditionMirrorSetsApplied, "the mirror sets exist as declared", applyMirrorSets},
	{PhaseRender, v1alpha1.ConditionMirrorSetsApplied, "every pool's rendered configuration means what was planned",
		awaitRendering},
	{PhaseRelease, v1alpha1.ConditionNodesUpdated,
		"every node runs it, one after another, each with its pods back; the first of a kind has pulled what matters",
		releaseNodes},
	{PhaseRestore, "", "every pool is as it was before", restorePools},
	{PhaseEnforce, "", "a staged rollout has gone through both passes", enforcePass},
	{PhaseFinish, "", "the end is on record", finish},
}

// PhaseInfo is a row of the phase table for documentation and conditions.
type PhaseInfo struct {
	Phase       Phase
	Condition   string
	Description string
}

// PhaseTable returns the phase table.
func PhaseTable() []PhaseInfo {
	out := make([]PhaseInfo, 0, len(rolloutPhases))
	for _, p := range rolloutPhases {
		out = append(out, PhaseInfo{Phase: p.name, Condition: p.condition, Description: p.description})
	}
	return out
}

// Rule is a guard or an amendment for documentation.
type Rule struct {
	Name  string
	About string
}

// Guards returns the guards, in order.
func Guards() []Rule {
	out := make([]Rule, 0, len(guards))
	for _, g := range guards {
		out = append(out, Rule{g.name, g.about})
	}
	return out
}

// Amendments returns the amendments, in order.
func Amendments() []Rule {
	out := make([]Rule, 0, len(amendments))
	for _, a := range amendments {
		out = append(out, Rule{a.name, a.about})
	}
	return out
}

func allPhasesDone() []PhaseResult {
	out := make([]PhaseResult, 0, len(rolloutPhases))
	for _, p := range rolloutPhases {
		out = append(out, PhaseResult{Phase: p.name, Done: true, Reason: v1alpha1.ReasonDone})
	}
	return out
}

// waitWhileHeld is the wait of a phase that would disrupt while the user holds the rollout.
func waitWhileHeld(o Observed) (Wait, bool) {
	if !o.Rollout.Held {
		return Wait{}, false
	}
	return Wait{Blockers: []Blocker{{
		Reason: v1alpha1.ReasonHeld, Kind: "SafeMirrorRollout", Name: o.Rollout.Name,
		Message: "spec.state is Held: nothing is paused, applied or released until it is Active; an updating node finishes",
	}}}, true
}

func finish(o Observed) Step {
	completed := RolloutCompleted{At: o.Now, Generation: o.Rollout.Generation, SpecHash: o.Rollout.SpecHash}
	if rollback := o.Record.Rollback; rollback != nil {
		completed.SpecHash = rollback.SpecHash
		return Do{Facts: []Fact{completed},
			Why: "every node is back on the earlier configuration and every pool is as it was before"}
	}
	return Do{Facts: []Fact{completed}, Why: "every node has the new configuration and every pool is as it was before"}
}
