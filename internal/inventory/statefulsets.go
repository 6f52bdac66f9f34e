package inventory

import appsv1 "k8s.io/api/apps/v1"

func addStatefulSet(rd *readState, s *appsv1.StatefulSet) {
	rd.addTemplate(&s.Spec.Template,
		Use{Owner: Owner{"StatefulSet", s.Namespace, s.Name}, Class: classByReplicas(s.Spec.Replicas)})
}
