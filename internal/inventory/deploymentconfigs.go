package inventory

import "k8s.io/apimachinery/pkg/runtime/schema"

var deploymentConfigKind = schema.GroupVersionKind{Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}

// addDeploymentConfig adds the template that its next ReplicationController gets.
func addDeploymentConfig(rd *readState, owner Owner, d *replicatedTemplate) { d.add(rd, owner) }
