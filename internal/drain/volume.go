package drain

import corev1 "k8s.io/api/core/v1"

// Volumes are the claims and volumes of a cluster. The zero value knows none.
type Volumes struct {
	// Known is true when both were read.
	Known  bool
	Claims map[string]*corev1.PersistentVolumeClaim // by namespace/name
	// Volumes are by name.
	Volumes map[string]*corev1.PersistentVolume
}
