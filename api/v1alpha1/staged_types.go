package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SourcePolicy says whether sources are blocked at once, or in a second pass.
// +kubebuilder:validation:Enum=Direct;Staged
type SourcePolicy string

// The source policies.
const (
	// SourcePolicyDirect applies every mirrorSourcePolicy as it is declared.
	SourcePolicyDirect SourcePolicy = "Direct"
	// SourcePolicyStaged applies AllowContactingSource first, and what is declared in a second pass.
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

// PassRecord is the pass under way.
type PassRecord struct {
	// pass is Allow or Enforce.
	// +required
	Pass Pass `json:"pass"`
	// lists identifies the mirror lists of the spec that it is about: other lists begin anew.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Lists string `json:"lists,omitempty"`
	// reachedAt is when every node had the first pass and every pool was given back: the time between the passes counts from it.
	// +optional
	ReachedAt *metav1.Time `json:"reachedAt,omitempty"`
}

// WritingRecord is a change of the mirror sets that takes more than one write. It is made before the first of them, so that whoever comes
// after knows that what is half written has to be finished before anything else.
type WritingRecord struct {
	// digest identifies what the digest mirrors of the rollout were before the first write; empty when there were none.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`
	// tag identifies what its tag mirrors were.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag,omitempty"`
	// to identifies what both shall be after the last write.
	// +required
	// +kubebuilder:validation:MaxLength=256
	To string `json:"to"`
}
