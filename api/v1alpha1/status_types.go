package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafeMirrorRolloutStatus is what the operator has found and done. It stays far below the size
// limit of an object: every list and text in it is bounded. Times are stored as the moment at which
// something began. The full lists are in SafeMirrorReports, events and logs.
type SafeMirrorRolloutStatus struct {
	// observedGeneration is the generation of the spec that this status is about. It is -1 before
	// the first reconcile.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions summarise the rollout in Ready, Reconciling and Stalled, as kstatus, kubectl wait
	// and Argo CD read them. Each other condition is about one step.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// phase is the step that the rollout is at, for people. It is derived from the cluster in each
	// reconcile and never read back.
	// +optional
	Phase RolloutPhase `json:"phase,omitempty"`

	// pass is the pass of a rollout whose spec.sourcePolicy is Staged: Allow, or Enforce once the
	// sources are about to be blocked. The counts of images and nodes are about it. When omitted,
	// the rollout has one pass only.
	// +optional
	Pass Pass `json:"pass,omitempty"`

	// images counts the image references whose pulls the mirror sets change.
	// +optional
	Images ImageCounts `json:"images,omitzero"`

	// nodes counts the nodes of all pools.
	// +optional
	Nodes NodeCounts `json:"nodes,omitzero"`

	// pools has one entry for each MachineConfigPool.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Pools []PoolStatus `json:"pools,omitempty"`

	// blockers are what the rollout waits for, the most important first. When omitted, it waits for
	// nothing.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Blockers []Blocker `json:"blockers,omitempty"`

	// blockedDrains are the nodes whose drain does not progress, each with the chain from the drain
	// to the root cause, the most severe first. When omitted, every drain progresses.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	BlockedDrains []BlockedDrain `json:"blockedDrains,omitempty"`

	// forecast says whether the nodes that may be next can be drained. When omitted, no release is
	// near.
	// +optional
	Forecast *ForecastStatus `json:"forecast,omitempty"`

	// preload counts the images that spec.release.preload puts on updated nodes. When omitted, it
	// puts none.
	// +optional
	Preload *PreloadStatus `json:"preload,omitempty"`

	// planHash is the hash of the present plan: the mirror sets and the configuration predicted
	// from them. An approval names it. When omitted, there is no plan yet.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PlanHash string `json:"planHash,omitempty"`

	// report names the SafeMirrorReports with the full list of references and what is known of
	// each. When omitted, none is written yet.
	// +optional
	Report ReportReference `json:"report,omitzero"`

	// record holds the facts that cannot be observed again: the pools before the rollout, and what
	// is in progress. The operator reads it back; the other fields of the status are only written.
	// +optional
	Record Record `json:"record,omitzero"`
}

// RolloutPhase is the step that a rollout is at: the first in this order that is not satisfied.
//
//   - Preflight: nothing about the cluster or the spec forbids the rollout.
//   - Plan: no image reference is lost under the predicted configuration.
//   - Mirror: the mirrors hold every changed image reference.
//   - Prove: nodes have pulled from the mirrors.
//   - Pause: every pool is paused, and the Machine Config Operator has seen it.
//   - Verify: every changed image reference was proven after the pause.
//   - Policy: where nodes are to reload, the node disruption policy is in effect.
//   - Apply: the mirror sets exist as declared.
//   - Render: the rendered configuration of every pool is the planned one.
//   - Release: every node runs it.
//   - Restore: every pool has its earlier values.
//   - Enforce: a staged rollout has completed both passes.
//   - Finish: the end is recorded.
//   - Complete: nothing is left to do.
//
// +kubebuilder:validation:Enum=Preflight;Plan;Mirror;Prove;Pause;Verify;Policy;Apply;Render;Release;Restore;Enforce;Finish;Complete
type RolloutPhase string

// ReportReference names the parts of a report.
type ReportReference struct {
	// name of the first SafeMirrorReport; the others are numbered on from it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// parts is the number of SafeMirrorReports.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Parts int32 `json:"parts,omitempty"`
}

// ImageCounts counts image references. A number that is omitted is 0.
type ImageCounts struct {
	// summary is "verified/changed", for the print column.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary,omitempty"`
	// total is the number of distinct references found in the cluster.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total,omitempty"`
	// changed is the number of references for which the ordered list of places to pull from differs
	// before and after.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Changed int32 `json:"changed,omitempty"`
	// verified is the number of changed references proven to be pullable under the planned
	// configuration.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Verified int32 `json:"verified,omitempty"`
	// copied is the number of images that the operator wrote to a mirror.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Copied int32 `json:"copied,omitempty"`
	// failed is the number of changed references whose last copy or proof failed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failed int32 `json:"failed,omitempty"`
	// lost is the number of references that no node could pull any more under the planned
	// configuration.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Lost int32 `json:"lost,omitempty"`
	// accepted is the number of lost references that spec.inventory.acceptedRisks names.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Accepted int32 `json:"accepted,omitempty"`
	// noWorse is the number of references that cannot be pulled today either.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NoWorse int32 `json:"noWorse,omitempty"`
	// drifted is the number of tags that have moved at their source since the running pods pulled
	// them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Drifted int32 `json:"drifted,omitempty"`
	// historical is the number of references that only an old revision names. They are mirrored,
	// and the rollout does not wait for them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Historical int32 `json:"historical,omitempty"`
	// advisory is the number of references that operators and catalogs name, and with which nothing
	// starts a pod now. They are mirrored, and the rollout does not wait for them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Advisory int32 `json:"advisory,omitempty"`
	// nodePullsVerified is the number of pulls from the mirrors that nodes have completed before
	// the mirror sets are applied.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NodePullsVerified int32 `json:"nodePullsVerified,omitempty"`
	// nodePullsDesired is the number of such pulls that are needed before the mirror sets are
	// applied.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NodePullsDesired int32 `json:"nodePullsDesired,omitempty"`
	// canaryPullsVerified is the number of pulls of critical images that the first updated nodes
	// have completed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	CanaryPullsVerified int32 `json:"canaryPullsVerified,omitempty"`
	// canaryPullsDesired is the number of such pulls that are needed before another node is
	// released.
	// +optional
	// +kubebuilder:validation:Minimum=0
	CanaryPullsDesired int32 `json:"canaryPullsDesired,omitempty"`
	// bytesCopied is the number of bytes that the operator wrote to mirrors, rounded down to
	// mebibytes while images are copied.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BytesCopied int64 `json:"bytesCopied,omitempty"`
}

// NodeCounts counts nodes. A number that is omitted is 0.
type NodeCounts struct {
	// summary is "updated/total", for the print column.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary,omitempty"`
	// total is the number of nodes in all pools.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total,omitempty"`
	// updated is the number of nodes that run the planned configuration and are Done.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Updated int32 `json:"updated,omitempty"`
}

// NodeUpdateState is how far the update of a node is.
//
//   - Targeted: the node has its target, and its machine-config-daemon has not begun.
//   - Working: the machine-config-daemon works.
//   - Draining: the node is being drained.
//   - Uncordoning: the node is being uncordoned.
//   - Degraded: the machine-config-daemon reports an error.
//   - WaitingForPods: the node is updated, and the pods that left it are not ready yet.
//
// +kubebuilder:validation:Enum=Targeted;Working;Draining;Uncordoning;Degraded;WaitingForPods
type NodeUpdateState string

// NodeWaitingForPods is the state of a node that is updated while the pods that left it are not
// ready yet.
const NodeWaitingForPods NodeUpdateState = "WaitingForPods"

// PoolStatus is the state of one MachineConfigPool. A number that is omitted is 0.
type PoolStatus struct {
	// name of the MachineConfigPool.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// total is the number of nodes in the pool.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total,omitempty"`
	// updated is the number of nodes that run the planned configuration of the pool and are Done.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Updated int32 `json:"updated,omitempty"`
	// paused is true while the pool is paused. When omitted, false.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// rendered is the name of the rendered MachineConfig that the nodes of the pool are to run.
	// When omitted, there is none yet.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Rendered string `json:"rendered,omitempty"`
	// updating is the number of nodes that are updating, or whose pods are not ready yet. It may be
	// more than one where spec.release.maxUnavailable is.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Updating int32 `json:"updating,omitempty"`
	// node is the first of the updating nodes. When omitted, there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// nodeState is how far the update of that node is. When omitted, there is none.
	// +optional
	NodeState NodeUpdateState `json:"nodeState,omitempty"`
}

// Blocker is an object that the rollout waits for.
type Blocker struct {
	// kind of the object, for example Node, MachineConfigPool, Image, ImageTagMirrorSet or
	// ClusterVersion.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// namespace of the object. When omitted, it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the object, or the reference of the image.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name"`
	// message says what is wrong, with numbers, and what to do about it or what happens next.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// since is when the object was first found to block the rollout.
	// +optional
	Since metav1.Time `json:"since,omitzero"`
}
