package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafeMirrorRolloutStatus is what the operator has found and done. It stays far below the size limit of an object:
// every list in it is bounded, times are stored as the moment something began, and the full lists are events and logs.
type SafeMirrorRolloutStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, Reconciling and Stalled summarise (as kstatus, kubectl wait and Argo CD read them); the others
	// tell about one step each.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// phase is what the rollout is doing now, for people. It is derived from the cluster each time and never read back.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Phase string `json:"phase,omitempty"`

	// pass is the pass of a rollout whose spec.sourcePolicy is Staged: Allow, or Enforce once the sources are about to be blocked. The
	// counts of images and nodes are about it.
	// +optional
	Pass Pass `json:"pass,omitempty"`

	// images counts the references whose pull the mirror sets change.
	// +optional
	Images ImageCounts `json:"images,omitzero"`

	// nodes counts the nodes of all pools.
	// +optional
	Nodes NodeCounts `json:"nodes,omitzero"`

	// pools tells of each MachineConfigPool.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Pools []PoolStatus `json:"pools,omitempty"`

	// blockers are what the rollout waits for, the most important first. Empty when nothing holds it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Blockers []Blocker `json:"blockers,omitempty"`

	// obstacles are the nodes under way that do not get on, each with the chain from its drain to the root cause, the worst first. Empty
	// when every node gets on.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	Obstacles []ObstacleStatus `json:"obstacles,omitempty"`

	// forecast says whether the nodes that may be next can be drained. Empty while no release is near.
	// +optional
	Forecast *ForecastStatus `json:"forecast,omitempty"`
	// preload says how far the nodes are with the images that spec.release.preload gives them.
	// +optional
	Preload *PreloadStatus `json:"preload,omitempty"`

	// planDigest identifies the plan of now: the mirror sets and the configuration predicted from them. It is what an approval names.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PlanDigest string `json:"planDigest,omitempty"`

	// report names the objects beside this one that hold the full list of references with what is known of each.
	// +optional
	Report ReportReference `json:"report,omitzero"`

	// record holds the few facts that cannot be observed again: what the pools were like before, and what is under way.
	// +optional
	Record Record `json:"record,omitzero"`
}

// ReportReference names the parts of a report.
type ReportReference struct {
	// name is that of the first SafeMirrorReport; the others count on from it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// parts is how many there are.
	// +optional
	Parts int32 `json:"parts,omitempty"`
}

// ImageCounts counts references.
type ImageCounts struct {
	// summary is "verified/changed", for the print column.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary,omitempty"`
	// total is the number of distinct references found in the cluster.
	// +optional
	Total int32 `json:"total,omitempty"`
	// changed is the number of references whose ordered list of pull sources differs before and after.
	// +optional
	Changed int32 `json:"changed,omitempty"`
	// verified is the number of changed references proven to be pullable under the planned configuration.
	// +optional
	Verified int32 `json:"verified,omitempty"`
	// copied is the number of images that the operator wrote to a mirror.
	// +optional
	Copied int32 `json:"copied,omitempty"`
	// failed is the number of changed references whose copy or proof failed at the last attempt.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// lost is the number of references that no node could pull any more under the planned configuration.
	// +optional
	Lost int32 `json:"lost,omitempty"`
	// accepted is the number of lost references that spec.inventory.acceptedRisks names.
	// +optional
	Accepted int32 `json:"accepted,omitempty"`
	// noWorse is the number of references that cannot be pulled today either.
	// +optional
	NoWorse int32 `json:"noWorse,omitempty"`
	// drifted is the number of tags that have moved at their source since the running pods pulled them.
	// +optional
	Drifted int32 `json:"drifted,omitempty"`
	// historical is the number of references that only an old revision names: they are mirrored, and hold nothing.
	// +optional
	Historical int32 `json:"historical,omitempty"`
	// advisory is the number of references that operators and catalogs name but nothing starts now: they are mirrored, and hold nothing.
	// +optional
	Advisory int32 `json:"advisory,omitempty"`
	// provenFromNodes is the number of proofs that nodes have given by pulling from the mirrors.
	// +optional
	ProvenFromNodes int32 `json:"provenFromNodes,omitempty"`
	// wantedFromNodes is the number of such proofs that are wanted before the mirror sets are applied.
	// +optional
	WantedFromNodes int32 `json:"wantedFromNodes,omitempty"`
	// pulledByFirstNodes is the number of pulls of critical images that the first nodes with the new configuration have done under it.
	// +optional
	PulledByFirstNodes int32 `json:"pulledByFirstNodes,omitempty"`
	// wantedByFirstNodes is the number of such pulls that are wanted before another node is released.
	// +optional
	WantedByFirstNodes int32 `json:"wantedByFirstNodes,omitempty"`
	// bytesCopied is the number of bytes that the operator wrote to mirrors, rounded down to whole mebibytes while copying.
	// +optional
	BytesCopied int64 `json:"bytesCopied,omitempty"`
}

// NodeCounts counts nodes.
type NodeCounts struct {
	// summary is "updated/total", for the print column.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary,omitempty"`
	// total is the number of nodes in all pools.
	// +optional
	Total int32 `json:"total,omitempty"`
	// updated is the number of nodes that run the planned configuration and are Done.
	// +optional
	Updated int32 `json:"updated,omitempty"`
}

// PoolStatus tells of one MachineConfigPool.
type PoolStatus struct {
	// name of the MachineConfigPool.
	// +required
	Name string `json:"name"`
	// total is the number of nodes in the pool.
	// +optional
	Total int32 `json:"total,omitempty"`
	// updated is the number of nodes that run the pool's planned configuration and are Done.
	// +optional
	Updated int32 `json:"updated,omitempty"`
	// paused tells whether the pool is paused now.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// rendered is the name of the rendered MachineConfig that the pool's nodes are to run.
	// +optional
	Rendered string `json:"rendered,omitempty"`
	// underWay is how many nodes are on their way, or have their pods waited for. With spec.release.maxUnavailable there may be several.
	// +optional
	UnderWay int32 `json:"underWay,omitempty"`
	// node is the first of them, if there is any.
	// +optional
	Node string `json:"node,omitempty"`
	// stage is where that node is: Targeted, Working, Draining, Uncordoning, Degraded or WaitingForPods.
	// +optional
	Stage string `json:"stage,omitempty"`
}

// Blocker is one thing that the rollout waits for, or that it refuses to go on without.
type Blocker struct {
	// kind says what sort of thing it is, for example Node, MachineConfigPool, Image, ImageTagMirrorSet, ClusterVersion.
	// +required
	Kind string `json:"kind"`
	// namespace of the object, when it has one.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// name of the object or the reference of the image.
	// +required
	Name string `json:"name"`
	// message says what is wrong, with numbers, and what to do about it or what happens next.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// since is when it was first seen.
	// +optional
	Since metav1.Time `json:"since,omitzero"`
}

// Record holds what cannot be observed again. Everything else is derived from the cluster at each look.
type Record struct {
	// startedAt is when the rollout first changed anything; of one that goes back after it was complete, when it was told to.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// pools remembers each pool as it was before the rollout; the same is written on the pool itself, in the annotation
	// safemirror.io/pause-ledger, so that losing this status loses nothing.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Pools []PoolRecord `json:"pools,omitempty"`

	// appliedDigest identifies the mirror sets and the predicted configuration that were proven and then applied.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	AppliedDigest string `json:"appliedDigest,omitempty"`

	// previous holds the lists of the mirror sets of this name as they were before the rollout wrote them, compressed; a rollback brings
	// them back. Empty when there were none.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Previous string `json:"previous,omitempty"`

	// writing is the change of the mirror sets under way, when it takes more than one write.
	// +optional
	Writing *WritingRecord `json:"writing,omitempty"`

	// pass is the pass under way of a rollout whose spec.sourcePolicy is Staged.
	// +optional
	Pass *PassRecord `json:"pass,omitempty"`

	// policy remembers the node disruption policy of before, where spec.release.disruption is Reload.
	// +optional
	Policy *PolicyRecord `json:"policy,omitempty"`

	// rollback is set once the rollout goes back, and stays set until the spec changes.
	// +optional
	Rollback *RollbackRecord `json:"rollback,omitempty"`

	// completedSpec identifies the spec that completedAt is about, requests and state aside.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	CompletedSpec string `json:"completedSpec,omitempty"`

	// approvals are the gates that a request has opened, each for one plan.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Approvals []ApprovalRecord `json:"approvals,omitempty"`

	// stages are those that were reached and have to be watched for a while, with the time at which they were.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Stages []StageRecord `json:"stages,omitempty"`

	// carriedOut are the ids of the requests that were acted upon; approvals are on record by themselves.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	CarriedOut []string `json:"carriedOut,omitempty"`

	// release is the node release under way. It is written before the pool is unpaused.
	// +optional
	Release *ReleaseRecord `json:"release,omitempty"`

	// remedies are what was done about drains that did not progress, the oldest first. Each is written before anything is changed for it; of
	// those that have ended the newest are kept.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=24
	Remedies []RemedyRecord `json:"remedies,omitempty"`

	// completedAt is when every pool had been restored.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// completedGeneration is the generation of the spec that completedAt is about.
	// +optional
	CompletedGeneration int64 `json:"completedGeneration,omitempty"`
}

// PoolRecord is a MachineConfigPool as it was before the rollout.
type PoolRecord struct {
	// name of the MachineConfigPool.
	// +required
	Name string `json:"name"`
	// paused is what spec.paused was.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// maxUnavailable is what spec.maxUnavailable was, as text; empty when it was not set.
	// +optional
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// unavailable names the nodes that were down or cordoned before the rollout began. They are not counted, touched or uncordoned.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Unavailable []string `json:"unavailable,omitempty"`
	// restored is true once the pool has been given back its prior values.
	// +optional
	Restored bool `json:"restored,omitempty"`
}

// RollbackRecord says why and since when the rollout goes back.
type RollbackRecord struct {
	// reason is Requested, Aborted, Deleted or DrainTimedOut.
	// +required
	Reason string `json:"reason"`
	// request is the id of the request that asked for it, if one did.
	// +optional
	Request string `json:"request,omitempty"`
	// at is when it was decided.
	// +required
	At metav1.Time `json:"at"`
	// spec identifies the spec that is rolled back, requests and state aside.
	// +required
	Spec string `json:"spec"`
}

// ApprovalRecord is a gate that was opened.
type ApprovalRecord struct {
	// gate is apply, enforce, or the name of a stage.
	// +required
	Gate string `json:"gate"`
	// planDigest is the plan for which it was opened.
	// +required
	PlanDigest string `json:"planDigest"`
	// request is the id of the request.
	// +required
	Request string `json:"request"`
	// at is when the operator took it up.
	// +required
	At metav1.Time `json:"at"`
}

// StageRecord is a stage that was reached.
type StageRecord struct {
	// name of the stage's gate.
	// +required
	Name string `json:"name"`
	// reachedAt is when all of its nodes were done.
	// +required
	ReachedAt metav1.Time `json:"reachedAt"`
}

// ReleaseRecord is one release: from the intent, through the nodes that took it, to the end of the last of them.
type ReleaseRecord struct {
	// pool is the pool that is released.
	// +required
	Pool string `json:"pool"`
	// intendedAt is when the release was decided; nothing has been changed for it yet.
	// +required
	IntendedAt metav1.Time `json:"intendedAt"`
	// target is the rendered MachineConfig that was proven for this release.
	// +required
	Target string `json:"target"`
	// updated is how many nodes of the pool ran that configuration already.
	// +optional
	Updated int32 `json:"updated,omitempty"`
	// size is how many nodes it is for; 0 stands for one.
	// +optional
	Size int32 `json:"size,omitempty"`
	// targets names the nodes that are to be told, with the mechanism Targeted; empty when the Machine Config Operator chooses.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Targets []string `json:"targets,omitempty"`
	// nodes are those that took it, once known.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Nodes []string `json:"nodes,omitempty"`
	// takenAt is when the first of them was seen to have taken it.
	// +optional
	TakenAt *metav1.Time `json:"takenAt,omitempty"`
	// unreadyBefore names the workloads that were short of ready pods before this release, each with how many it had, for example
	// Deployment/shop/cart=2. They hold the next release only below that number.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	UnreadyBefore []string `json:"unreadyBefore,omitempty"`
}
