package kubelet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/pull"
)

const (
	// maxImages is the kubelet's nodeStatusMaxImages, which the Machine Config Operator does not
	// set: the status shows the 50 largest images, not all.
	maxImages = 50
	maxNames  = 5 // of each image
	// reportPeriod is how old a heartbeat in the status may get when nothing else changes.
	reportPeriod = 5 * time.Minute
)

// describe fills in what does not depend on health.
func describe(node *corev1.Node, hostIP string, images []pull.Image) {
	s := &node.Status
	s.Capacity = corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("16"),
		corev1.ResourceMemory:           resource.MustParse("64Gi"),
		corev1.ResourcePods:             resource.MustParse("250"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
	}
	s.Allocatable = s.Capacity.DeepCopy()
	s.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: hostIP},
		{Type: corev1.NodeHostName, Address: node.Name},
	}
	s.NodeInfo.Architecture = "amd64"
	s.NodeInfo.OperatingSystem = "linux"
	s.NodeInfo.OSImage = "Red Hat Enterprise Linux CoreOS (simulated)"
	s.NodeInfo.KernelVersion = "5.14.0"
	s.NodeInfo.KubeletVersion = "v1.33.4"
	s.NodeInfo.ContainerRuntimeVersion = "cri-o://1.33.0"
	s.Images = statusImages(images)
}

// sandbox is the image that pods' sandboxes are made of. Each node has it before it has a pod, so
// that none ever reports no image at all.
var sandbox = corev1.ContainerImage{
	Names:     []string{"quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:5a0d9b0e1c7f4c2f8a6b3d7e9f1042635c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f"},
	SizeBytes: 300 << 10,
}

// statusImages lists the largest images, with digests before tags, as the kubelet does.
func statusImages(images []pull.Image) []corev1.ContainerImage {
	slices.SortStableFunc(images, func(a, b pull.Image) int {
		return cmp.Or(cmp.Compare(b.Size(), a.Size()), cmp.Compare(a.ID, b.ID))
	})
	var all []corev1.ContainerImage
	for _, image := range images[:min(len(images), maxImages)] {
		names := image.RepoDigests()
		for _, name := range image.Names {
			if !strings.Contains(name, "@") {
				names = append(names, name)
			}
		}
		all = append(all, corev1.ContainerImage{Names: names[:min(len(names), maxNames)], SizeBytes: image.Size()})
	}
	if len(all) < maxImages {
		all = append(all, sandbox) // smaller than what comes from a registry
	}
	return all
}

// healthy sets the conditions of a node that is well.
func healthy(node *corev1.Node, now time.Time) {
	ready(node, now, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status")
	condition(node, now, corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory",
		"kubelet has sufficient memory available")
	condition(node, now, corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure",
		"kubelet has no disk pressure")
	condition(node, now, corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID",
		"kubelet has sufficient PID available")
}

func ready(node *corev1.Node, now time.Time, status corev1.ConditionStatus, reason, message string) {
	condition(node, now, corev1.NodeReady, status, reason, message)
}

// condition sets one condition; its transition time changes with the status only.
func condition(node *corev1.Node, now time.Time, kind corev1.NodeConditionType, status corev1.ConditionStatus, reason,
	message string) {
	next := corev1.NodeCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
	at := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
	if at < 0 {
		node.Status.Conditions = append(node.Status.Conditions, next)
		return
	}
	if before := node.Status.Conditions[at]; before.Status == status {
		next.LastTransitionTime = before.LastTransitionTime
	}
	node.Status.Conditions[at] = next
}

// differs tells whether a status is worth a write: heartbeats alone are, every five minutes.
func differs(before, after *corev1.Node, now time.Time) bool {
	a, b := before.Status.DeepCopy(), after.Status.DeepCopy()
	for i, c := range a.Conditions {
		if now.Sub(c.LastHeartbeatTime.Time) > reportPeriod {
			return true
		}
		a.Conditions[i].LastHeartbeatTime = metav1.Time{}
	}
	for i := range b.Conditions {
		b.Conditions[i].LastHeartbeatTime = metav1.Time{}
	}
	return !equality.Semantic.DeepEqual(a, b)
}

func internalIP(node *corev1.Node) string {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}
