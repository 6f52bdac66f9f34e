package rollout

import (
	"cmp"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Observed is everything that Decide may look at. It holds summaries, not the cluster: the full
// inventory and the evidence live beside it, keyed by Plan.Digest.
type Observed struct {
	// Now is the only clock of the core.
	Now     time.Time       `json:"now"`
	Rollout Spec            `json:"rollout"`
	Record  v1alpha1.Record `json:"record"`

	Cluster       Value[Cluster]        `json:"cluster"`
	OtherRollouts Value[[]OtherRollout] `json:"others"`
	SpecProblems  Value[[]Problem]      `json:"spec"`
	Sets          Value[MirrorSets]     `json:"sets"`
	Plan          Value[PlanSummary]    `json:"plan"`
	Transfers     Value[Transfers]      `json:"transfers"`
	PullChecks    Value[PullChecks]     `json:"probes"`
	// CanaryPulls is what the nodes that have the new configuration already have pulled under it.
	CanaryPulls Value[CanaryPulls] `json:"canary"`
	Pools       Value[[]Pool]      `json:"pools"`
	Workloads   Value[[]Workload]  `json:"workloads"`
	// ControlPlane is what of the control plane is not at rest beside its nodes: an operator that
	// rolls static pods, a guard that is not ready.
	ControlPlane Value[[]Problem] `json:"controlPlane"`
	// Operator is where the operator itself runs.
	Operator OperatorReplicas `json:"self,omitzero"`
	// NodeDisruptionPolicy is what a change of registries.conf costs a node.
	NodeDisruptionPolicy Value[NodeDisruptionPolicy] `json:"policy"`
	// Forecast says whether the nodes that may be next can be drained; Obstacles are the drains
	// in progress that do not progress.
	Forecast      Value[Forecast]       `json:"forecast"`
	BlockedDrains Value[[]BlockedDrain] `json:"obstacles"`
	// Remedies is what they have changed, and what they could change.
	Remedies Value[Remedies] `json:"remedies"`
}

// Spec is the SafeMirrorRollout as the core sees it, every omitted field of its spec filled in.
type Spec struct {
	Name       string    `json:"name"`
	UID        string    `json:"uid"`
	Generation int64     `json:"generation"`
	Created    time.Time `json:"created"`
	Deleting   bool      `json:"deleting,omitempty"`
	Finalizer  bool      `json:"finalizer,omitempty"`
	Held       bool      `json:"held,omitempty"`
	Stages     []Stage   `json:"stages,omitempty"`
	// Soak is how long to watch after a stage that the spec does not name.
	Soak time.Duration `json:"soak,omitempty"`
	// ApplyApproval is true when the gate before the first pause needs an approval.
	ApplyApproval bool `json:"applyApproval,omitempty"`
	// Reload is true when nodes are to reload instead of being drained.
	Reload bool `json:"reload,omitempty"`
	// EnforceAfter is how long to watch between the passes of a staged rollout.
	EnforceAfter time.Duration `json:"enforceAfter,omitempty"`
	// SpecHash identifies what the spec wants, requests and state aside: another one is another
	// rollout.
	SpecHash string    `json:"spec,omitempty"`
	Requests []Request `json:"requests,omitempty"`
	// RollbackOnDelete and RollbackOnFailure are the user's choice for a deletion, and for a node
	// that does not get through.
	RollbackOnDelete  bool                `json:"rollbackOnDelete,omitempty"`
	RollbackOnFailure bool                `json:"rollbackOnFailure,omitempty"`
	Windows           []MaintenanceWindow `json:"windows,omitempty"`
	// ForecastAdvisory is true when the forecast of drains is reported and holds nothing.
	ForecastAdvisory bool `json:"forecastAdvisory,omitempty"`
	// Remedies are those that the user lets the operator try when a drain is blocked.
	Remedies []v1alpha1.RemedyAction `json:"remedies,omitempty"`
	// DrainTimeout is how long a node may be in progress before that is a matter for a person; zero
	// means one hour.
	DrainTimeout time.Duration `json:"drainTimeout,omitempty"`
	// Targeted is true when nodes are named by us, while their pool stays paused.
	Targeted bool `json:"targeted,omitempty"`
	// MaxConcurrent is how many nodes one release may take, if their pool allows as many; zero
	// means one.
	MaxConcurrent int `json:"atOnce,omitempty"`
	// PauseLimit is how long pools may be held before it is said aloud; zero means a day.
	PauseLimit time.Duration `json:"pauseLimit,omitempty"`
}

// MaxPause is how long pools may be held before it is said aloud.
func (s Spec) MaxPause() time.Duration { return cmp.Or(s.PauseLimit, 24*time.Hour) }

// Request is what a person, or a pipeline, asks for. Gate and Plan are those of an approval.
type Request struct {
	ID         string                 `json:"id"`
	Verb       v1alpha1.RequestAction `json:"action"`
	Gate       string                 `json:"gate,omitempty"`
	PlanDigest string                 `json:"plan,omitempty"`
}

// Stage is one step of the release order.
type Stage struct {
	// Name is that of its gate.
	Name string `json:"name,omitempty"`
	Pool string `json:"pool"`
	// Nodes is how many nodes of the pool must be done after this stage; 0 means all of them.
	Nodes int `json:"nodes,omitempty"`
	// Soak is how long to watch after it before the next begins.
	Soak time.Duration `json:"soak,omitempty"`
	// Approval is true when it begins only after its gate is approved.
	Approval bool `json:"approval,omitempty"`
}

// Cluster tells whether this cluster can be rolled at all, and whether something bigger is going
// on.
type Cluster struct {
	// Unsupported says why no Machine Config Operator updates the nodes here; empty when one does.
	Unsupported string `json:"unsupported,omitempty"`
	// Upgrading says what the cluster is being upgraded to; empty when it is not.
	Upgrading string `json:"upgrading,omitempty"`
	// Warnings name what else acts on nodes by itself and forbids nothing: MachineHealthChecks, an
	// autoscaler; bounded.
	Warnings []string `json:"warnings,omitempty"`
}

// OperatorReplicas is where the replicas of the operator run. Zero without a leader election, as
// outside of a cluster: then it holds nothing.
type OperatorReplicas struct {
	// Unreadable is why the operator's own pods cannot be read; empty when they can.
	Unreadable string `json:"unreadable,omitempty"`
	// Replicas are those that there are, ready or not.
	Replicas int `json:"replicas,omitempty"`
	// LeaderNode is that of the replica which leads.
	LeaderNode string `json:"node,omitempty"`
	// StandbyNodes are the nodes of the other replicas that are ready.
	StandbyNodes []string `json:"standby,omitempty"`
}

// OtherRollout is another SafeMirrorRollout.
type OtherRollout struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// ActiveSince is when it began, or began to roll back after it had completed; zero before, and
	// once it has completed. See ActiveSince.
	ActiveSince time.Time `json:"since,omitzero"`
	// Waiting is true when it has work to do and could begin now. See WaitsToBegin.
	Waiting bool `json:"waiting,omitempty"`
}

// Problem is one thing that is wrong with the spec, with a mirror set or with an object they refer
// to.
type Problem struct {
	// Reason is one of the condition reasons of the API.
	Reason    v1alpha1.ConditionReason `json:"reason"`
	Kind      string                   `json:"kind"`
	Namespace string                   `json:"namespace,omitempty"`
	Name      string                   `json:"name"`
	Message   string                   `json:"message"`
	// Transient is true when it is expected to go away by itself.
	Transient bool `json:"passing,omitempty"`
}

// SetState compares one of our mirror sets with what is in the cluster.
type SetState string

// The states of a mirror set.
const (
	SetNotWanted SetState = "NotWanted" // the spec has no such list, and none of ours exists
	SetMissing   SetState = "Missing"
	SetEqual     SetState = "Equal"
	SetDiffers   SetState = "Differs"
	SetLeftOver  SetState = "LeftOver" // ours exists, the spec no longer wants it
	SetForeign   SetState = "Foreign"  // one of that name exists and is not ours
)

// upToDate tells whether nothing has to be written for the set.
func (s SetState) upToDate() bool { return s == SetNotWanted || s == SetEqual }

// MirrorSets is the state of our two sets, and what the API server says of them.
type MirrorSets struct {
	IDMS SetState `json:"digest"`
	ITMS SetState `json:"tag"`
	// Previous names the ControllerRevision of the sets before the rollout; nil when there were
	// none. PreviousSaved is true when it exists, or none is needed; PreviousProblem says why it
	// cannot be used, where it has to exist.
	Previous        *v1alpha1.PreviousMirrorSets `json:"previous,omitempty"`
	PreviousSaved   bool                         `json:"previousSaved,omitempty"`
	PreviousProblem *Problem                     `json:"previousProblem,omitempty"`
	// PresentIDMSHash and PresentITMSHash identify what the sets of ours say now, empty for none;
	// To what both are to say.
	PresentIDMSHash string `json:"haveDigest,omitempty"`
	PresentITMSHash string `json:"haveTag,omitempty"`
	DesiredHash     string `json:"to,omitempty"`
	// Pass is the pass that To is about; empty when the sources are not blocked in a second one.
	// Lists identifies the lists of the spec.
	Pass      v1alpha1.Pass `json:"pass,omitempty"`
	ListsHash string        `json:"lists,omitempty"`
	// Conflict says what is wrong with the union of all sets as it is to be; empty when the MCO
	// would take it.
	Conflict string `json:"clash,omitempty"`
}

// kindState is the state of our set of one kind.
type kindState struct {
	kind  string
	state SetState
}

// byKind lists both sets in the order in which they are written.
func (m MirrorSets) byKind() []kindState {
	return []kindState{{"ImageDigestMirrorSet", m.IDMS}, {"ImageTagMirrorSet", m.ITMS}}
}

// upToDate tells whether nothing has to be written.
func (m MirrorSets) upToDate() bool { return m.IDMS.upToDate() && m.ITMS.upToDate() }

// anyPresent tells whether a set of ours is in the cluster.
func (m MirrorSets) anyPresent() bool {
	for _, s := range m.byKind() {
		if s.state == SetEqual || s.state == SetDiffers || s.state == SetLeftOver {
			return true
		}
	}
	return false
}

// PlanSummary summarises which pulls change and which would be lost.
type PlanSummary struct {
	// Digest identifies the mirror sets and the configuration predicted from them, pool by pool.
	Digest string `json:"digest"`
	// PendingChecks is the number of references whose fate is still being found out at the
	// registries.
	PendingChecks int `json:"probing,omitempty"`
	Total         int `json:"total"`
	Changed       int `json:"changed"`
	Accepted      int `json:"accepted,omitempty"`
	NoWorse       int `json:"noWorse,omitempty"`
	Lost          int `json:"lost,omitempty"`
	// Drifted are tags that have moved at their source since the running pods pulled them.
	Drifted int `json:"drifted,omitempty"`
	// Historical and Advisory are changed references that nothing can start a pod with now.
	Historical int `json:"historical,omitempty"`
	Advisory   int `json:"advisory,omitempty"`
	// Problems are the first lost references, with who uses them and what to add; bounded.
	Problems []Problem `json:"worst,omitempty"`
}

// Transfers summarises the work of the mirror engine for the current plan.
type Transfers struct {
	// PlanDigest is the digest of the plan whose jobs the engine has; Copying tells whether it may
	// write to the mirrors.
	PlanDigest string `json:"plan"`
	Copying    bool   `json:"copying,omitempty"`
	// Total is the number of references to be proven, Verified those proven not longer ago than the
	// plan's bound.
	Total    int `json:"total"`
	Verified int `json:"verified"`
	Failed   int `json:"failed,omitempty"`
	Copied   int `json:"copied,omitempty"`
	// Bytes is what was written to mirrors.
	Bytes int64 `json:"bytes,omitempty"`
	// OldestProof is when the oldest of the proofs was made; zero when there is none.
	OldestProof time.Time `json:"oldest,omitzero"`
	// Problems are the first failures; bounded.
	Problems []Problem `json:"worst,omitempty"`
}

// PullChecks summarises the pulls from the mirrors that nodes are asked for before the mirror sets
// exist.
type PullChecks struct {
	// Disabled is true when the user does not want them.
	Disabled bool `json:"disabled,omitempty"`
	// PlanDigest is the digest of the plan for which they were chosen.
	PlanDigest string `json:"plan,omitempty"`
	// Nodes is the number of nodes that are asked: one of each pool, architecture and zone.
	Nodes  int `json:"nodes,omitempty"`
	Wanted int `json:"wanted,omitempty"`
	Proven int `json:"proven,omitempty"`
	Failed int `json:"failed,omitempty"`
	// PodsLeft is the number of probe pods that are still there.
	PodsLeft int `json:"left,omitempty"`
	// Problems are the first failures and the pulls in progress that take long; bounded.
	Problems []Problem `json:"worst,omitempty"`
	// RecheckAt is when time alone changes something; zero when only a pod can.
	RecheckAt time.Time `json:"until,omitzero"`
	// Skipped says which kinds of nodes could not be asked, and why; bounded.
	Skipped []string `json:"skipped,omitempty"`
}

// Workload is a controller that has fewer ready pods than it wants.
type Workload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Desired   int32  `json:"desired"`
	Ready     int32  `json:"ready"`
	// NewestUnreadyAt is when its youngest pod that is not ready was created; zero when it has no
	// such pod.
	NewestUnreadyAt time.Time `json:"newest,omitzero"`
	// MissingPods is true when it has fewer pods than it wants.
	MissingPods bool `json:"missing,omitempty"`
	// OnNode is true when one of its pods that are not ready is on a node of the release in
	// progress.
	OnNode bool `json:"onNode,omitempty"`
	// Message says what its first unready pod waits for.
	Message string `json:"message,omitempty"`
}

// Key names the workload in the record.
func (w Workload) Key() string { return w.Kind + "/" + w.Namespace + "/" + w.Name }
