package v1alpha1

// Disruption says what taking the new configuration costs a node.
// +kubebuilder:validation:Enum=Drain;Reload
type Disruption string

// The kinds of disruption.
const (
	// DisruptionDrain leaves it to the Machine Config Operator, which drains a node for most
	// changes of mirrors.
	DisruptionDrain Disruption = "Drain"
	// DisruptionReload reloads the container runtime, and moves no pod.
	DisruptionReload Disruption = "Reload"
)
