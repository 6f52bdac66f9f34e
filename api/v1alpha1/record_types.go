package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Record holds what cannot be observed again. Everything else is derived from the cluster in each
// reconcile.
type Record struct {
	// startedAt is when the rollout first changed anything, or, for a rollback of a completed
	// rollout, when the rollback was decided. When omitted, nothing has been changed.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// pools are the MachineConfigPools as they were before the rollout. The same is written on each
	// pool, in the annotation safemirror.io/pause-record, so that nothing is lost with this status.
	// When omitted, no pool has been paused.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Pools []PoolRecord `json:"pools,omitempty"`

	// appliedPlanHash is the hash of the plan that was proven and then applied. When omitted, no
	// mirror set has been written.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	AppliedPlanHash string `json:"appliedPlanHash,omitempty"`

	// previous names the ControllerRevision that holds the mirror sets of this name as they were
	// before the rollout wrote them. A rollback writes them again. When omitted while
	// appliedPlanHash is set, there were none.
	// +optional
	Previous *PreviousMirrorSets `json:"previous,omitempty"`

	// pendingWrite is the change of the mirror sets in progress, where it takes more than one
	// write. When omitted, there is none.
	// +optional
	PendingWrite *PendingWriteRecord `json:"pendingWrite,omitempty"`

	// pass is the pass in progress of a rollout whose spec.sourcePolicy is Staged. When omitted,
	// the rollout has one pass only.
	// +optional
	Pass *PassRecord `json:"pass,omitempty"`

	// nodeDisruptionPolicy is the node disruption policy before the rollout. When omitted, the
	// rollout has not changed it.
	// +optional
	NodeDisruptionPolicy *NodeDisruptionPolicyRecord `json:"nodeDisruptionPolicy,omitempty"`

	// rollback says why and since when the rollout is rolled back. It stays until the spec changes.
	// When omitted, it is not.
	// +optional
	Rollback *RollbackRecord `json:"rollback,omitempty"`

	// completedSpecHash is the hash of the spec that completedAt is about, without requests, state
	// and remediation. When omitted, the rollout has not completed.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	CompletedSpecHash string `json:"completedSpecHash,omitempty"`

	// approvals are the gates that requests have approved, each for one plan, the oldest first.
	// When omitted, none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Approvals []ApprovalRecord `json:"approvals,omitempty"`

	// stages are those that were reached and have to be watched before the next begins, the oldest
	// first. When omitted, none.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Stages []StageRecord `json:"stages,omitempty"`

	// handledRequests are the ids of the requests that were carried out, the oldest first;
	// approvals are recorded in approvals. When omitted, none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	HandledRequests []string `json:"handledRequests,omitempty"`

	// release is the release of nodes in progress. It is written before the pool is unpaused. When
	// omitted, there is none.
	// +optional
	Release *ReleaseRecord `json:"release,omitempty"`

	// remedies are what was done about drains that did not progress, the oldest first. Each is
	// written before anything is changed for it. Of those that have ended the newest are kept. When
	// omitted, nothing was done.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=24
	Remedies []RemedyRecord `json:"remedies,omitempty"`

	// completedAt is when the rollout completed: every pool was restored. When omitted, it has not.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// completedGeneration is the generation of the spec that completedAt is about. When omitted,
	// the rollout has not completed.
	// +optional
	CompletedGeneration int64 `json:"completedGeneration,omitempty"`
}

// PoolRecord is a MachineConfigPool as it was before the rollout.
type PoolRecord struct {
	// name of the MachineConfigPool.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// paused is what spec.paused was. When omitted, false.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// maxUnavailable is what spec.maxUnavailable was, as text. When omitted, it was not set.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// unavailable names nodes that were NotReady or cordoned before the rollout began. They are not
	// counted, released or uncordoned. When omitted, none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Unavailable []string `json:"unavailable,omitempty"`
	// restored is true once the pool is about to get its earlier values back. When omitted, false.
	// +optional
	Restored bool `json:"restored,omitempty"`
}

// PreviousMirrorSets names the ControllerRevision with the mirror sets before the rollout.
type PreviousMirrorSets struct {
	// name of the ControllerRevision, in the operator's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// dataHash is the SHA-256 hash of what the ControllerRevision holds. A rollback is refused when
	// it holds something else.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	DataHash string `json:"dataHash,omitempty"`
}

// PendingWriteRecord is a change of the mirror sets that takes more than one write. It is recorded
// before the first of them: after a restart, mirror sets that are partially written are finished
// before anything else.
type PendingWriteRecord struct {
	// digestMirrorsHash is the hash of the digest mirrors before the first write. When omitted,
	// there were none.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	DigestMirrorsHash string `json:"digestMirrorsHash,omitempty"`
	// tagMirrorsHash is the hash of the tag mirrors before the first write. When omitted, there
	// were none.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	TagMirrorsHash string `json:"tagMirrorsHash,omitempty"`
	// targetHash is the hash of both after the last write.
	// +required
	// +kubebuilder:validation:MaxLength=256
	TargetHash string `json:"targetHash"`
}

// PassRecord is the pass in progress.
type PassRecord struct {
	// pass is Allow or Enforce.
	// +required
	Pass Pass `json:"pass"`
	// mirrorsHash is the hash of the mirrors of the spec that the pass is about: other mirrors
	// begin with the first pass.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	MirrorsHash string `json:"mirrorsHash,omitempty"`
	// reachedAt is when every node had the first pass and every pool was restored: the time between
	// the passes counts from it. When omitted, the first pass has not reached every node.
	// +optional
	ReachedAt *metav1.Time `json:"reachedAt,omitempty"`
}

// NodeDisruptionPolicyRecord is the node disruption policy of MachineConfiguration/cluster for
// registries.conf before the rollout. The same is written on that object, in the annotation
// safemirror.io/node-disruption-policy-record, so that nothing is lost with this status.
type NodeDisruptionPolicyRecord struct {
	// previous is the entry of spec.nodeDisruptionPolicy.files for registries.conf before the
	// rollout, as JSON. When omitted, there was none.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Previous string `json:"previous,omitempty"`
	// since is when the rollout decided to write its own.
	// +required
	Since metav1.Time `json:"since"`
	// restored is true once the earlier entry is about to be restored. When omitted, false.
	// +optional
	Restored bool `json:"restored,omitempty"`
}

// RollbackReason is why a rollout is rolled back.
//
//   - Requested: a request with the action Rollback.
//   - Aborted: a request with the action Abort, before any node had the new configuration.
//   - Deleted: the rollout was deleted, and spec.deletion is Rollback.
//   - DrainTimedOut: a node exceeded spec.release.drainTimeoutSeconds, and spec.onFailure is
//     Rollback.
//
// +kubebuilder:validation:Enum=Requested;Aborted;Deleted;DrainTimedOut
type RollbackReason string

// The reasons of a rollback.
const (
	RollbackRequested     RollbackReason = "Requested"
	RollbackAborted       RollbackReason = "Aborted"
	RollbackDeleted       RollbackReason = "Deleted"
	RollbackDrainTimedOut RollbackReason = "DrainTimedOut"
)

// RollbackRecord says why and since when the rollout is rolled back.
type RollbackRecord struct {
	// reason is Requested, Aborted, Deleted or DrainTimedOut.
	// +required
	Reason RollbackReason `json:"reason"`
	// requestID is the id of the request that asked for it. When omitted, no request did.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	RequestID string `json:"requestID,omitempty"`
	// decidedAt is when the rollback was decided.
	// +required
	DecidedAt metav1.Time `json:"decidedAt"`
	// specHash is the hash of the spec that is rolled back, without requests, state and
	// remediation.
	// +required
	// +kubebuilder:validation:MaxLength=128
	SpecHash string `json:"specHash"`
}

// ApprovalRecord is a gate that was approved.
type ApprovalRecord struct {
	// gate is apply, enforce, or the name of a stage.
	// +required
	// +kubebuilder:validation:MaxLength=260
	Gate string `json:"gate"`
	// planHash is the hash of the plan for which it was approved.
	// +required
	// +kubebuilder:validation:MaxLength=128
	PlanHash string `json:"planHash"`
	// requestID is the id of the request.
	// +required
	// +kubebuilder:validation:MaxLength=63
	RequestID string `json:"requestID"`
	// approvedAt is when the operator read the request.
	// +required
	ApprovedAt metav1.Time `json:"approvedAt"`
}

// StageRecord is a stage that was reached.
type StageRecord struct {
	// name of the stage.
	// +required
	// +kubebuilder:validation:MaxLength=260
	Name string `json:"name"`
	// reachedAt is when all of its nodes were updated.
	// +required
	ReachedAt metav1.Time `json:"reachedAt"`
}

// ReleaseRecord is one release of nodes: from the decision, through the nodes that are updated, to
// the end of the last of them.
type ReleaseRecord struct {
	// pool is the MachineConfigPool whose nodes are released.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool"`
	// intendedAt is when the release was decided. Nothing has been changed for it yet.
	// +required
	IntendedAt metav1.Time `json:"intendedAt"`
	// targetConfig is the name of the rendered MachineConfig that was proven for this release.
	// +required
	// +kubebuilder:validation:MaxLength=300
	TargetConfig string `json:"targetConfig"`
	// updatedNodes is the number of nodes of the pool that ran that configuration already. When
	// omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UpdatedNodes int32 `json:"updatedNodes,omitempty"`
	// nodeCount is the number of nodes that the release is for. When omitted, one.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NodeCount int32 `json:"nodeCount,omitempty"`
	// targetNodes names the nodes that the operator chose, with the mechanism Targeted. When
	// omitted, the Machine Config Operator chooses.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=253
	TargetNodes []string `json:"targetNodes,omitempty"`
	// nodes are those that the release has reached. When omitted, none is known yet.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Nodes []string `json:"nodes,omitempty"`
	// updateStartedAt is when the first of the nodes was seen to be updating. When omitted, none
	// was.
	// +optional
	UpdateStartedAt *metav1.Time `json:"updateStartedAt,omitempty"`
	// unreadyWorkloads names workloads that lacked ready pods before this release, each with its
	// number of ready pods, for example Deployment/shop/cart=2. They hold the next release only
	// below that number. When omitted, none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=400
	UnreadyWorkloads []string `json:"unreadyWorkloads,omitempty"`
}

// RemedyState is the state of a remedy.
//
//   - Intended: it is recorded, and may be carried out already.
//   - Taken: it is carried out, and its effect is awaited.
//   - Ending: it is no longer wanted, and what it changed is being restored.
//   - Ended: what it changed is restored, except where the object was changed elsewhere since.
//
// +kubebuilder:validation:Enum=Intended;Taken;Ending;Ended
type RemedyState string

// The states of a remedy, in order.
const (
	RemedyIntended RemedyState = "Intended"
	RemedyTaken    RemedyState = "Taken"
	RemedyEnding   RemedyState = "Ending"
	RemedyEnded    RemedyState = "Ended"
)

// RemedyOutcome is why a remedy has ended.
//
//   - Helped: the drain went on.
//   - TimedOut: its deadline passed.
//   - Impossible: it could not be carried out.
//   - Superseded: the rollout ended, was rolled back or got another spec.
//   - NotNeeded: the drain went on before anything was changed.
//   - ChangedElsewhere: the object was changed by another client since, and is left as it is.
//
// +kubebuilder:validation:Enum=Helped;TimedOut;Impossible;Superseded;NotNeeded;ChangedElsewhere
type RemedyOutcome string

// The outcomes of remedies.
const (
	OutcomeHelped           RemedyOutcome = "Helped"
	OutcomeTimedOut         RemedyOutcome = "TimedOut"
	OutcomeImpossible       RemedyOutcome = "Impossible"
	OutcomeSuperseded       RemedyOutcome = "Superseded"
	OutcomeNotNeeded        RemedyOutcome = "NotNeeded"
	OutcomeChangedElsewhere RemedyOutcome = "ChangedElsewhere"
)

// RemedyRecord is one remedy. It is recorded before anything is changed, and kept until everything
// is restored.
type RemedyRecord struct {
	// id is a hash of fixed length that identifies the remedy; the annotation on the object that it
	// changes has it too.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// action is what is done.
	// +required
	Action RemedyAction `json:"action"`
	// node is the one whose drain does not progress.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// kind of the object that is changed; Image for MirrorMissingImages.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// namespace of the object that is changed. When omitted, it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the object that is changed. When omitted, references names the images.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// references are the image references that are copied and proven again. When omitted, the
	// remedy is not about images.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=1024
	References []string `json:"references,omitempty"`
	// uid of the object that is changed. When omitted, it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// originalValue is what the object had before: a number of replicas, whether a node was
	// cordoned. When omitted, nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	OriginalValue string `json:"originalValue,omitempty"`
	// intendedValue is what the object gets: a number of replicas, whether a node is cordoned, a
	// key. When omitted, nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	IntendedValue string `json:"intendedValue,omitempty"`
	// decidedAt is when the remedy was decided.
	// +required
	DecidedAt metav1.Time `json:"decidedAt"`
	// deadline is when the remedy is given up, and what it changed is restored.
	// +required
	Deadline metav1.Time `json:"deadline"`
	// state is Intended, Taken, Ending or Ended.
	// +required
	State RemedyState `json:"state"`
	// outcome is why the remedy has ended. When omitted, it has not.
	// +optional
	Outcome RemedyOutcome `json:"outcome,omitempty"`
	// specHash is the hash of the spec for which the remedy was decided.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SpecHash string `json:"specHash,omitempty"`
}
