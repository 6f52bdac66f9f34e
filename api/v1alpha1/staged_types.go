package v1alpha1

// SourcePolicy says whether sources are blocked at once, or in a second pass.
// +kubebuilder:validation:Enum=Direct;Staged
type SourcePolicy string

// The source policies.
const (
	// SourcePolicyDirect applies every mirrorSourcePolicy as it is declared.
	SourcePolicyDirect SourcePolicy = "Direct"
	// SourcePolicyStaged applies AllowContactingSource first, and what is declared in a second
	// pass.
	SourcePolicyStaged SourcePolicy = "Staged"
)

// Pass is one of the two passes of a rollout whose source policy is Staged.
// +kubebuilder:validation:Enum=Allow;Enforce
type Pass string

// The passes.
const (
	// PassAllow brings the mirrors to every node, with the sources as a fallback.
	PassAllow Pass = "Allow"
	// PassEnforce blocks the sources that are declared to be blocked.
	PassEnforce Pass = "Enforce"
)
