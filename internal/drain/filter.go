package drain

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FilterAction is what a drain does with a pod of the node.
type FilterAction string

// The fares.
const (
	// ActionIgnore is left alone: a static pod, or one of a DaemonSet.
	ActionIgnore FilterAction = "Stays"
	// ActionEvict is evicted, and whoever owns it starts another one.
	ActionEvict FilterAction = "Moves"
	// ActionEvictUnmanaged is evicted, and nobody starts another one.
	ActionEvictUnmanaged FilterAction = "Lost"
	// ActionTerminating has ended, or is being deleted already: the drain waits until it is gone.
	ActionTerminating FilterAction = "Ends"
)

// FilterActionOf applies the filters of k8s.io/kubectl/pkg/drain with the options of the Machine
// Config Operator: Force, so that pods that nobody owns go as well; IgnoreAllDaemonSets;
// DeleteEmptyDirData. A budget is asked for all that go, also for those that nobody owns. orphan
// tells whether the DaemonSet of the pod is gone; nil when that was not looked at.
func FilterActionOf(p *corev1.Pod, daemonSetGone func(*corev1.Pod) bool) FilterAction {
	owner := metav1.GetControllerOf(p)
	if owner != nil && owner.Kind == "DaemonSet" && owner.APIVersion == "apps/v1" && !IsPodTerminal(p) &&
		(daemonSetGone == nil || !daemonSetGone(p)) {
		return ActionIgnore
	}
	switch {
	case IsMirrorPod(p):
		return ActionIgnore
	case IsPodTerminal(p), p.DeletionTimestamp != nil:
		return ActionTerminating
	case owner == nil, owner.Kind == "DaemonSet" && owner.APIVersion == "apps/v1":
		return ActionEvictUnmanaged
	default:
		return ActionEvict
	}
}

// isMirrorPod: the annotation marks what a kubelet shows of its static pods, whatever its value.
func IsMirrorPod(p *corev1.Pod) bool {
	_, ok := p.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}
