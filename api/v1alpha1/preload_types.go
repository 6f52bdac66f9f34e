package v1alpha1

// PreloadPolicy says which nodes are given the critical images before anything depends on them
// there.
// +kubebuilder:validation:Enum=Disabled;UpdatedNodes
type PreloadPolicy string

// The policies.
const (
	// PreloadDisabled gives images to no node: what a pod needs is pulled when it comes.
	PreloadDisabled PreloadPolicy = "Disabled"
	// PreloadUpdatedNodes gives them to every node that has the new configuration.
	PreloadUpdatedNodes PreloadPolicy = "UpdatedNodes"
)

// PreloadStatus counts the images that spec.release.preload puts on updated nodes.
type PreloadStatus struct {
	// nodes is the number of nodes that get images: those that have the new configuration and can
	// take pods. When omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes int32 `json:"nodes,omitempty"`

	// ready is the number of these nodes that have every desired image. When omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ready int32 `json:"ready,omitempty"`

	// desired is the number of images that these nodes are to have, summed over the nodes. When
	// omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Desired int32 `json:"desired,omitempty"`

	// loaded is the number of these images that are on their nodes. When omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Loaded int32 `json:"loaded,omitempty"`

	// waiting names the first nodes that lack some of their images. No other node is released until
	// they have them. When omitted, none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	Waiting []string `json:"waiting,omitempty"`

	// skipped says which images some nodes do not get, and why: too large, no free disk space, a
	// pod that was not admitted. No release waits for them. When omitted, none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=512
	Skipped []string `json:"skipped,omitempty"`
}
