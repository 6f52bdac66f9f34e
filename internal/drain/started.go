package drain

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// HasStarted tells whether any container of the pod runs, or has ever run: only one that never has
// is ever deleted (I9). A pod in phase Pending may have running containers beside the one that
// waits for its image, and an init container that has done its work has run, too.
func HasStarted(p *corev1.Pod) bool {
	ran := func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Running != nil ||
			s.LastTerminationState.Terminated != nil || s.RestartCount > 0
	}
	return p.Status.Phase != corev1.PodPending ||
		slices.ContainsFunc(p.Status.InitContainerStatuses, ran) ||
		slices.ContainsFunc(p.Status.ContainerStatuses, ran) ||
		slices.ContainsFunc(p.Status.EphemeralContainerStatuses, ran)
}
