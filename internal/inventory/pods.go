package inventory

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// addPod adds a pod, the ground truth after every mutating webhook. One that has ended pulls
// nothing any more. Static pods are among them, as the mirror pods that their kubelets show.
func addPod(rd *readState, p *corev1.Pod) {
	if rd.o.Skip != nil && rd.o.Skip(p) {
		return
	}
	use := Use{Owner: Owner{"Pod", p.Namespace, p.Name}, Class: Blocking}
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		use.Class = Historical
	}
	use.Platforms = platforms(&p.Spec)
	if on := rd.platforms[p.Spec.NodeName]; on != nil {
		use.Platforms = on
	}
	use.PullSecrets = pullSecrets(p.Spec.ImagePullSecrets, p.Namespace)
	for _, c := range containers(&p.Spec) {
		use.Image, use.AlwaysPull, use.Running = c.image, c.always, runningDigest(&p.Status, c.name)
		rd.c.Add(use)
	}
}

// runningDigest is the digest in the imageID of a running container, as in
// quay.io/acme/shop@sha256:…; the repository before it may never have existed, and an imageID
// without one is the ID of the image on that node and of no use elsewhere. Container names are
// unique in a pod.
func runningDigest(s *corev1.PodStatus, name string) string {
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses,
		s.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name != name || list[i].State.Running == nil {
				continue
			}
			if at := strings.LastIndex(list[i].ImageID, "@"); at >= 0 {
				return list[i].ImageID[at+1:]
			}
		}
	}
	return ""
}
