package inventory

import corev1 "k8s.io/api/core/v1"

// templated is a third-party workload that looks like a Deployment: replicas of one pod template.
type templated struct {
	Spec struct {
		Replicas *int32                  `json:"replicas,omitempty"`
		Template *corev1.PodTemplateSpec `json:"template,omitempty"`
	} `json:"spec"`
}

func (w *templated) tidy() {
	if w.Spec.Template != nil {
		tidyTemplate(w.Spec.Template, withoutEnv)
	}
}

func (w *templated) add(rd *reading, owner Owner) {
	if w.Spec.Template != nil {
		rd.addTemplate(w.Spec.Template, Use{Owner: owner, Class: wantedNow(w.Spec.Replicas)})
	}
}
