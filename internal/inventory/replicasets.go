package inventory

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func addReplicaSet(rd *readState, s *appsv1.ReplicaSet) {
	rd.addTemplate(&s.Spec.Template,
		Use{Owner: Owner{"ReplicaSet", s.Namespace, s.Name}, Class: revisionClass(s, s.Spec.Replicas)})
}

func addReplicationController(rd *readState, s *corev1.ReplicationController) {
	if s.Spec.Template == nil {
		return
	}
	rd.addTemplate(s.Spec.Template,
		Use{Owner: Owner{"ReplicationController", s.Namespace, s.Name}, Class: revisionClass(s, s.Spec.Replicas)})
}

// revisionClass: a ReplicaSet of a Deployment that wants no pod is its history, and only a rollback
// would pull. One on its own is a workload that is scaled to zero.
func revisionClass(o metav1.Object, replicas *int32) Class {
	if !hasReplicas(replicas) && metav1.GetControllerOfNoCopy(o) != nil {
		return Historical
	}
	return classByReplicas(replicas)
}
