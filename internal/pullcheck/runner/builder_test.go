package runner

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var shop = pullcheck.Owner{Name: "shop", UID: "uid-shop"}

const (
	namespace    = "safe-mirror-operator"
	wordsUnknown = "rpc error: code = Unknown desc = reading manifest sha256:1 in mirror.local/acme/app: manifest unknown"
)

// probeOf is a probe of a small image of that repository on that node.
func probeOf(node, repository string) pullcheck.Check {
	image := pullcheck.Image{Reference: repository + "@" + fmt.Sprintf("sha256:%064x", 7), Bytes: 1 << 20}
	target := pullcheck.SelectedNode{Group: pullcheck.NodeGroup{Pool: "worker", Architecture: "amd64", Zone: "a"},
		Node: node, FreeBytes: 1 << 40}
	probes, _ := pullcheck.SelectChecks(shop.Name, []pullcheck.Image{image}, []pullcheck.SelectedNode{target},
		pullcheck.DefaultLimits())
	return probes[0]
}

// podOf is the probe's pod, on its node since a minute.
func podOf(p pullcheck.Check, edits ...func(*corev1.Pod)) *corev1.Pod {
	pod := pullcheck.NewPod(p, shop, namespace, pullcheck.DefaultLimits().PullTimeout)
	pod.UID = types.UID("uid-of-" + p.Name)
	pod.Spec.NodeName = p.Node
	for _, edit := range edits {
		edit(pod)
	}
	return pod
}

func waiting(reason, message string) func(*corev1.Pod) {
	return state(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}, "")
}

func completed(p *corev1.Pod) {
	p.Status.Phase = corev1.PodSucceeded
	state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: metav1.NewTime(now.Add(-40 * time.Second)),
	}}, "mirror.local/acme/app@"+fmt.Sprintf("sha256:%064x", 7))(p)
}

func state(s corev1.ContainerState, imageID string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: p.Spec.Containers[0].Name, State: s,
			ImageID: imageID}}
	}
}

// evicted is the outcome of a probe whose pod was evicted a minute ago.
func evicted(p pullcheck.Check) pullcheck.CheckResult {
	return pullcheck.CheckResult{Check: p, Pull: pullcheck.PullResult{State: pullcheck.Evicted, Message: "node " +
		p.Node + ": evicted"}, At: now.Add(-time.Minute), Attempts: 1}
}

const planned = "rendered-1"

// canaryOf is what the first worker with the new configuration is asked for, of so many critical
// images.
func canaryOf(images int) pullcheck.CanarySet { return pullcheck.Canaries(canaryInput(1, images))[0] }

// canaryInput are so many workers with the new configuration, and so many critical images that a
// drain may move to them.
func canaryInput(nodes, images int) pullcheck.CanaryInput {
	critical := make([]pullcheck.CriticalImage, images)
	for i := range critical {
		critical[i] = pullcheck.CriticalImage{
			Reference: fmt.Sprintf("quay.io/acme/router:v%d", i),
			Endpoint:  fmt.Sprintf("mirror.local/acme/router:v%d", i),
			Digest:    fmt.Sprintf("sha256:%064x", 100+i), Bytes: 1 << 20, EvictedPods: true,
		}
	}
	in := pullcheck.CanaryInput{
		Rollout: "shop", Configs: map[string]string{"worker": planned}, Limits: pullcheck.CanaryLimits(), Now: now,
		Critical: func(pullcheck.Node) []pullcheck.CriticalImage { return critical },
	}
	for i := range nodes {
		in.Nodes = append(in.Nodes, updatedNode(fmt.Sprintf("w%d", i)))
	}
	return in
}

// updatedNode is a healthy worker with the new configuration, with 100 GiB of disk of which images
// take 10.
func updatedNode(name string) pullcheck.Node {
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			NodeInfo:    corev1.NodeSystemInfo{Architecture: "amd64"},
			Capacity:    corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("100Gi")},
			Allocatable: corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("90Gi")},
			Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse,
					LastHeartbeatTime: metav1.NewTime(now.Add(-time.Minute))},
			},
			Images: []corev1.ContainerImage{{Names: []string{"quay.io/acme/base:v1"}, SizeBytes: 10 << 30}},
		},
	}
	return pullcheck.Node{Pool: "worker", Object: object,
		State: rollout.Node{Name: name, CurrentConfig: planned, DesiredConfig: planned, State: "Done", Ready: true}}
}
