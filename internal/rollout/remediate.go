package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A drain that does not progress is none of the phases' business: the mirror may have lost the
// image, and then the phase is Verify, not Release. So remedies are added to whatever the phases
// decide, as closures are: those on record are carried on, one that is no longer wanted is undone,
// and when nothing is in progress the next rung of the ladder is looked at (ladder.go).

// remediation is what the remedies add to a decision.
type remediation struct {
	facts    []Fact
	actions  []Action
	blockers []Blocker
	why      string
	// stalled is true when no remedy is left.
	stalled bool
	// recheckAt is when time alone changes something; zero when it does not.
	recheckAt time.Time
}

func (t remediation) hasWork() bool { return len(t.facts)+len(t.actions) > 0 }

// remediate adds the remedies to the decision. A rollout neither ends nor is released from the
// finalizer while something of a remedy is left: whatever the end, everything is put back first
// (I5).
func remediate(o Observed, d Decision) Decision {
	if finishesMirrorSets(d) {
		return d // sets that are half written come before everything (I13)
	}
	ending := endsRollout(d) || o.Record.CompletedGeneration != 0
	t := nextRemediation(o, ending)
	if endsRollout(d) && (t.hasWork() || len(OpenRemedies(o.Record)) > 0) {
		d.Facts, d.Actions, d.Complete, d.Why = nil, nil, false, "what remedies have changed is put back first"
	}
	disruptive := slices.ContainsFunc(t.actions, Action.Disruptive)
	if disruptive && len(d.Facts) > 0 {
		return d // those first; this decision is made again at once (I4)
	}
	if disruptive || len(t.facts) > 0 {
		d.Actions = slices.DeleteFunc(slices.Clone(d.Actions), Action.Disruptive) // one at a time (I3)
	}
	d.Facts, d.Actions = append(slices.Clone(d.Facts), t.facts...), append(slices.Clone(d.Actions), t.actions...)
	if t.hasWork() || len(t.blockers) > 0 {
		d.Complete = false
	}
	if t.why != "" {
		d.Why = t.why
	}
	switch {
	case t.stalled && !d.Stalled && !rollingBack(o): // a rollback does not wait for what is stuck
		d.Blockers = append(t.blockers, d.Blockers...)
		d.Stalled, d.Reason, d.Why = true, v1alpha1.ReasonDrainBlocked, firstMessage(t.blockers)
	case len(t.blockers) > 0: // what stalls the phases themselves is said first
		d.Blockers = append(slices.Clone(d.Blockers), t.blockers...)
	}
	if !t.recheckAt.IsZero() && (d.RecheckAt.IsZero() || t.recheckAt.Before(d.RecheckAt)) {
		d.RecheckAt = t.recheckAt
	}
	return d
}

// finishesMirrorSets tells whether the decision is to finish mirror sets that are half written.
func finishesMirrorSets(d Decision) bool {
	return slices.ContainsFunc(d.Actions, func(a Action) bool { _, ok := a.(FinishMirrorSets); return ok })
}

// endsRollout tells whether the rollout would be over after the decision: completed, planned anew,
// or gone.
func endsRollout(d Decision) bool {
	over := func(f Fact) bool {
		switch f.(type) {
		case RolloutCompleted, RolloutRestarted:
			return true
		default:
			return false
		}
	}
	return slices.ContainsFunc(d.Facts, over) ||
		slices.ContainsFunc(d.Actions, func(a Action) bool { _, ok := a.(RemoveFinalizer); return ok })
}

// nextRemediation carries the remedies on record on, or begins the next.
func nextRemediation(o Observed, ending bool) remediation {
	if found, ok := unrecordedRemedy(o); ok {
		return remediation{facts: []Fact{RemedyStarted{Remedy: found}}, recheckAt: o.Now,
			why: "taking up the remedy " + remedyTitle(found) + " of which a note in the cluster tells"}
	}
	var waiting remediation
	for _, r := range OpenRemedies(o.Record) {
		t := advanceRemedy(o, r, ending)
		if t.hasWork() {
			return t
		}
		waiting.blockers = append(waiting.blockers, t.blockers...)
		if waiting.recheckAt.IsZero() || t.recheckAt.Before(waiting.recheckAt) {
			waiting.recheckAt = t.recheckAt
		}
	}
	if ending {
		return waiting
	}
	next := nextRemedy(o)
	if next.hasWork() || len(waiting.blockers) == 0 {
		return next
	}
	return waiting
}

// unrecordedRemedy is a remedy of ours that the record does not know: the status was lost. Its note
// tells what to put back.
func unrecordedRemedy(o Observed) (v1alpha1.RemedyRecord, bool) {
	remedies, ok := o.Remedies.Get()
	if !ok || len(OpenRemedies(o.Record)) >= maxRemedies { // there is room again when one of them has ended
		return v1alpha1.RemedyRecord{}, false
	}
	for _, f := range remedies.Unrecorded {
		if recordable(f) && !slices.ContainsFunc(o.Record.Remedies,
			func(r v1alpha1.RemedyRecord) bool { return r.ID == f.ID }) {
			f.State = v1alpha1.RemedyTaken
			return f, true
		}
	}
	return v1alpha1.RemedyRecord{}, false
}

// recordable tells whether the remedy is one that we have written: anybody can edit the note that
// it is read from.
func recordable(r v1alpha1.RemedyRecord) bool {
	return slices.Contains(v1alpha1.RemedyActions(), r.Action) && r.ID != "" && len(r.ID) <= 64 && len(r.Kind) <= 63 &&
		len(r.Namespace) <= 63 &&
		len(r.Name) <= 253 && len(r.Node) <= 253 && len(r.UID) <= 64 && len(r.OriginalValue) <= 512 &&
		len(r.IntendedValue) <= 512 &&
		len(r.SpecHash) <= 128 && len(r.References) <= maxReferences && !r.DecidedAt.IsZero() && !r.Deadline.IsZero()
}

// advanceRemedy takes the remedy one step further: intended, taken, ending, ended.
func advanceRemedy(o Observed, r v1alpha1.RemedyRecord, ending bool) remediation {
	if r.State == v1alpha1.RemedyEnding {
		return undoRemedy(o, r)
	}
	if outcome, over := remedyOver(o, r, ending); over {
		return changeState(o, r, v1alpha1.RemedyEnding, outcome, "the remedy "+remedyTitle(r)+" is over: "+
			string(outcome))
	}
	if r.State == v1alpha1.RemedyTaken {
		return awaitEffect(r)
	}
	if r.Kind == "Image" {
		return retryMirroring(o, r)
	}
	if r.Kind == "MachineConfigPool" {
		return changeState(o, r, v1alpha1.RemedyTaken, "", "pool "+r.Name+" has room for one more node")
	}
	c, known := remedyObject(o, r)
	_, havePools := o.Pools.Get()
	switch {
	case !known || !havePools:
		return awaitObject(o, r)
	case c.Gone && r.Kind == "Pod":
		return changeState(o, r, v1alpha1.RemedyTaken, "", "pod "+r.Namespace+"/"+r.Name+
			" is gone, and its owner replaces it")
	case c.Gone:
		return changeState(o, r, v1alpha1.RemedyEnding, v1alpha1.OutcomeImpossible, r.Kind+" "+r.Name+" is gone")
	case c.HasNote && c.Value == r.IntendedValue:
		return changeState(o, r, v1alpha1.RemedyTaken, "", fmt.Sprintf("%s %s has %s", r.Kind, r.Name, r.IntendedValue))
	case c.Value != r.OriginalValue && !c.HasNote:
		return changeState(o, r, v1alpha1.RemedyEnding, v1alpha1.OutcomeChangedElsewhere, fmt.Sprintf(
			"%s %s has %q and had %q when the remedy was decided; it is left alone", r.Kind, r.Name, c.Value,
			r.OriginalValue))
	}
	return remediation{actions: []Action{remedyAction(r)}, recheckAt: o.Now,
		why: fmt.Sprintf("the drain of node %s is blocked: %s of %s %s", r.Node, r.Action, r.Kind, r.Name)}
}

func changeState(o Observed, r v1alpha1.RemedyRecord, to v1alpha1.RemedyState, outcome v1alpha1.RemedyOutcome,
	why string) remediation {
	return remediation{facts: []Fact{RemedyStateChanged{ID: r.ID, State: to, Outcome: outcome}}, why: why,
		recheckAt: o.Now}
}

// awaitEffect says what was done and until when it is waited for.
func awaitEffect(r v1alpha1.RemedyRecord) remediation {
	return remediation{recheckAt: r.Deadline.Time,
		blockers: []Blocker{{Reason: v1alpha1.ReasonWaiting, Kind: r.Kind, Namespace: r.Namespace, Name: remedyName(r),
			Message: fmt.Sprintf("%s since %s, because the drain of node %s is blocked: %s; it is undone when the drain is over, at the latest at %s",
				r.Action, r.DecidedAt.UTC().Format(time.RFC3339), r.Node, changeText(r),
				r.Deadline.UTC().Format(time.RFC3339))}}}
}

// changeText is the change in words: cordoned, 3 replicas to 5.
func changeText(r v1alpha1.RemedyRecord) string {
	switch {
	case r.Kind == "Pod":
		return "it was deleted before any of its containers had run"
	case len(r.References) > 0:
		return "the images are proven and copied again"
	case r.OriginalValue == "":
		return "it has " + r.IntendedValue
	default:
		return fmt.Sprintf("it has %s instead of %s", r.IntendedValue, r.OriginalValue)
	}
}

func awaitObject(o Observed, r v1alpha1.RemedyRecord) remediation {
	why := o.Remedies.Why()
	if why == "" {
		why = "not read yet"
	}
	return remediation{recheckAt: o.Now.Add(5 * time.Second),
		blockers: []Blocker{{Reason: v1alpha1.ReasonUnreadable, Kind: r.Kind, Namespace: r.Namespace,
			Name:    remedyName(r),
			Message: fmt.Sprintf("%s %s, which the remedy %s is about, could not be read: %s; it is neither changed nor put back until it can", r.Kind, r.Name, r.Action, why)}}}
}

func remedyObject(o Observed, r v1alpha1.RemedyRecord) (RemedyObject, bool) {
	remedies, ok := o.Remedies.Get()
	if !ok {
		return RemedyObject{}, false
	}
	i := slices.IndexFunc(remedies.Objects, func(c RemedyObject) bool { return c.ID == r.ID })
	if i < 0 {
		return RemedyObject{}, false
	}
	return remedies.Objects[i], true
}

// remedyOver tells whether the remedy is no longer wanted, and what became of it.
func remedyOver(o Observed, r v1alpha1.RemedyRecord, ending bool) (outcome v1alpha1.RemedyOutcome, over bool) {
	pools, known := o.Pools.Get()
	switch {
	case r.Kind == "Pod" && r.State == v1alpha1.RemedyTaken:
		return v1alpha1.OutcomeHelped, true // what it has come to is seen in the drain
	case r.Kind == "Image":
		if outcome, over := mirroringOutcome(o, r); over {
			return outcome, true
		}
	case r.Kind == "Pod" && !podStillBlocks(o, r):
		return v1alpha1.OutcomeNotNeeded, true
	}
	switch {
	case ending, rollingBack(o) && !r.DecidedAt.After(o.Record.Rollback.DecidedAt.Time),
		r.SpecHash != o.Rollout.SpecHash, !o.Rollout.remedyEnabled(r.Action):
		return v1alpha1.OutcomeSuperseded, true
	case known && !undrained(pools, r.Node) && (!nonDisruptive(r.Action) || !podsBlocked(o, r.Node)):
		return v1alpha1.OutcomeHelped, true
	case !o.Now.Before(r.Deadline.Time):
		return v1alpha1.OutcomeTimedOut, true
	}
	return "", false
}

// remedyEnabled tells whether the user lets the operator do this.
func (s Spec) remedyEnabled(action v1alpha1.RemedyAction) bool {
	return slices.Contains(s.Remedies, action)
}

// undrained tells whether the node is updating and has not been drained.
func undrained(pools []Pool, name string) bool {
	for _, p := range pools {
		for _, n := range p.Nodes {
			if n.Name == name {
				return !n.done() && strings.HasPrefix(n.DesiredDrain, "drain-") && n.DesiredDrain != n.LastAppliedDrain
			}
		}
	}
	return false
}

// nonDisruptive: a remedy that disturbs nothing is also good for the pods that are waited for after
// their node was drained.
func nonDisruptive(action v1alpha1.RemedyAction) bool {
	return action == v1alpha1.MirrorMissingImages || action == v1alpha1.RestartFailingPods
}

// podsBlocked tells whether something is still in the way of the node's release, its drain or its
// pods; unknown counts as yes.
func podsBlocked(o Observed, node string) bool {
	drains, ok := o.BlockedDrains.Get()
	return !ok || slices.ContainsFunc(drains,
		func(blocked BlockedDrain) bool { return blocked.Node == node && !blocked.Reason.Transient() })
}

// podStillBlocks tells whether the pod is among those that hold the drain up and has not run. One
// that is gone counts as waiting: it is the remedy itself that may have deleted it. When the
// obstacles are unknown nothing is given up.
func podStillBlocks(o Observed, r v1alpha1.RemedyRecord) bool {
	drains, ok := o.BlockedDrains.Get()
	if c, known := remedyObject(o, r); !ok || (known && c.Gone) {
		return true
	}
	for _, blocked := range drains {
		for _, p := range blocked.Pods {
			if p.UID == r.UID {
				return p.NeverStarted
			}
		}
	}
	return !slices.ContainsFunc(drains, func(blocked BlockedDrain) bool { return blocked.Node == r.Node })
}

// retryMirroring asks for the proofs until they are there. It costs nothing to ask again.
func retryMirroring(o Observed, r v1alpha1.RemedyRecord) remediation {
	return remediation{actions: []Action{RetryMirroring{Remedy: r, References: r.References}},
		recheckAt: o.Now.Add(5 * time.Second),
		why: fmt.Sprintf("the drain of node %s is blocked by pulls that fail: proving and copying %s again", r.Node,
			strings.Join(r.References, " "))}
}

// mirroringOutcome tells what has come of proving again. An image that cannot be copied is given
// some tries before the next rung.
func mirroringOutcome(o Observed, r v1alpha1.RemedyRecord) (outcome v1alpha1.RemedyOutcome, over bool) {
	proven, refused := 0, 0
	_, known := o.BlockedDrains.Get()
	references := r.References
	for _, ref := range references {
		switch pull, found := failedPullOf(o, ref); {
		case !found && known:
			proven++ // nobody waits for it any more
		case !pull.ProvenAt.Before(r.DecidedAt.Time):
			proven++
		case pull.ProofError != "":
			refused++
		}
	}
	switch {
	case proven == len(references):
		return v1alpha1.OutcomeHelped, true
	case refused > 0 && o.Now.Sub(r.DecidedAt.Time) >= copyRetryTime:
		return v1alpha1.OutcomeImpossible, true
	}
	return "", false
}

// copyRetryTime is how long a copy that fails is tried again before the next rung; the engine tries
// after 1, 2, 4 and 8 seconds.
const copyRetryTime = 15 * time.Second

func failedPullOf(o Observed, reference string) (FailedPull, bool) {
	drains, _ := o.BlockedDrains.Get()
	for _, blocked := range drains {
		for _, p := range blocked.Pods {
			for _, pull := range p.Pulls {
				if pull.Reference == reference {
					return pull, true
				}
			}
		}
	}
	return FailedPull{}, false
}

// remedyAction is what carries the remedy out.
func remedyAction(r v1alpha1.RemedyRecord) Action {
	switch r.Kind {
	case "Pod":
		return DeletePod{Remedy: r}
	case "Node":
		return Cordon{Remedy: r}
	case "ConfigMap":
		return AddTrustedCA{Remedy: r}
	default:
		return ScaleUp{Remedy: r}
	}
}

// undoRemedy puts back what the remedy has changed, if it is still as the remedy has left it, and
// takes its note off. A key of the trusted authorities stays: what was pulled by it has to be
// pullable again.
func undoRemedy(o Observed, r v1alpha1.RemedyRecord) remediation {
	end := func(outcome v1alpha1.RemedyOutcome) remediation {
		return changeState(o, r, v1alpha1.RemedyEnded, outcome, "nothing is left of the remedy "+remedyTitle(r))
	}
	if r.Kind != "Node" && r.Kind != "IngressController" && r.Kind != "Deployment" {
		return end("")
	}
	c, known := remedyObject(o, r)
	switch {
	case !known:
		return awaitObject(o, r)
	case c.Gone:
		return end("")
	case !c.HasNote && c.Value == r.OriginalValue:
		return end("")
	case !c.HasNote:
		return end(v1alpha1.OutcomeChangedElsewhere)
	}
	var undo Action = ScaleDown{Remedy: r}
	if r.Kind == "Node" {
		undo = Uncordon{Remedy: r}
	}
	return remediation{actions: []Action{undo}, recheckAt: o.Now,
		why: fmt.Sprintf("%s %s gets back what it had before %s", r.Kind, r.Name, r.Action)}
}
