package inventory

import appsv1 "k8s.io/api/apps/v1"

// addDeployment adds what its pods pull, and what its environment names when it is an operator.
func addDeployment(rd *readState, d *appsv1.Deployment) {
	owner := Owner{"Deployment", d.Namespace, d.Name}
	rd.addTemplate(&d.Spec.Template, Use{Owner: owner, Class: classByReplicas(d.Spec.Replicas)})
	rd.addRelated(&d.Spec.Template.Spec, owner)
}

// classByReplicas is the class of a workload by its number of pods: at zero somebody has to scale
// it up first.
func classByReplicas(replicas *int32) Class {
	if hasReplicas(replicas) {
		return Blocking
	}
	return Advisory
}

// wanted: an omitted replica count means one.
func hasReplicas(replicas *int32) bool { return replicas == nil || *replicas > 0 }
