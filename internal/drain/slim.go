package drain

import corev1 "k8s.io/api/core/v1"

// Slim is a copy of the pod with what a forecast looks at, and nothing else: of a big cluster tens of thousands are kept.
func Slim(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{}
	out.Namespace, out.Name, out.UID, out.Labels = p.Namespace, p.Name, p.UID, p.Labels
	out.OwnerReferences, out.Finalizers = p.OwnerReferences, p.Finalizers
	out.CreationTimestamp, out.DeletionTimestamp = p.CreationTimestamp, p.DeletionTimestamp
	if v, ok := p.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		out.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: v}
	}
	s := &p.Spec
	out.Spec = corev1.PodSpec{
		NodeName: s.NodeName, NodeSelector: s.NodeSelector, Affinity: s.Affinity, Tolerations: s.Tolerations, Priority: s.Priority,
		PreemptionPolicy: s.PreemptionPolicy, Overhead: s.Overhead, TopologySpreadConstraints: s.TopologySpreadConstraints,
		InitContainers: slimContainers(s.InitContainers), Containers: slimContainers(s.Containers),
	}
	for i := range s.Volumes {
		if v := &s.Volumes[i]; v.PersistentVolumeClaim != nil || v.Image != nil {
			out.Spec.Volumes = append(out.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim, Image: v.Image}})
		}
	}
	out.Status = corev1.PodStatus{Phase: p.Status.Phase, InitContainerStatuses: slimStatuses(p.Status.InitContainerStatuses), ContainerStatuses: slimStatuses(p.Status.ContainerStatuses)}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			out.Status.Conditions = append(out.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason})
		}
	}
	return out
}

func slimContainers(list []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, 0, len(list))
	for i := range list {
		c := &list[i]
		slim := corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, RestartPolicy: c.RestartPolicy,
			Resources: corev1.ResourceRequirements{Requests: c.Resources.Requests}}
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				slim.Ports = append(slim.Ports, corev1.ContainerPort{HostIP: p.HostIP, HostPort: p.HostPort, Protocol: p.Protocol})
			}
		}
		out = append(out, slim)
	}
	return out
}

func slimStatuses(list []corev1.ContainerStatus) []corev1.ContainerStatus {
	out := make([]corev1.ContainerStatus, 0, len(list))
	for i := range list {
		s := &list[i]
		slim := corev1.ContainerStatus{Name: s.Name, ImageID: s.ImageID}
		if s.State.Running != nil {
			slim.State.Running = &corev1.ContainerStateRunning{}
		}
		if w := s.State.Waiting; w != nil {
			slim.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason}
		}
		out = append(out, slim)
	}
	return out
}
