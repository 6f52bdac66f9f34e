// Package v1alpha1 is the API of safe-mirror-operator: the cluster-scoped kind SafeMirrorRollout,
// which declares which mirror sets a cluster is to have and how carefully they reach its nodes, and
// SafeMirrorReport, which holds what was found out for one.
//
// +kubebuilder:object:generate=true
// +groupName=safemirror.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every type in this package.
var GroupVersion = schema.GroupVersion{Group: "safemirror.io", Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers the types of this package.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &SafeMirrorRollout{}, &SafeMirrorRolloutList{}, &SafeMirrorReport{},
		&SafeMirrorReportList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
