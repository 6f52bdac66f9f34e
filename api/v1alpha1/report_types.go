package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SafeMirrorReport is one part of what the operator has found out for a SafeMirrorRollout: every image reference of the cluster with
// where it is pulled from before and after, what becomes of it, and the evidence. The parts of one report are named
// <rollout>-<part>, counted from 0, and are deleted with the rollout.
//
// It is written for people and tools and never read back: nothing is decided from it, and an edit is overwritten.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=smrr,categories=mirrors
// +kubebuilder:printcolumn:name="Rollout",type=string,JSONPath=`.rollout`
// +kubebuilder:printcolumn:name="Part",type=string,JSONPath=`.part`
// +kubebuilder:printcolumn:name="References",type=integer,JSONPath=`.count`
// +kubebuilder:printcolumn:name="Written",type=date,JSONPath=`.writtenAt`
type SafeMirrorReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// rollout is the name of the SafeMirrorRollout.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Rollout string `json:"rollout,omitempty"`

	// planDigest identifies the plan that this is about.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PlanDigest string `json:"planDigest,omitempty"`

	// part is the number of this part and of all parts, such as 1/3.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Part string `json:"part,omitempty"`

	// count is the number of references in this part.
	// +optional
	Count int32 `json:"count,omitempty"`

	// writtenAt is when this part was written last.
	// +optional
	WrittenAt metav1.Time `json:"writtenAt,omitzero"`

	// references are sorted by image.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=250
	References []ReportedReference `json:"references,omitempty"`

	// gaps are what could not be seen. They are in the first part only.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Gaps []ReportedGap `json:"gaps,omitempty"`
}

// ReportedReference is one image reference.
type ReportedReference struct {
	// image is the reference as its owners spell it.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// class is Blocking, Historical or Advisory: whether a pod can be started with it now, was, or may be one day.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Class string `json:"class,omitempty"`

	// change is what the mirror sets do to its pulls: Unchanged, GainsMirror, OrderChanged, LosesMirror, NewlyBlocked, Unblocked or
	// RewriteError.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Change string `json:"change,omitempty"`

	// state is what is known of it under the planned configuration: Proven, Open, Failing, Lost, NoWorse, Accepted or Ignored.
	// Empty when its pulls do not change.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	State string `json:"state,omitempty"`

	// owners are the first of the objects that name it, as Kind namespace/name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=640
	Owners []string `json:"owners,omitempty"`

	// ownerCount is how many objects name it.
	// +optional
	OwnerCount int32 `json:"ownerCount,omitempty"`

	// pools are the MachineConfigPools for which its pulls change.
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

	// servedBy is the place that served it when it was proven.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ServedBy string `json:"servedBy,omitempty"`

	// digest is that of its top manifest there.
	// +optional
	// +kubebuilder:validation:MaxLength=160
	Digest string `json:"digest,omitempty"`

	// provenAt is when it was proven last.
	// +optional
	ProvenAt metav1.Time `json:"provenAt,omitzero"`

	// message says what is wrong, and what to do.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
}

// ReportedGap is something that could not be seen.
type ReportedGap struct {
	// source is what was looked for.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Source string `json:"source,omitempty"`

	// message says why it could not be seen.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// SafeMirrorReportList is a list of SafeMirrorReports.
//
// +kubebuilder:object:root=true
type SafeMirrorReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []SafeMirrorReport `json:"items"`
}
