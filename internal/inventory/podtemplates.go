package inventory

import corev1 "k8s.io/api/core/v1"

// addPodTemplate adds a template that nothing starts by itself.
func addPodTemplate(rd *readState, t *corev1.PodTemplate) {
	rd.addTemplate(&t.Template, Use{Owner: Owner{"PodTemplate", t.Namespace, t.Name}, Class: Advisory})
}
