package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Disruption says what taking the new configuration costs a node.
// +kubebuilder:validation:Enum=Drain;Reload
type Disruption string

// The kinds of disruption.
const (
	// DisruptionDrain leaves it to the Machine Config Operator, which drains a node for most changes of mirrors.
	DisruptionDrain Disruption = "Drain"
	// DisruptionReload reloads the container runtime, and moves no pod.
	DisruptionReload Disruption = "Reload"
)

// PolicyRecord is the node disruption policy of MachineConfiguration/cluster for registries.conf as it was before the rollout. The same is
// written on the object itself, in the annotation safemirror.io/disruption-ledger, so that losing this status loses nothing.
type PolicyRecord struct {
	// prior is the entry of spec.nodeDisruptionPolicy.files that the user had for the file, as JSON; empty when there was none.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Prior string `json:"prior,omitempty"`
	// since is when the rollout wrote its own.
	// +required
	Since metav1.Time `json:"since"`
	// restored is true once the earlier entry is about to be given back.
	// +optional
	Restored bool `json:"restored,omitempty"`
}
