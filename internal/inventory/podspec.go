package inventory

import corev1 "k8s.io/api/core/v1"

// images lists every image that a pod of this spec makes a node pull: init containers (native sidecars are among them),
// containers, ephemeral containers and image volumes.
func images(spec *corev1.PodSpec) []string {
	var out []string
	for i := range spec.InitContainers {
		out = append(out, spec.InitContainers[i].Image)
	}
	for i := range spec.Containers {
		out = append(out, spec.Containers[i].Image)
	}
	for i := range spec.EphemeralContainers {
		out = append(out, spec.EphemeralContainers[i].Image)
	}
	for i := range spec.Volumes {
		if v := spec.Volumes[i].Image; v != nil {
			out = append(out, v.Reference)
		}
	}
	return out
}

func (c *Collector) addSpec(spec *corev1.PodSpec, owner Owner, blocking bool) {
	for _, image := range images(spec) {
		c.Add(image, owner, blocking)
	}
}
