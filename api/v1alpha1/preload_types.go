package v1alpha1

// PreloadPolicy says which nodes are given the critical images before anything depends on them there.
// +kubebuilder:validation:Enum=Disabled;UpdatedNodes
type PreloadPolicy string

// The policies.
const (
	// PreloadDisabled gives images to no node: what a pod needs is pulled when it comes.
	PreloadDisabled PreloadPolicy = "Disabled"
	// PreloadUpdatedNodes gives them to every node that has the new configuration.
	PreloadUpdatedNodes PreloadPolicy = "UpdatedNodes"
)

// PreloadStatus says how far the nodes are with the images that spec.release.preload gives them.
type PreloadStatus struct {
	// nodes is how many nodes have been looked at: those that have the new configuration and can take pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes int32 `json:"nodes,omitempty"`

	// ready is how many of them have every image that is wanted there.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ready int32 `json:"ready,omitempty"`

	// wanted is the number of images that they are to have, over all nodes.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Wanted int32 `json:"wanted,omitempty"`

	// loaded is how many of these they have.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Loaded int32 `json:"loaded,omitempty"`

	// waiting names nodes that have not got all of them yet. No other node is released meanwhile.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	Waiting []string `json:"waiting,omitempty"`

	// skipped says which images some nodes are not given, and why: too large, no room, a pod that was not admitted. They hold nothing.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=512
	Skipped []string `json:"skipped,omitempty"`
}
