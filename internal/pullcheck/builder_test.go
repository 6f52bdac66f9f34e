package pullcheck

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const mib = 1 << 20

var shop = Owner{Name: "shop", UID: "uid-shop"}

const namespace = "safe-mirror-operator"

// node is a healthy node at rest, with 100 GiB of disk of which images take 10.
func node(name, pool string, edits ...func(*Node)) Node {
	n := Node{
		Pool: pool,
		State: rollout.Node{Name: name, CurrentConfig: "rendered-0", DesiredConfig: "rendered-0", State: "Done",
			Ready: true, DesiredDrain: "uncordon-0", LastAppliedDrain: "uncordon-0"},
		Object: &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: "a"}},
			Status: corev1.NodeStatus{
				NodeInfo:    corev1.NodeSystemInfo{Architecture: "amd64"},
				Capacity:    corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("100Gi")},
				Allocatable: corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("90Gi")},
				Conditions: []corev1.NodeCondition{
					{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse,
						LastHeartbeatTime: metav1.NewTime(now.Add(-time.Minute))},
				},
				Images: []corev1.ContainerImage{{Names: []string{"quay.io/acme/base@" + digestOf(1),
					"quay.io/acme/base:v1"}, SizeBytes: 10 << 30}},
			},
		},
	}
	for _, edit := range edits {
		edit(&n)
	}
	return n
}

func zone(z string) func(*Node) {
	return func(n *Node) { n.Object.Labels[corev1.LabelTopologyZone] = z }
}

func taint(key, value string, effect corev1.TaintEffect) func(*Node) {
	return func(n *Node) {
		n.Object.Spec.Taints = append(n.Object.Spec.Taints, corev1.Taint{Key: key, Value: value, Effect: effect})
	}
}

func digestOf(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// image is the n-th image of the repository.
func image(repository string, n int, bytes int64, edits ...func(*Image)) Image {
	i := Image{Reference: repository + "@" + digestOf(n), Bytes: bytes}
	for _, edit := range edits {
		edit(&i)
	}
	return i
}

func critical(i *Image) { i.Critical = true }

func platforms(p ...string) func(*Image) { return func(i *Image) { i.Platforms = p } }

func target(name string, free int64, present ...string) SelectedNode {
	return SelectedNode{Group: NodeGroup{Pool: "worker", Architecture: "amd64", Zone: "a"}, Node: name, FreeBytes: free,
		PresentDigests: present}
}

// checkOf is a probe of a small image of that repository on that node.
func checkOf(node, repository string) Check {
	checks, _ := SelectChecks(shop.Name, []Image{image(repository, 7, mib)}, []SelectedNode{target(node, 1<<40)},
		DefaultLimits())
	return checks[0]
}

// podOf is the probe's pod, on its node since a minute, its sandbox ready since ten seconds later.
func podOf(p Check, edits ...func(*corev1.Pod)) *corev1.Pod {
	pod := NewPod(p, shop, namespace, DefaultLimits().PullTimeout)
	pod.UID = types.UID("uid-of-" + p.Name)
	pod.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute))
	pod.Spec.NodeName = p.Node
	started := metav1.NewTime(now.Add(-time.Minute))
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, StartTime: &started, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(now.Add(-50 * time.Second))},
	}}
	waiting("ContainerCreating", "")(pod)
	for _, edit := range edits {
		edit(pod)
	}
	return pod
}

func state(s corev1.ContainerState, imageID string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: s, ImageID: imageID}}
	}
}

func waiting(reason, message string) func(*corev1.Pod) {
	return state(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}, "")
}

func completed(p *corev1.Pod) {
	p.Status.Phase = corev1.PodSucceeded
	state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: metav1.NewTime(now.Add(-40 * time.Second)),
	}}, "mirror.local/acme/app@"+digestOf(7))(p)
}

// startedAgo makes the pod older, its sandbox and all.
func startedAgo(ago time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		at := metav1.NewTime(now.Add(-ago))
		p.CreationTimestamp, p.Status.StartTime = at, &at
		for i := range p.Status.Conditions {
			p.Status.Conditions[i].LastTransitionTime = at
		}
	}
}

func terminating(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }
