package inventory

import corev1 "k8s.io/api/core/v1"

// replicatedTemplate is a third-party workload that looks like a Deployment: replicas of one pod
// template.
type replicatedTemplate struct {
	Spec struct {
		Replicas *int32                  `json:"replicas,omitempty"`
		Template *corev1.PodTemplateSpec `json:"template,omitempty"`
	} `json:"spec"`
}

func (w *replicatedTemplate) prune() {
	if w.Spec.Template != nil {
		pruneTemplate(w.Spec.Template, withoutEnv)
	}
}

func (w *replicatedTemplate) add(rd *readState, owner Owner) {
	if w.Spec.Template != nil {
		rd.addTemplate(w.Spec.Template, Use{Owner: owner, Class: classByReplicas(w.Spec.Replicas)})
	}
}
