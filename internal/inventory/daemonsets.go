package inventory

import appsv1 "k8s.io/api/apps/v1"

// addDaemonSet adds what every fresh node pulls, the pod network among it. One that matches no node
// now may match the next.
func addDaemonSet(rd *readState, d *appsv1.DaemonSet) {
	rd.addTemplate(&d.Spec.Template,
		Use{Owner: Owner{"DaemonSet", d.Namespace, d.Name}, Class: Blocking, NodeStart: true})
}
