package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ObstacleStatus is what holds a node under way, from the drain to the root cause. It has times at which something began and no durations,
// so that it changes only when the cluster does.
type ObstacleStatus struct {
	// pool is the node's MachineConfigPool.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool"`
	// node is the node that does not get on.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// hindrance is the sort of thing that holds it: Terminating, Migrating, Starting and Retrying pass by themselves; Pull, Unschedulable,
	// Crashing, BudgetZero, Overlap, Finalizer, Webhook, BudgetStale, NodeLost, NotDraining and Unknown do not.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Hindrance string `json:"hindrance"`
	// passing is true for what passes by itself. Omitted means that somebody, or something, has to do something.
	// +optional
	Passing bool `json:"passing,omitempty"`
	// cause is why an image cannot be pulled: Missing, Incomplete, Denied, Untrusted, Unreachable, Blocked, Signature, Throttled or Other.
	// Empty when it is not about an image.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Cause string `json:"cause,omitempty"`
	// since is when it began to hold the node, as far as the cluster tells. Omitted when it does not.
	// +optional
	Since metav1.Time `json:"since,omitzero"`
	// chain has one link for each thing that waits for the next, the drain first and the root cause last.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Chain []ChainLink `json:"chain,omitempty"`
}

// ChainLink is one thing that waits for the next.
type ChainLink struct {
	// kind is what it is: Node, PodDisruptionBudget, Pod, Container, Image, Registry, Scheduler.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Kind string `json:"kind"`
	// namespace of it, when it has one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace,omitempty"`
	// name of it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name,omitempty"`
	// message says in words what is the matter with it.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}
