package drain

import (
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

// PreventsScheduling tells whether the taint keeps pods without a toleration from coming to a node.
func PreventsScheduling(t *corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
}

// ToleratesTaint tells whether the pod may come to a node with the taint.
func ToleratesTaint(p *corev1.Pod, t *corev1.Taint) bool { return Tolerates(p.Spec.Tolerations, t) }

// Tolerates tells whether the tolerations let a pod come to a node with the taint, as the scheduler
// does.
func Tolerates(list []corev1.Toleration, t *corev1.Taint) bool {
	return scheduling.TolerationsTolerateTaint(klog.Logger{}, list, t, false)
}
