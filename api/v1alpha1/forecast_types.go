package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ReasonDrainForecast surfaces while a node that may be next could not be drained, or nobody can say whether it could.
const ReasonDrainForecast = "DrainForecast"

// ForecastPolicy says what the forecast of drains decides.
// +kubebuilder:validation:Enum=Required;Advisory
type ForecastPolicy string

// The policies.
const (
	// ForecastRequired releases no node before each one that may be next is forecast to be drained safely.
	ForecastRequired ForecastPolicy = "Required"
	// ForecastAdvisory only reports.
	ForecastAdvisory ForecastPolicy = "Advisory"
)

// NodeOutlook says whether the drain of a node will go through.
// +kubebuilder:validation:Enum=Safe;Blocked;Unknown
type NodeOutlook string

// ForecastStatus says whether the nodes that are still to be released can be drained.
type ForecastStatus struct {
	// checkedAt is when this came about: it is not written again while nothing else in it changes.
	// +optional
	CheckedAt *metav1.Time `json:"checkedAt,omitempty"`

	// safe is how many nodes that are still to come could be drained now.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Safe int32 `json:"safe,omitempty"`

	// blocked is how many could not.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Blocked int32 `json:"blocked,omitempty"`

	// unknown is how many nobody can tell of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Unknown int32 `json:"unknown,omitempty"`

	// nodes are those that may be next, of every pool, the worst first. The Machine Config Operator's order has ties, so they are a set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Nodes []NodeForecast `json:"nodes,omitempty"`
}

// NodeForecast is the outlook of one node's drain.
type NodeForecast struct {
	// pool is the MachineConfigPool of the node.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool,omitempty"`

	// node is its name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`

	// outlook is Safe, Blocked or Unknown.
	// +required
	Outlook NodeOutlook `json:"outlook,omitempty"`

	// message names what would block the drain, or what could not be seen. Empty when it is safe.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
