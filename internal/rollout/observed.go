package rollout

import (
	"cmp"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Observed is everything that Decide may look at. It holds summaries, not the cluster: the full inventory and the
// evidence live beside it, keyed by Plan.Digest.
type Observed struct {
	// Now is the only clock of the core.
	Now     time.Time       `json:"now"`
	Rollout View            `json:"rollout"`
	Record  v1alpha1.Record `json:"record"`

	Cluster   Known[Cluster]    `json:"cluster"`
	Others    Known[[]Other]    `json:"others"`
	Spec      Known[[]Problem]  `json:"spec"`
	Sets      Known[MirrorSets] `json:"sets"`
	Plan      Known[Plan]       `json:"plan"`
	Transfers Known[Transfers]  `json:"transfers"`
	Probes    Known[Probes]     `json:"probes"`
	// Canary is what the nodes that have the new configuration already have pulled under it.
	Canary    Known[Canary]     `json:"canary"`
	Pools     Known[[]Pool]     `json:"pools"`
	Workloads Known[[]Workload] `json:"workloads"`
	// ControlPlane is what of the control plane is not at rest beside its nodes: an operator that rolls static pods, a guard that is not ready.
	ControlPlane Known[[]Problem] `json:"controlPlane"`
	// Self is where the operator itself runs.
	Self Self `json:"self,omitzero"`
	// Policy is what a change of registries.conf costs a node.
	Policy Known[Policy] `json:"policy"`
	// Forecast says whether the nodes that may be next can be drained; Obstacles are the drains under way that do not progress.
	Forecast  Known[Forecast]   `json:"forecast"`
	Obstacles Known[[]Obstacle] `json:"obstacles"`
	// Remedies is what they have changed, and what they could change.
	Remedies Known[Remedies] `json:"remedies"`
}

// View is the SafeMirrorRollout as the core sees it, every omitted field of its spec filled in.
type View struct {
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
	// Reload is true when nodes shall reload instead of being drained.
	Reload bool `json:"reload,omitempty"`
	// EnforceAfter is how long to watch between the passes of a staged rollout.
	EnforceAfter time.Duration `json:"enforceAfter,omitempty"`
	// Spec identifies what the spec wants, requests and state aside: another one is another rollout.
	Spec     string    `json:"spec,omitempty"`
	Requests []Request `json:"requests,omitempty"`
	// RollbackOnDelete and RollbackOnFailure are the user's choice for a deletion, and for a node that does not get through.
	RollbackOnDelete  bool     `json:"rollbackOnDelete,omitempty"`
	RollbackOnFailure bool     `json:"rollbackOnFailure,omitempty"`
	Windows           []Window `json:"windows,omitempty"`
	// ForecastAdvisory is true when the forecast of drains is reported and holds nothing.
	ForecastAdvisory bool `json:"forecastAdvisory,omitempty"`
	// Remedies are those that the user lets the operator try when a drain is held up.
	Remedies []v1alpha1.RemedyAction `json:"remedies,omitempty"`
	// DrainTimeout is how long a node may be under way before that is a matter for a person; zero means one hour.
	DrainTimeout time.Duration `json:"drainTimeout,omitempty"`
	// Targeted is true when nodes are named by us, while their pool stays paused.
	Targeted bool `json:"targeted,omitempty"`
	// AtOnce is how many nodes one release may take, if their pool allows as many; zero means one.
	AtOnce int `json:"atOnce,omitempty"`
	// PauseLimit is how long pools may be held before it is said aloud; zero means a day.
	PauseLimit time.Duration `json:"pauseLimit,omitempty"`
}

// MaxPause is how long pools may be held before it is said aloud.
func (v View) MaxPause() time.Duration { return cmp.Or(v.PauseLimit, 24*time.Hour) }

// Request is what a person, or a pipeline, asks for. Gate and Plan are those of an approval.
type Request struct {
	ID   string                 `json:"id"`
	Verb v1alpha1.RequestAction `json:"action"`
	Gate string                 `json:"gate,omitempty"`
	Plan string                 `json:"plan,omitempty"`
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

// Cluster tells whether this cluster can be rolled at all, and whether something bigger is going on.
type Cluster struct {
	// Unsupported says why no Machine Config Operator updates the nodes here; empty when one does.
	Unsupported string `json:"unsupported,omitempty"`
	// Upgrading says what the cluster is being upgraded to; empty when it is not.
	Upgrading string `json:"upgrading,omitempty"`
	// Warnings name what else acts on nodes by itself and forbids nothing: MachineHealthChecks, an autoscaler; bounded.
	Warnings []string `json:"warnings,omitempty"`
}

// Self is where the replicas of the operator run. Zero when that is not known, as outside of a cluster: then it holds nothing.
type Self struct {
	// Replicas are those that there are, ready or not.
	Replicas int `json:"replicas,omitempty"`
	// Node is that of the replica which leads.
	Node string `json:"node,omitempty"`
	// Standby are the nodes of the other replicas that are ready.
	Standby []string `json:"standby,omitempty"`
}

// Other is another SafeMirrorRollout.
type Other struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Since is when it began, or began to go back after it had completed; zero before, and once it has completed. See UnderWay.
	Since time.Time `json:"since,omitzero"`
	// Waiting is true when it has work to do and has not started.
	Waiting bool `json:"waiting,omitempty"`
}

// Problem is one thing that is wrong with the spec, with a mirror set or with an object they refer to.
type Problem struct {
	// Reason is one of the condition reasons of the API.
	Reason    string `json:"reason"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Message   string `json:"message"`
	// Passing is true when it is expected to go away by itself.
	Passing bool `json:"passing,omitempty"`
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

// settled tells whether nothing has to be written for the set.
func (s SetState) settled() bool { return s == SetNotWanted || s == SetEqual }

// MirrorSets is the state of our two sets, and what the API server says of them.
type MirrorSets struct {
	Digest SetState `json:"digest"`
	Tag    SetState `json:"tag"`
	// Previous names the ControllerRevision of the sets before the rollout; nil when there were none. PreviousSaved is true when it exists,
	// or none is needed; PreviousProblem says why it cannot be used, where it has to exist.
	Previous        *v1alpha1.PreviousMirrorSets `json:"previous,omitempty"`
	PreviousSaved   bool                         `json:"previousSaved,omitempty"`
	PreviousProblem *Problem                     `json:"previousProblem,omitempty"`
	// HaveDigest and HaveTag identify what the sets of ours say now, empty for none; To what both shall say.
	HaveDigest string `json:"haveDigest,omitempty"`
	HaveTag    string `json:"haveTag,omitempty"`
	To         string `json:"to,omitempty"`
	// Pass is the pass that To is about; empty when the sources are not blocked in a second one. Lists identifies the lists of the spec.
	Pass  v1alpha1.Pass `json:"pass,omitempty"`
	Lists string        `json:"lists,omitempty"`
	// Clash says what is wrong with the union of all sets as it shall be; empty when the MCO would take it.
	Clash string `json:"clash,omitempty"`
}

// kindState is the state of our set of one kind.
type kindState struct {
	kind  string
	state SetState
}

// byKind lists both sets in the order in which they are written.
func (m MirrorSets) byKind() []kindState {
	return []kindState{{"ImageDigestMirrorSet", m.Digest}, {"ImageTagMirrorSet", m.Tag}}
}

// settled tells whether nothing has to be written.
func (m MirrorSets) settled() bool { return m.Digest.settled() && m.Tag.settled() }

// exist tells whether a set of ours is in the cluster.
func (m MirrorSets) exist() bool {
	for _, s := range m.byKind() {
		if s.state == SetEqual || s.state == SetDiffers || s.state == SetLeftOver {
			return true
		}
	}
	return false
}

// Plan summarises which pulls change and which would be lost.
type Plan struct {
	// Digest identifies the mirror sets and the configuration predicted from them, pool by pool.
	Digest string `json:"digest"`
	// Probing is the number of references whose fate is still being found out at the registries.
	Probing  int `json:"probing,omitempty"`
	Total    int `json:"total"`
	Changed  int `json:"changed"`
	Accepted int `json:"accepted,omitempty"`
	NoWorse  int `json:"noWorse,omitempty"`
	Lost     int `json:"lost,omitempty"`
	// Drifted are tags that have moved at their source since the running pods pulled them.
	Drifted int `json:"drifted,omitempty"`
	// Historical and Advisory are changed references that nothing can start a pod with now.
	Historical int `json:"historical,omitempty"`
	Advisory   int `json:"advisory,omitempty"`
	// Worst are the first lost references, with who uses them and what to add; bounded.
	Worst []Problem `json:"worst,omitempty"`
}

// Transfers summarises the work of the mirror engine for the current plan.
type Transfers struct {
	// Plan is the digest of the plan whose jobs the engine has; Copying tells whether it may write to the mirrors.
	Plan    string `json:"plan"`
	Copying bool   `json:"copying,omitempty"`
	// Total is the number of references to be proven, Verified those proven not longer ago than the plan's bound.
	Total    int `json:"total"`
	Verified int `json:"verified"`
	Failed   int `json:"failed,omitempty"`
	Copied   int `json:"copied,omitempty"`
	// Bytes is what was written to mirrors.
	Bytes int64 `json:"bytes,omitempty"`
	// Oldest is when the oldest of the proofs was made; zero when there is none.
	Oldest time.Time `json:"oldest,omitzero"`
	// Worst are the first failures; bounded.
	Worst []Problem `json:"worst,omitempty"`
}

// Probes summarises the pulls from the mirrors that nodes are asked for before the mirror sets exist.
type Probes struct {
	// Disabled is true when the user does not want them.
	Disabled bool `json:"disabled,omitempty"`
	// Plan is the digest of the plan for which they were chosen.
	Plan string `json:"plan,omitempty"`
	// Nodes is the number of nodes that are asked: one of each pool, architecture and zone.
	Nodes  int `json:"nodes,omitempty"`
	Wanted int `json:"wanted,omitempty"`
	Proven int `json:"proven,omitempty"`
	Failed int `json:"failed,omitempty"`
	// Left is the number of probe pods that are still there.
	Left int `json:"left,omitempty"`
	// Worst are the first failures and the pulls under way that take long; bounded.
	Worst []Problem `json:"worst,omitempty"`
	// Until is when time alone changes something; zero when only a pod can.
	Until time.Time `json:"until,omitzero"`
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
	// Newest is when its youngest pod that is not ready was created; zero when it has no such pod.
	Newest time.Time `json:"newest,omitzero"`
	// Missing is true when it has fewer pods than it wants.
	Missing bool `json:"missing,omitempty"`
	// OnNode is true when one of its pods that are not ready is on a node of the release under way.
	OnNode bool `json:"onNode,omitempty"`
	// Message says what its first unready pod waits for.
	Message string `json:"message,omitempty"`
}

// Key names the workload in the record.
func (w Workload) Key() string { return w.Kind + "/" + w.Namespace + "/" + w.Name }
