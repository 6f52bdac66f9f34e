package drain

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fare is what a drain does with a pod of the node.
type Fare string

// The fares.
const (
	// Stays is left alone: a static pod, or one of a DaemonSet.
	Stays Fare = "Stays"
	// Moves is evicted, and whoever owns it starts another one.
	Moves Fare = "Moves"
	// Lost is evicted, and nobody starts another one.
	Lost Fare = "Lost"
	// Ends has ended, or is being deleted already: the drain waits until it is gone.
	Ends Fare = "Ends"
)

// FareOf applies the filters of k8s.io/kubectl/pkg/drain with the options of the Machine Config Operator: Force, so that pods that
// nobody owns go as well; IgnoreAllDaemonSets; DeleteEmptyDirData. A budget is asked for all that go, also for those that nobody owns.
// orphan tells whether the DaemonSet of the pod is gone; nil when that was not looked at.
func FareOf(p *corev1.Pod, orphan func(*corev1.Pod) bool) Fare {
	owner := metav1.GetControllerOf(p)
	if owner != nil && owner.Kind == "DaemonSet" && owner.APIVersion == "apps/v1" && !Ended(p) && (orphan == nil || !orphan(p)) {
		return Stays
	}
	switch {
	case isMirror(p):
		return Stays
	case Ended(p), p.DeletionTimestamp != nil:
		return Ends
	case owner == nil, owner.Kind == "DaemonSet" && owner.APIVersion == "apps/v1":
		return Lost
	default:
		return Moves
	}
}

// isMirror: the annotation marks what a kubelet shows of its static pods, whatever its value.
func isMirror(p *corev1.Pod) bool {
	_, ok := p.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}
