package kubelet

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/kubelet/status"
	podutil "k8s.io/kubernetes/pkg/util/pod"
)

// status is the pod's status as the kubelet would write it now.
func (m *podMachine) status(now time.Time, pod *corev1.Pod, hostIP string, podIP func() string) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	s.InitContainerStatuses = m.statuses(m.inits, now, pod)
	s.ContainerStatuses = m.statuses(m.apps, now, pod)
	slices.SortFunc(s.ContainerStatuses, func(a, b corev1.ContainerStatus) int { return cmp.Compare(a.Name, b.Name) })
	if !terminal(s.Phase) { // nothing leads out of those
		s.Phase = m.phase(pod)
	}
	m.conditions(&s, now, pod)
	if s.StartTime == nil {
		s.StartTime = &metav1.Time{Time: now}
	}
	s.HostIP, s.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
	if s.PodIP == "" {
		s.PodIP = hostIP
		if !pod.Spec.HostNetwork {
			s.PodIP = podIP()
		}
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	return s
}

func (m *podMachine) statuses(containers []*container, now time.Time, pod *corev1.Pod) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for _, c := range containers {
		started := c.step == running
		s := corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.imageID, ContainerID: c.id,
			RestartCount: c.restarts, Started: &started, Ready: m.ready(c, now, pod),
		}
		s.State, s.LastTerminationState.Terminated = m.state(c)
		all = append(all, s)
	}
	return all
}

// state is the state of a container, and its run before.
func (m *podMachine) state(c *container) (corev1.ContainerState, *corev1.ContainerStateTerminated) {
	reason, message := m.waitingReason(c)
	switch {
	case c.step == running:
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.startedAt)}}, c.last
	case c.step == exited && c.reason == "":
		return corev1.ContainerState{Terminated: c.terminated()}, c.last
	case c.step == exited: // in back-off
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			c.terminated()
	case c.last != nil && c.reason == "": // on its way to the next run, and nobody has noticed
		return corev1.ContainerState{Terminated: c.last}, nil
	default:
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}, c.last
	}
}

// waitingReason is the reason of a container that does not run: its own, that of an image volume,
// or the kubelet's general one.
func (m *podMachine) waitingReason(c *container) (reason, message string) {
	if c.reason != "" {
		return c.reason, c.message
	}
	for _, v := range m.volumes {
		if v.reason != "" {
			return v.reason, v.message
		}
	}
	if len(m.inits) > 0 {
		return "PodInitializing", ""
	}
	return "ContainerCreating", ""
}

// ready is the readiness that a probe would find. A pod that is being deleted is not ready at once.
func (m *podMachine) ready(c *container, now time.Time, pod *corev1.Pod) bool {
	if c.kind == initial {
		return c.step == exited && c.exitCode == 0
	}
	s := behaviorOf(pod, m.scale)
	return c.step == running && pod.DeletionTimestamp == nil && s.ready && !now.Before(c.startedAt.Add(s.readyAfter))
}

// phase is the kubelet's rule for the phase of a pod. The one that surprises: a pod with one
// container that never ran is Pending, even if the others run. For example, A Running and B in
// ImagePullBackOff is Pending, and A crash-looping and B Running is Running.
func (m *podMachine) phase(pod *corev1.Pod) corev1.PodPhase {
	neverRan := func(c *container) bool { return !c.ran }
	waiting := slices.ContainsFunc(m.apps, neverRan) || slices.ContainsFunc(m.inits, neverRan)
	live := slices.ContainsFunc(m.apps, func(c *container) bool { return m.isLive(c, pod) })
	failed := slices.ContainsFunc(m.apps, func(c *container) bool { return c.ran && c.exitCode != 0 })
	switch {
	case waiting && (!m.stopped || every(m.all(), neverRan)):
		return corev1.PodPending
	case live:
		return corev1.PodRunning
	case failed || waiting:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

// isLive tells whether a container that has run runs, or will run again.
func (m *podMachine) isLive(c *container, pod *corev1.Pod) bool {
	return c.ran && !m.stopped && (c.step != exited || m.restarts(c, pod))
}

// conditions replaces the conditions that the kubelet owns; the others belong to the scheduler, the
// eviction API and the node lifecycle controller, and stay.
func (m *podMachine) conditions(s *corev1.PodStatus, now time.Time, pod *corev1.Pod) {
	all := append(slices.Clone(s.InitContainerStatuses), s.ContainerStatuses...)
	sandbox := corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}
	if terminal(s.Phase) || m.stopped {
		sandbox.Status = corev1.ConditionFalse
	}
	for _, c := range []corev1.PodCondition{
		sandbox,
		status.GeneratePodInitializedCondition(pod, &pod.Status, all, s.Phase),
		status.GeneratePodReadyCondition(pod, &pod.Status, s.Conditions, all, s.Phase),
		status.GenerateContainersReadyCondition(pod, &pod.Status, all, s.Phase),
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	} {
		c.LastTransitionTime = since(s.Conditions, c, now)
		s.Conditions = podutil.ReplaceOrAppendPodCondition(s.Conditions, &c)
	}
}

// since is when a condition got the status that it has.
func since(conditions []corev1.PodCondition, c corev1.PodCondition, now time.Time) metav1.Time {
	for _, old := range conditions {
		if old.Type == c.Type && old.Status == c.Status {
			return old.LastTransitionTime
		}
	}
	return metav1.NewTime(now)
}
