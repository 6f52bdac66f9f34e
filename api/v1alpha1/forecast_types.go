package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ForecastPolicy says whether a release waits for the forecast of drains.
// +kubebuilder:validation:Enum=Required;Advisory
type ForecastPolicy string

// The policies.
const (
	// ForecastRequired releases no node before each one that may be next is forecast to be drained
	// safely.
	ForecastRequired ForecastPolicy = "Required"
	// ForecastAdvisory reports the forecast in the status and lets no release wait for it.
	ForecastAdvisory ForecastPolicy = "Advisory"
)

// ForecastResult says whether the drain of a node would go through now.
// +kubebuilder:validation:Enum=Safe;Blocked;Unknown
type ForecastResult string

// ForecastStatus says whether the nodes that are still to be released can be drained.
type ForecastStatus struct {
	// checkedAt is when the forecast changed last. It does not change while the forecast stays the
	// same.
	// +optional
	CheckedAt *metav1.Time `json:"checkedAt,omitempty"`

	// safe is the number of nodes still to be released that could be drained now. When omitted,
	// none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Safe int32 `json:"safe,omitempty"`

	// blocked is the number of such nodes whose drain would be refused. When omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Blocked int32 `json:"blocked,omitempty"`

	// unknown is the number of such nodes for which this could not be determined. When omitted,
	// none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Unknown int32 `json:"unknown,omitempty"`

	// nodes are those that may be next, of every pool, blocked ones first. The update order of the
	// Machine Config Operator has ties, so more than one node of a pool may be next. When omitted,
	// no node is left to be released.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Nodes []NodeForecast `json:"nodes,omitempty"`
}

// NodeForecast is the forecast for the drain of one node.
type NodeForecast struct {
	// pool is the MachineConfigPool of the node.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool,omitempty"`

	// node is the name of the node.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`

	// result is Safe, Blocked or Unknown.
	// +required
	Result ForecastResult `json:"result,omitempty"`

	// message names what would block the drain, or what could not be read. When omitted, the drain
	// is safe.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
