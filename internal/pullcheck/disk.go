package pullcheck

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// unpackFactor is how much more room an image takes on a disk than on the wire: its layers are
// stored uncompressed, and while they are unpacked the compressed ones are there as well.
const unpackFactor = 2

// maxHeartbeatAge is how old the kubelet's word on its disk may be: it writes at least every five
// minutes (nodeStatusReportFrequency in the MCO's kubelet templates), and one write may get lost.
const maxHeartbeatAge = 10 * time.Minute

// freeDiskBytes is how many bytes probes may take on the node's disk, or why nobody knows:
//
//	allocatable ephemeral-storage   85 GiB of a disk of 100 GiB
//	images that the node reports  - 30 GiB
//	15 % of the disk              - 15 GiB
//	                                40 GiB
//
// A node reports its 50 largest images only (nodeStatusMaxImages) and nothing of logs and volumes,
// so this is an upper bound. The kubelet's own word makes up for that: without disk pressure at
// least 15 % of the images' file system are free by default, also where that is another disk than
// the one reported. Should a probe cross that line all the same, the kubelet first deletes images
// that no container uses, the probe's among them, and evicts pods only when that was not enough
// (pkg/kubelet/eviction).
func freeDiskBytes(n *corev1.Node, headroom float64, now time.Time) (int64, string) {
	i := slices.IndexFunc(n.Status.Conditions,
		func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeDiskPressure })
	if i < 0 {
		return 0, "does not report whether its disk is under pressure"
	}
	if c := n.Status.Conditions[i]; c.Status != corev1.ConditionFalse {
		return 0, fmt.Sprintf("has the condition DiskPressure %s: %s", c.Status, c.Message)
	} else if now.Sub(c.LastHeartbeatTime.Time) > maxHeartbeatAge {
		return 0, "has not reported on its disk since " + c.LastHeartbeatTime.UTC().Format(time.RFC3339)
	}
	capacity, allocatable := n.Status.Capacity.StorageEphemeral().Value(),
		n.Status.Allocatable.StorageEphemeral().Value()
	if capacity <= 0 || allocatable <= 0 {
		return 0, "does not report the size of its disk (ephemeral-storage)"
	}
	if len(n.Status.Images) == 0 {
		return 0, "does not report its images, so how full its disk is cannot be told"
	}
	used := int64(0)
	for _, image := range n.Status.Images {
		used += image.SizeBytes
	}
	free := allocatable - used - int64(headroom*float64(capacity))
	if free <= 0 {
		return 0, fmt.Sprintf("has too little room: its images take %s of %s, and %.0f %% of %s have to stay free",
			formatBytes(used), formatBytes(allocatable), headroom*100, formatBytes(capacity))
	}
	return free, ""
}

// presentDigests are the digests in the names of the images that the node reports.
func presentDigests(n *corev1.Node) []string {
	var out []string
	for _, image := range n.Status.Images {
		for _, name := range image.Names {
			if _, digest, ok := strings.Cut(name, "@"); ok {
				out = append(out, digest)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// formatBytes is a number of bytes for people.
func formatBytes(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 10<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	default:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
}
