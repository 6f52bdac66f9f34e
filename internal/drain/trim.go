package drain

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodTrimmer makes copies of pods with what a forecast looks at, and nothing else: of a big cluster
// tens of thousands are kept. What the pods of one owner have in common they share, so the copies
// are not to be written to.
type PodTrimmer struct{ first map[types.UID]*corev1.Pod }

// NewPodTrimmer returns one that has seen no pod.
func NewPodTrimmer() *PodTrimmer { return &PodTrimmer{first: map[types.UID]*corev1.Pod{}} }

// Trim is the copy of the pod.
func (s *PodTrimmer) Trim(p *corev1.Pod) *corev1.Pod {
	out := trimPod(p)
	owner := metav1.GetControllerOfNoCopy(out)
	if owner == nil {
		return out
	}
	first, known := s.first[owner.UID]
	if !known {
		s.first[owner.UID] = out
		return out
	}
	share(&out.Labels, first.Labels)
	share(&out.OwnerReferences, first.OwnerReferences)
	share(&out.Spec.NodeSelector, first.Spec.NodeSelector)
	share(&out.Spec.Affinity, first.Spec.Affinity)
	share(&out.Spec.Tolerations, first.Spec.Tolerations)
	share(&out.Spec.TopologySpreadConstraints, first.Spec.TopologySpreadConstraints)
	share(&out.Spec.InitContainers, first.Spec.InitContainers)
	share(&out.Spec.Containers, first.Spec.Containers)
	share(&out.Status.Conditions, first.Status.Conditions)
	share(&out.Status.InitContainerStatuses, first.Status.InitContainerStatuses)
	share(&out.Status.ContainerStatuses, first.Status.ContainerStatuses)
	return out
}

// share lets go of what is the same as another pod has.
func share[T any](own *T, other T) {
	if reflect.DeepEqual(*own, other) {
		*own = other
	}
}

func trimPod(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{}
	out.Namespace, out.Name, out.UID, out.Labels = p.Namespace, p.Name, p.UID, p.Labels
	out.OwnerReferences, out.Finalizers = p.OwnerReferences, p.Finalizers
	out.CreationTimestamp, out.DeletionTimestamp = p.CreationTimestamp, p.DeletionTimestamp
	if v, ok := p.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		out.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: v}
	}
	s := &p.Spec
	out.Spec = corev1.PodSpec{
		NodeName: s.NodeName, NodeSelector: s.NodeSelector, Affinity: s.Affinity, Tolerations: s.Tolerations,
		Priority:         s.Priority,
		PreemptionPolicy: s.PreemptionPolicy, Overhead: s.Overhead,
		TopologySpreadConstraints: s.TopologySpreadConstraints,
		InitContainers:            trimContainers(s.InitContainers), Containers: trimContainers(s.Containers),
	}
	for i := range s.Volumes {
		if v := &s.Volumes[i]; v.PersistentVolumeClaim != nil || v.Image != nil {
			out.Spec.Volumes = append(out.Spec.Volumes,
				corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim, Image: v.Image}})
		}
	}
	out.Status = corev1.PodStatus{Phase: p.Status.Phase,
		InitContainerStatuses: trimStatuses(p.Status.InitContainerStatuses),
		ContainerStatuses:     trimStatuses(p.Status.ContainerStatuses)}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			out.Status.Conditions = append(out.Status.Conditions,
				corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason})
		}
	}
	return out
}

func trimContainers(list []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, 0, len(list))
	for i := range list {
		c := &list[i]
		trimmed := corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy,
			RestartPolicy: c.RestartPolicy,
			Resources:     corev1.ResourceRequirements{Requests: c.Resources.Requests}}
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				trimmed.Ports = append(trimmed.Ports,
					corev1.ContainerPort{HostIP: p.HostIP, HostPort: p.HostPort, Protocol: p.Protocol})
			}
		}
		out = append(out, trimmed)
	}
	return out
}

func trimStatuses(list []corev1.ContainerStatus) []corev1.ContainerStatus {
	out := make([]corev1.ContainerStatus, 0, len(list))
	for i := range list {
		s := &list[i]
		trimmed := corev1.ContainerStatus{Name: s.Name, ImageID: s.ImageID}
		if s.State.Running != nil {
			trimmed.State.Running = &corev1.ContainerStateRunning{}
		}
		if w := s.State.Waiting; w != nil {
			trimmed.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason}
		}
		out = append(out, trimmed)
	}
	return out
}
