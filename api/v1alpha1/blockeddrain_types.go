package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BlockedDrain is a node whose drain does not progress, with the chain from the drain to the root
// cause. It has times at which something began and no durations, so that it changes only when the
// cluster does.
type BlockedDrain struct {
	// pool is the MachineConfigPool of the node.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool"`
	// node is the name of the node that is being drained.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// reason is what blocks the drain. Terminating, Migrating, Starting and Retrying pass without
	// help; the others do not.
	// +required
	Reason DrainBlockReason `json:"reason"`
	// transient is true for a reason that passes without help. When omitted, a person or a remedy
	// has to act.
	// +optional
	Transient bool `json:"transient,omitempty"`
	// pullFailure is why an image cannot be pulled, where the reason is Pull. When omitted, the
	// reason is not about an image.
	// +optional
	PullFailure PullFailureCause `json:"pullFailure,omitempty"`
	// since is when it began to block the drain. When omitted, the cluster does not tell.
	// +optional
	Since metav1.Time `json:"since,omitzero"`
	// causeChain has one link for each object that waits for the next, the drain first and the root
	// cause last. When omitted, no cause is known.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	CauseChain []CauseLink `json:"causeChain,omitempty"`
}

// CauseLink is one object that waits for the next.
type CauseLink struct {
	// kind of the object, for example Node, PodDisruptionBudget, Pod, Container, Image, Registry or
	// Scheduler.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// namespace of the object. When omitted, it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the object, or the reference of an image. When omitted, it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name,omitempty"`
	// message says what is wrong with the object.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}

// DrainBlockReason is what blocks a drain.
//
//   - Terminating: a pod is within its grace period.
//   - Migrating: a virtual machine moves, or storage recovers.
//   - Starting: a replacement pod pulls its images or becomes ready.
//   - Retrying: nothing blocks the eviction any more, and the Machine Config Operator has not tried
//     again yet.
//   - Pull: a replacement pod cannot pull its image.
//   - Unschedulable: a replacement pod has no feasible node.
//   - Crashing: a protected pod on another node does not become ready.
//   - BudgetZero: the PodDisruptionBudget never allows a disruption.
//   - Overlap: more than one PodDisruptionBudget selects the pod, and the eviction fails.
//   - Finalizer: a pod is past its grace period and a finalizer keeps it.
//   - Webhook: a webhook refuses the eviction, or fails closed.
//   - BudgetStale: the disruption controller has not computed the PodDisruptionBudget, or cannot.
//   - NodeLost: a node with protected pods is gone or NotReady.
//   - NotDraining: the node is not held by its drain, but by its machine-config-daemon.
//   - Unknown: the cause could not be found.
//
// +kubebuilder:validation:Enum=Terminating;Migrating;Starting;Retrying;Pull;Unschedulable;Crashing;BudgetZero;Overlap;Finalizer;Webhook;BudgetStale;NodeLost;NotDraining;Unknown
type DrainBlockReason string

// PullFailureCause is why an image cannot be pulled.
//
//   - Missing: the manifest is not at the mirror.
//   - Incomplete: the manifest is at the mirror, and a blob or a child manifest is not; a node does
//     not fall back then.
//   - Denied: the registry refuses the credentials.
//   - Untrusted: the authority of the registry's certificate is not trusted.
//   - Unreachable: the registry does not answer, or not in time.
//   - Blocked: the source is blocked, and no mirror serves the image.
//   - Signature: the image policy refuses the signature.
//   - Throttled: the registry answers "too many requests".
//   - Other: none of these.
//
// +kubebuilder:validation:Enum=Missing;Incomplete;Denied;Untrusted;Unreachable;Blocked;Signature;Throttled;Other
type PullFailureCause string
