package inventory

import appsv1 "k8s.io/api/apps/v1"

// addDeployment adds what its pods pull, and what its environment names when it is an operator.
func addDeployment(rd *reading, d *appsv1.Deployment) {
	owner := Owner{"Deployment", d.Namespace, d.Name}
	rd.addTemplate(&d.Spec.Template, Use{Owner: owner, Class: wantedNow(d.Spec.Replicas)})
	rd.addRelated(&d.Spec.Template.Spec, owner)
}

// wantedNow is the class of a workload by its number of pods: at zero somebody has to scale it up first.
func wantedNow(replicas *int32) Class {
	if wanted(replicas) {
		return Blocking
	}
	return Advisory
}

// wanted: an omitted replica count means one.
func wanted(replicas *int32) bool { return replicas == nil || *replicas > 0 }
