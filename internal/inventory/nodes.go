package inventory

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
)

// Annotations by which a node's daemon and the MCO's controllers tell the operating system image of
// a node that does not run the release's own (pkg/daemon/constants of the MCO).
const (
	currentImageAnnotation = "machineconfiguration.openshift.io/currentImage"
	desiredImageAnnotation = "machineconfiguration.openshift.io/desiredImage"
)

// addNode remembers the node's platform, and adds the operating system image that it is told to
// run.
func addNode(rd *readState, n *corev1.Node) {
	if arch := n.Status.NodeInfo.Architecture; arch != "" {
		rd.platforms[n.Name] = []string{cmp.Or(n.Status.NodeInfo.OperatingSystem, "linux") + "/" + arch}
	}
	use := Use{Owner: Owner{Kind: "Node", Name: n.Name}, Class: Blocking, Platforms: rd.platforms[n.Name]}
	for _, a := range []string{currentImageAnnotation, desiredImageAnnotation} {
		use.Image = n.Annotations[a]
		rd.c.Add(use)
	}
}
