package inventory

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var argoRolloutKind = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"}

type argoRollout struct {
	Spec struct {
		Replicas *int32                  `json:"replicas,omitempty"`
		Template *corev1.PodTemplateSpec `json:"template,omitempty"`
	} `json:"spec"`
}

func (r *argoRollout) tidy() {
	if r.Spec.Template != nil {
		tidyTemplate(r.Spec.Template, withoutEnv)
	}
}

// addArgoRollout adds the template of a Rollout of Argo. One that takes it from a Deployment (workloadRef) has ReplicaSets of its own,
// which are read.
func addArgoRollout(rd *reading, owner Owner, r *argoRollout) {
	owner.Kind = "Argo " + owner.Kind
	if r.Spec.Template != nil {
		rd.addTemplate(r.Spec.Template, Use{Owner: owner, Class: wantedNow(r.Spec.Replicas)})
	}
}
