package rollout

import "time"

// Action says "make it so". Executing one twice equals executing it once (I8).
//
//sumtype:decl
type Action interface {
	// Key names the action in logs and tells two actions apart.
	Key() string
	// Disruptive is true when the action may take capacity away or switch pulls: at most one of
	// those is in a Decision, its intent is in the record before it is executed, and it is checked
	// once more on fresh reads (I3, I4).
	Disruptive() bool
	isAction()
}

// EnsureFinalizer puts the operator's finalizer on the rollout, before anything is changed for it.
type EnsureFinalizer struct{}

// RemoveFinalizer lets the deleted rollout go.
type RemoveFinalizer struct{}

// SavePrevious creates the ControllerRevision with the mirror sets before the rollout.
type SavePrevious struct{ Revision string }

// Key implements Action.
func (a SavePrevious) Key() string { return "save-previous/" + a.Revision }

// Disruptive implements Action. A ControllerRevision is only read by a rollback.
func (SavePrevious) Disruptive() bool { return false }

func (SavePrevious) isAction() {}

// EnsureTransfers hands the jobs of the plan to the mirror engine and returns at once; progress
// comes back as Transfers. Without Copy only what needs no copy is looked at, so that a plan that
// is refused leaves no trace on the mirrors. Proofs made before NotOlderThan are made again.
type EnsureTransfers struct {
	PlanDigest   string
	Copy         bool
	NotOlderThan time.Time
}

// EnsurePullChecks brings the probe pods of the plan one step further: it creates those whose turn
// it is, and deletes those that have been decided. The pulls come back as Probes.
type EnsurePullChecks struct{ PlanDigest string }

// EnsureCanaryPulls brings the pods by which the first nodes with the new configuration pull under
// it one step further. The pulls come back as Canary. With Sweep it takes away what is left of
// them.
type EnsureCanaryPulls struct {
	PlanDigest string
	CleanUp    bool
}

// RetryFailed forgets how often and when images and probes have failed, so that they are tried
// again at once.
type RetryFailed struct{ ID string }

// PausePool pauses the pool and writes the pause record on it, in one patch. It is also how a
// released pool is closed again.
type PausePool struct {
	Pool   string
	Record PauseRecord
}

// ApplyMirrorSets writes the mirror sets of the spec and removes those of ours that it no longer
// wants, digest mirrors first.
type ApplyMirrorSets struct{ PlanDigest string }

// ReleaseNodes is one release: it unpauses the pool, with room for as many more unavailable nodes
// as the release is for, and writes the deadline of the unpause window on it, all in one patch
// (R1).
type ReleaseNodes struct {
	Pool           string
	MaxUnavailable int
	Record         PauseRecord
}

// TargetNodes tells the nodes to run what their pool is rendered with. The pool stays paused, and
// its pause record says so first.
type TargetNodes struct {
	Pool   string
	Target string
	Nodes  []string
	Record PauseRecord
}

// StepDown lets another replica lead, because this one's node comes next (R9).
type StepDown struct{ Node string }

// RestorePool gives the pool back what it had before, and takes the pause record off.
type RestorePool struct {
	Pool           string
	Paused         bool
	MaxUnavailable string
}

// FinishMirrorSets writes the rest of a change of the mirror sets that somebody died in the middle
// of.
type FinishMirrorSets struct{}

// EnsurePolicy writes the node disruption policy by which nodes reload instead of being drained,
// and the pause record beside it, in one patch.
type EnsurePolicy struct{ Record PolicyRecord }

// RestorePolicy restores the previous policy, and takes the pause record off. An entry that
// somebody else has changed since stays.
type RestorePolicy struct{ Prior string }

// Key implements Action.
func (FinishMirrorSets) Key() string { return "finish-mirror-sets" }

// Key implements Action.
func (EnsurePolicy) Key() string { return "ensure-policy" }

// Key implements Action.
func (RestorePolicy) Key() string { return "restore-policy" }

// Disruptive implements Action. Builds and imports follow the mirror sets at once.
func (FinishMirrorSets) Disruptive() bool { return true }

// Disruptive implements Action. It takes nothing away, but it is decided on what the user's policy
// is, and that has to be fresh.
func (EnsurePolicy) Disruptive() bool { return true }

// Disruptive implements Action. A node that has been given its target and has not begun would be
// drained by it.
func (RestorePolicy) Disruptive() bool { return true }

// Key implements Action.
func (EnsureFinalizer) Key() string { return "ensure-finalizer" }

// Key implements Action.
func (RemoveFinalizer) Key() string { return "remove-finalizer" }

// Key implements Action.
func (a EnsureTransfers) Key() string { return "ensure-transfers/" + a.PlanDigest }

// Key implements Action.
func (a EnsurePullChecks) Key() string { return "ensure-probes/" + a.PlanDigest }

// Key implements Action.
func (a EnsureCanaryPulls) Key() string {
	if a.CleanUp {
		return "sweep-canary"
	}
	return "ensure-canary/" + a.PlanDigest
}

// Key implements Action.
func (a RetryFailed) Key() string { return "try-again/" + a.ID }

// Key implements Action.
func (a PausePool) Key() string { return "pause-pool/" + a.Pool }

// Key implements Action.
func (a ApplyMirrorSets) Key() string { return "apply-mirror-sets/" + a.PlanDigest }

// Key implements Action.
func (a ReleaseNodes) Key() string { return "release-one/" + a.Pool }

// Key implements Action.
func (a TargetNodes) Key() string { return "target-nodes/" + a.Pool }

// Key implements Action.
func (a StepDown) Key() string { return "step-down/" + a.Node }

// Key implements Action.
func (a RestorePool) Key() string { return "restore-pool/" + a.Pool }

// Disruptive implements Action.
func (EnsureFinalizer) Disruptive() bool { return false }

// Disruptive implements Action.
func (RemoveFinalizer) Disruptive() bool { return false }

// Disruptive implements Action.
func (EnsureTransfers) Disruptive() bool { return false }

// Disruptive implements Action. A probe pod is tiny, lands only where there is room on the disk,
// and makes nobody leave.
func (EnsurePullChecks) Disruptive() bool { return false }

// Disruptive implements Action. Like a probe, such a pod makes nobody leave.
func (EnsureCanaryPulls) Disruptive() bool { return false }

// Disruptive implements Action.
func (RetryFailed) Disruptive() bool { return false }

// Disruptive implements Action. A pause only ever stops things.
func (PausePool) Disruptive() bool { return false }

// Disruptive implements Action. Builds and imports follow the mirror sets at once, pause or not.
func (ApplyMirrorSets) Disruptive() bool { return true }

// Disruptive implements Action.
func (ReleaseNodes) Disruptive() bool { return true }

// Disruptive implements Action.
func (TargetNodes) Disruptive() bool { return true }

// Disruptive implements Action. Everything is on record, so that whoever leads next goes on where
// this one ends.
func (StepDown) Disruptive() bool { return false }

// Disruptive implements Action. Unpausing is safe only while every node already runs the pool's
// configuration (I5).
func (RestorePool) Disruptive() bool { return true }

func (EnsureFinalizer) isAction()   {}
func (RemoveFinalizer) isAction()   {}
func (EnsureTransfers) isAction()   {}
func (EnsurePullChecks) isAction()  {}
func (EnsureCanaryPulls) isAction() {}
func (RetryFailed) isAction()       {}
func (PausePool) isAction()         {}
func (ApplyMirrorSets) isAction()   {}
func (ReleaseNodes) isAction()      {}
func (TargetNodes) isAction()       {}
func (StepDown) isAction()          {}
func (RestorePool) isAction()       {}
func (FinishMirrorSets) isAction()  {}
func (EnsurePolicy) isAction()      {}
func (RestorePolicy) isAction()     {}
