package observe

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// feasibleNodes are the nodes on which another pod of an owner could start.
type feasibleNodes map[string][]string // by owner, as FailingPod names it

// feasibleNodes sifts the nodes for each owner: Ready, schedulable, selected, tolerated, without a
// pod of the same owner or one that has the same host port, and with the images: cached, or pulled
// from where they were pulled before. It is a sieve and not a scheduler. Should a pod find no place
// after all, it waits as it did before, and the remedy is undone.
func (observer *Observer) feasibleNodes(ctx context.Context, reader client.Reader, obs *Observation,
	blocked rollout.BlockedDrain) (feasibleNodes, error) {
	var nodes corev1.NodeList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&nodes, &pods} {
		if err := reader.List(ctx, list); err != nil {
			return nil, err
		}
	}
	onPreviousConfig := nodesOnPreviousConfig(obs)
	out := feasibleNodes{}
	for _, failing := range blocked.Pods {
		i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return string(p.UID) == failing.UID })
		if i < 0 || out[failing.Owner] != nil {
			continue
		}
		out[failing.Owner] = []string{}
		unobtainable := copyEnabled(obs.Rollout) &&
			slices.ContainsFunc(failing.Pulls, func(pull rollout.FailedPull) bool { return pull.ProofError != "" })
		for n := range nodes.Items {
			node := &nodes.Items[n]
			if node.Name == failing.Node || node.Name == blocked.Node || !fits(&pods.Items[i], node, pods.Items) {
				continue
			}
			// When not even the operator can get the image from anywhere, only a node that has it
			// helps. One that only verifies has not asked the source.
			if imagesPresent(&pods.Items[i], node) || (onPreviousConfig[node.Name] && !unobtainable) {
				out[failing.Owner] = append(out[failing.Owner], node.Name)
			}
		}
	}
	return out, nil
}

// copyEnabled tells whether the operator reads the sources.
func copyEnabled(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Mirroring.Mode != v1alpha1.VerifyOnly
}

// nodesOnPreviousConfig are those that run what their pool had before, and pull from where they did
// before.
func nodesOnPreviousConfig(obs *Observation) map[string]bool {
	out := map[string]bool{}
	pools, _ := obs.Observed.Pools.Get()
	for _, p := range pools {
		for _, n := range p.Nodes {
			out[n.Name] = n.CurrentConfig != p.Rendered && n.CurrentConfig == n.DesiredConfig
		}
	}
	return out
}

func fits(p *corev1.Pod, n *corev1.Node, pods []corev1.Pod) bool {
	if forecast.FilterReason(p, n) != "" || n.Spec.Unschedulable {
		return false
	}
	owner := metav1.GetControllerOf(p)
	return !slices.ContainsFunc(pods, func(other corev1.Pod) bool {
		if other.Spec.NodeName != n.Name || drain.IsPodTerminal(&other) {
			return false
		}
		otherOwner := metav1.GetControllerOf(&other)
		return (owner != nil && otherOwner != nil && owner.UID == otherOwner.UID) || forecast.SharePort(p, &other)
	})
}

// imagesPresent tells whether the node says that it has every image of the pod. It lists its 50
// largest, so that it may have one and not say so.
func imagesPresent(p *corev1.Pod, n *corev1.Node) bool {
	has := func(image string) bool {
		return slices.ContainsFunc(n.Status.Images,
			func(i corev1.ContainerImage) bool { return slices.Contains(i.Names, image) })
	}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].ImagePullPolicy == corev1.PullAlways || !has(list[i].Image) {
				return false
			}
		}
	}
	return true
}
