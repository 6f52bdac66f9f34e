package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafeMirrorReport is one part of what the operator knows for a SafeMirrorRollout: every image
// reference of the cluster with where it is pulled from before and after, what is known of it, and
// the proof. The parts of one report are named <rollout>-<part>, counted from 0, and are deleted
// with the rollout.
//
// It is written for people and tools and never read back: nothing is decided from it, and an edit
// is overwritten.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=smrr,categories=mirrors
// +kubebuilder:printcolumn:name="Rollout",type=string,JSONPath=`.rollout`
// +kubebuilder:printcolumn:name="Part",type=integer,JSONPath=`.part`
// +kubebuilder:printcolumn:name="Parts",type=integer,JSONPath=`.parts`
// +kubebuilder:printcolumn:name="References",type=integer,JSONPath=`.count`
// +kubebuilder:printcolumn:name="Written",type=date,JSONPath=`.writtenAt`
type SafeMirrorReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// rollout is the name of the SafeMirrorRollout.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Rollout string `json:"rollout,omitempty"`

	// planHash is the hash of the plan that the report is about.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PlanHash string `json:"planHash,omitempty"`

	// part is the number of this part, counted from 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Part int32 `json:"part,omitempty"`

	// parts is the number of parts.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Parts int32 `json:"parts,omitempty"`

	// count is the number of references in this part. When omitted, none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Count int32 `json:"count,omitempty"`

	// writtenAt is when this part was written last.
	// +optional
	WrittenAt metav1.Time `json:"writtenAt,omitzero"`

	// references are sorted by image.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=250
	References []ReportedReference `json:"references,omitempty"`

	// unreadSources are what could not be read. They are in the first part only. When omitted,
	// everything was read.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	UnreadSources []UnreadSource `json:"unreadSources,omitempty"`
}

// ReportedReference is one image reference.
type ReportedReference struct {
	// image is the reference as its owners spell it.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// class is Blocking, Advisory or Historical: whether a pod can be started with it now, may be
	// one day, or was.
	// +optional
	Class ReferenceClass `json:"class,omitempty"`

	// change is what the mirror sets change about its pulls.
	// +optional
	Change PullChange `json:"change,omitempty"`

	// state is what is known of it under the planned configuration. When omitted, its pulls do not
	// change.
	// +optional
	State ReferenceState `json:"state,omitempty"`

	// owners are the first of the objects that name it, as Kind namespace/name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=640
	Owners []string `json:"owners,omitempty"`

	// ownerCount is the number of objects that name it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	OwnerCount int32 `json:"ownerCount,omitempty"`

	// pools are the MachineConfigPools for which its pulls change. When omitted, none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=512
	Pools []string `json:"pools,omitempty"`

	// before are the places from which nodes pull it without the mirror sets, in order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	Before []string `json:"before,omitempty"`

	// after are the places with them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	After []string `json:"after,omitempty"`

	// servedBy is the place that served it when it was proven. When omitted, it was not.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ServedBy string `json:"servedBy,omitempty"`

	// digest is the digest of its top manifest there.
	// +optional
	// +kubebuilder:validation:MaxLength=160
	Digest string `json:"digest,omitempty"`

	// provenAt is when it was proven last. When omitted, it was not.
	// +optional
	ProvenAt metav1.Time `json:"provenAt,omitzero"`

	// message says what is wrong, and what to do. When omitted, nothing is.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
}

// UnreadSource is something that could not be read.
type UnreadSource struct {
	// source is what was to be read.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Source string `json:"source,omitempty"`

	// message says why it could not be read.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ReferenceClass says whether a pod can be started with an image reference.
//
//   - Blocking: a pod can be started with it now, and the rollout waits until it is proven.
//   - Advisory: operators and catalogs name it, and nothing starts a pod with it now.
//   - Historical: only an old revision of a workload names it.
//
// +kubebuilder:validation:Enum=Blocking;Advisory;Historical
type ReferenceClass string

// PullChange is what mirror sets change about the pulls of an image reference.
//
//   - Unchanged: nodes pull it from the same places in the same order.
//   - GainsMirror: nodes try a mirror that they did not try before.
//   - OrderChanged: nodes try the same places in another order.
//   - LosesMirror: nodes no longer try one of its mirrors.
//   - NewlyBlocked: nodes no longer fall back to the source.
//   - Unblocked: nodes fall back to the source again.
//   - RewriteError: nodes cannot rewrite the reference, and every pull fails.
//
// +kubebuilder:validation:Enum=Unchanged;GainsMirror;OrderChanged;LosesMirror;NewlyBlocked;Unblocked;RewriteError
type PullChange string

// ReferenceState is what is known of an image reference under the planned configuration.
//
//   - Proven: it is pullable.
//   - Open: it has not been checked yet.
//   - Failing: the last check or copy failed.
//   - Lost: no node could pull it any more.
//   - NoWorse: it cannot be pulled today either.
//   - Accepted: it is lost, and spec.inventory.acceptedRisks names it.
//   - Ignored: nothing starts a pod with it, and the rollout does not wait for it.
//
// +kubebuilder:validation:Enum=Proven;Open;Failing;Lost;NoWorse;Accepted;Ignored
type ReferenceState string

// SafeMirrorReportList is a list of SafeMirrorReports.
//
// +kubebuilder:object:root=true
type SafeMirrorReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []SafeMirrorReport `json:"items"`
}
