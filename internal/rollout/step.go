package rollout

import (
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Step is the answer of one phase.
//
//sumtype:decl
type Step interface{ isStep() }

// Done: the phase is satisfied, look at the next. Actions are work in the background that keeps it
// so.
type Done struct {
	Message string
	Actions []Action
}

// Wait: the phase cannot go on, and what holds it is expected to pass. Actions may still be worth
// taking meanwhile.
type Wait struct {
	Blockers []Blocker
	Actions  []Action
	// RecheckAt is when to look again even if nothing reports a change; zero means one minute (I7).
	RecheckAt time.Time
}

// Do: take these actions and remember these facts, in this order: facts are durable before the
// actions of a later loop.
type Do struct {
	Actions []Action
	Facts   []Fact
	Why     string
}

// Fail: a person has to change something first.
type Fail struct {
	Reason   v1alpha1.ConditionReason
	Blockers []Blocker
	Actions  []Action
}

func (Done) isStep() {}
func (Wait) isStep() {}
func (Do) isStep()   {}
func (Fail) isStep() {}

// Blocker names one thing that the rollout waits for.
type Blocker struct {
	Reason    v1alpha1.ConditionReason
	Kind      string
	Namespace string
	Name      string
	Message   string
}

func toBlockers(problems []Problem) []Blocker {
	out := make([]Blocker, 0, len(problems))
	for _, p := range problems {
		out = append(out, Blocker{Reason: p.Reason, Kind: p.Kind, Namespace: p.Namespace, Name: p.Name,
			Message: p.Message})
	}
	return out
}

// waitForRead is the wait of a phase whose input could not be read: unknown never disrupts.
func waitForRead(what, why string) Wait {
	return Wait{Blockers: []Blocker{{
		Reason: v1alpha1.ReasonUnreadable, Kind: what, Name: what,
		Message: what + " could not be read: " + why +
			"; nothing is changed until they can, and they are read again within a minute",
	}}}
}

// Decision is what to do now.
type Decision struct {
	// Phase is the first phase that is not satisfied, PhaseComplete when all are.
	Phase Phase
	// PhaseResults has one entry for each phase that was looked at, in order; the last one is the
	// current phase's.
	PhaseResults []PhaseResult
	// Facts go into the record with the next status write; only a later loop may act on them (I4).
	Facts    []Fact
	Actions  []Action
	Blockers []Blocker
	// Reason is a condition reason of the API, Why a sentence for people.
	Reason v1alpha1.ConditionReason
	Why    string
	// Stalled is true when a person has to act.
	Stalled bool
	// Complete is true when there is nothing left to do.
	Complete bool
	// RecheckAt is when to look again even if nothing reports a change.
	RecheckAt time.Time
}

// PhaseResult is the result of one phase.
type PhaseResult struct {
	Phase   Phase
	Done    bool
	Reason  v1alpha1.ConditionReason
	Message string
}
