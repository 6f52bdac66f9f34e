package inventory

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var deploymentConfigKind = schema.GroupVersionKind{Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}

type deploymentConfig struct {
	Spec struct {
		Replicas *int32                  `json:"replicas,omitempty"`
		Template *corev1.PodTemplateSpec `json:"template,omitempty"`
	} `json:"spec"`
}

func (d *deploymentConfig) tidy() {
	if d.Spec.Template != nil {
		tidyTemplate(d.Spec.Template, withoutEnv)
	}
}

// addDeploymentConfig adds the template that its next ReplicationController gets.
func addDeploymentConfig(rd *reading, owner Owner, d *deploymentConfig) {
	if d.Spec.Template != nil {
		rd.addTemplate(d.Spec.Template, Use{Owner: owner, Class: wantedNow(d.Spec.Replicas)})
	}
}
