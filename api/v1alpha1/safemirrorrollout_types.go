package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafeMirrorRollout brings one ImageTagMirrorSet, and optionally one ImageDigestMirrorSet, to every
// node of the cluster without a failed pull and without a blocked drain. The operator plans which
// pulls change, copies and verifies what the mirrors must hold, pauses the MachineConfigPools,
// applies the mirror sets and lets the nodes take the new configuration one at a time, each only
// when the one before it is updated and its pods are ready.
//
// spec.deletion says what deleting it does: by default the mirror sets are kept. Before they are
// applied, the pools are restored at once. After that, the rollout completes first: restoring the
// pools before would give the configuration to all remaining nodes at once.
//
// Whoever may create this object redirects the image pulls of the whole cluster: grant it as you
// would grant cluster-admin.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=smr,categories=mirrors
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`,description="The step that the rollout is at"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Images",type=string,JSONPath=`.status.images.summary`,description="References verified of those whose pull changes"
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.status.nodes.summary`,description="Nodes on the planned configuration"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the rollout is not ready"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the rollout waits for, and what to do"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name: at most 63 characters, because the mirror sets have it as the value of a label"
type SafeMirrorRollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired mirror sets, and how carefully they reach the nodes.
	// +required
	Spec SafeMirrorRolloutSpec `json:"spec,omitzero"`

	// status is what the operator has found and done.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status SafeMirrorRolloutStatus `json:"status,omitzero"`
}

// SafeMirrorRolloutList is a list of SafeMirrorRollouts.
//
// +kubebuilder:object:root=true
type SafeMirrorRolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []SafeMirrorRollout `json:"items"`
}

// SafeMirrorRolloutSpec declares the mirror sets and the manner of their rollout.
//
// +kubebuilder:validation:XValidation:rule="has(self.imageTagMirrors) || has(self.imageDigestMirrors)",message="spec: give imageTagMirrors, imageDigestMirrors or both; with neither there is nothing to roll out"
// +kubebuilder:validation:XValidation:rule="!has(self.imageTagMirrors) || !has(self.imageDigestMirrors) || self.imageTagMirrors.all(t, self.imageDigestMirrors.all(d, d.source != t.source || (has(d.mirrorSourcePolicy) ? d.mirrorSourcePolicy : 'AllowContactingSource') == (has(t.mirrorSourcePolicy) ? t.mirrorSourcePolicy : 'AllowContactingSource')))",message="spec: a source that is in both imageTagMirrors and imageDigestMirrors needs the same mirrorSourcePolicy in both; the Machine Config Operator would refuse every mirror set of the cluster otherwise"
type SafeMirrorRolloutSpec struct {
	// imageTagMirrors are the items of the ImageTagMirrorSet that the operator creates under this
	// object's name: they redirect pulls by tag. An existing ImageTagMirrorSet's list pastes in
	// unchanged. When omitted, no ImageTagMirrorSet is created.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	ImageTagMirrors []ImageMirrors `json:"imageTagMirrors,omitempty"`

	// imageDigestMirrors are the items of the ImageDigestMirrorSet that the operator creates under
	// this object's name, in the same pass: they redirect pulls by digest. A source that must never
	// be contacted needs them too, because its tag mirrors do not serve references by digest. When
	// omitted, no ImageDigestMirrorSet is created.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	ImageDigestMirrors []ImageMirrors `json:"imageDigestMirrors,omitempty"`

	// sourcePolicy is Direct or Staged. Direct applies every mirrorSourcePolicy as it is declared.
	// Staged rolls out twice: first with AllowContactingSource in place of every
	// NeverContactSource, on all nodes, so that what a mirror lacks is still pulled from the
	// source; then, after the time of spec.release.enforceAfterSeconds and where
	// spec.release.applyApproval is Required with an approval of the gate "enforce", with what is
	// declared. Both passes are planned, proven and released node by node, so every node is drained
	// twice. Between them the pools are as they were before. A source that is blocked already stays
	// blocked in the first pass. When omitted, Direct is used.
	// +optional
	SourcePolicy SourcePolicy `json:"sourcePolicy,omitempty"`

	// inventory adjusts the list of images that must keep working. When omitted, the references of
	// all pods and workload templates of the cluster are that list.
	// +optional
	Inventory InventorySpec `json:"inventory,omitzero"`

	// mirroring says who fills the mirrors and with which credentials. When omitted, the operator
	// copies what is missing, with the cluster's global pull secret.
	// +optional
	Mirroring MirroringSpec `json:"mirroring,omitzero"`

	// release says in which order the nodes take the new configuration. When omitted: one node of
	// each worker pool first, then the control plane, then all other nodes, one at a time.
	// +optional
	Release ReleaseSpec `json:"release,omitzero"`

	// requests are what a person or a pipeline asks of the rollout while it is in progress. Each is
	// carried out once, however often it is read: an id that was seen is not acted upon again, and
	// the list may be emptied at any time. When omitted, none.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=32
	Requests []Request `json:"requests,omitempty"`

	// onFailure says what to do when a node is updating for longer than
	// spec.release.drainTimeoutSeconds: Hold waits and says why, Rollback restores the mirror sets
	// before the rollout, which drains again every node that has the new ones. When omitted, Hold
	// is used.
	// +optional
	OnFailure FailurePolicy `json:"onFailure,omitempty"`

	// remediation says what the operator may do by itself about a drain that does not progress.
	// When omitted, it copies what is missing and restarts pods that have not run yet, and names
	// everything else.
	// +optional
	Remediation RemediationSpec `json:"remediation,omitzero"`

	// deletion says what deleting this object does to its mirror sets. Keep leaves them in the
	// cluster; a rollout in progress completes first. Rollback restores the mirror sets before the
	// rollout, node by node and proven like a rollout, and then removes the finalizer; when another
	// rollout is in progress by then, that one comes first. When omitted, Keep is used.
	// +optional
	Deletion DeletionPolicy `json:"deletion,omitempty"`

	// state is Active or Held. Held stops before the next disruptive step: a node that is updating
	// finishes, copying and verifying go on, and nothing else is applied or released until it is
	// Active again. When omitted, Active is used.
	// +optional
	State RolloutState `json:"state,omitempty"`
}

// FailurePolicy says what to do when the rollout gets stuck.
// +kubebuilder:validation:Enum=Hold;Rollback
type FailurePolicy string

// The failure policies.
const (
	FailureHold     FailurePolicy = "Hold"
	FailureRollback FailurePolicy = "Rollback"
)

// DeletionPolicy says what deleting the rollout does.
// +kubebuilder:validation:Enum=Keep;Rollback
type DeletionPolicy string

// The deletion policies.
const (
	DeletionKeep     DeletionPolicy = "Keep"
	DeletionRollback DeletionPolicy = "Rollback"
)

// RolloutState says whether a rollout may take disruptive steps.
// +kubebuilder:validation:Enum=Active;Held
type RolloutState string

// The states of a rollout.
const (
	StateActive RolloutState = "Active"
	StateHeld   RolloutState = "Held"
)

// ImageMirrors redirects the pulls of one source. It has the JSON of the items of
// config.openshift.io/v1 mirror sets.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mirrorSourcePolicy) || self.mirrorSourcePolicy != 'NeverContactSource' || !self.mirrors.exists(m, m == self.source)",message="mirrors: with mirrorSourcePolicy NeverContactSource the source may not be one of its own mirrors; the Machine Config Operator would refuse every mirror set of the cluster"
// +kubebuilder:validation:XValidation:rule="self.mirrors.exists(m, m != self.source)",message="mirrors: give at least one mirror that is not the source itself; such a set would be ignored, with its mirrorSourcePolicy"
type ImageMirrors struct {
	// source is the registry, namespace or repository whose pulls are redirected, or a wildcard
	// such as *.example.com for all hosts under a domain. No scheme, no tag, no digest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^\*(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+$|^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$`
	Source string `json:"source,omitempty"`

	// mirrors are tried in this order, before the source. Every one of them must hold every image
	// completely, or not at all: a node does not fall back once a mirror has served a manifest.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$`
	Mirrors []string `json:"mirrors,omitempty"`

	// mirrorSourcePolicy is AllowContactingSource, which falls back to the source when no mirror
	// has the image, or NeverContactSource, which blocks the source for pulls by tag and by digest
	// alike. When omitted, AllowContactingSource is used.
	// +optional
	MirrorSourcePolicy MirrorSourcePolicy `json:"mirrorSourcePolicy,omitempty"`
}

// MirrorSourcePolicy says whether a node may fall back to the source.
// +kubebuilder:validation:Enum=NeverContactSource;AllowContactingSource
type MirrorSourcePolicy string

// The mirror source policies, as config.openshift.io/v1 spells them.
const (
	NeverContactSource    MirrorSourcePolicy = "NeverContactSource"
	AllowContactingSource MirrorSourcePolicy = "AllowContactingSource"
)

// InventorySpec adjusts the list of images that must keep working.
type InventorySpec struct {
	// additionalImages are references that no pod or workload template names but that must be
	// pullable all the same. When omitted, none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	AdditionalImages []string `json:"additionalImages,omitempty"`

	// acceptedRisks name references that may stop being pullable. A reference that matches is
	// reported and does not hold the rollout. When omitted, every reference that can be pulled
	// today must be pullable afterwards.
	// +optional
	// +listType=map
	// +listMapKey=pattern
	// +kubebuilder:validation:MaxItems=64
	AcceptedRisks []AcceptedRisk `json:"acceptedRisks,omitempty"`
}

// AcceptedRisk names references that the user is ready to lose.
type AcceptedRisk struct {
	// pattern matches whole references; * stands for any characters, for example
	// quay.io/acme/legacy-*.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Pattern string `json:"pattern,omitempty"`

	// reason is for whoever reads the rollout later.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
}
