package observe

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remedy"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// waited adds what holds a release whose node is drained: pods that came since and cannot get their image where they are now. It also lets
// no pod pass for one that has never run when an init container of it has (I9).
func (l *Live) waited(ctx context.Context, reader client.Reader, w *World) rollout.Known[[]rollout.Obstacle] {
	obstacles, ok := w.Observed.Obstacles.Get()
	r := w.Observed.Record.Release
	if !ok || (len(obstacles) == 0 && (r == nil || len(r.Nodes) == 0)) {
		return w.Observed.Obstacles
	}
	var pods corev1.PodList
	if err := reader.List(ctx, &pods); err != nil {
		return rollout.Unseen[[]rollout.Obstacle](err.Error())
	}
	for _, ob := range obstacles {
		for i := range ob.Pods {
			p := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return string(p.UID) == ob.Pods[i].UID })
			ob.Pods[i].AllWaiting = ob.Pods[i].AllWaiting && p >= 0 && !remedy.EverRan(&pods.Items[p])
		}
	}
	if r == nil || len(r.Nodes) == 0 || slices.ContainsFunc(obstacles, func(ob rollout.Obstacle) bool { return slices.Contains(r.Nodes, ob.Node) }) {
		return rollout.Seen(obstacles)
	}
	if ob := l.notBack(ctx, reader, *r, pods.Items); len(ob.Pods) > 0 {
		obstacles = append(slices.Clone(obstacles), ob)
	}
	return rollout.Seen(obstacles)
}

// notBack are the pods that a release waits for and that cannot get their image. Of several nodes that were released at once it names the
// first: which of them a pod has left cannot be told any more.
func (l *Live) notBack(ctx context.Context, reader client.Reader, r v1alpha1.ReleaseRecord, pods []corev1.Pod) rollout.Obstacle {
	node := r.Nodes[0]
	ob := rollout.Obstacle{Pool: r.Pool, Node: node, Hindrance: rollout.HindrancePull, Chain: []rollout.Link{
		{Kind: "Node", Name: node, Message: "node " + node + " is drained, and its pods are not back"},
	}}
	for i := range pods {
		p := &pods[i]
		pulls := failedPulls(p)
		if len(pulls) == 0 || p.DeletionTimestamp != nil || p.CreationTimestamp.Before(&r.IntendedAt) || len(ob.Pods) == maxWaited {
			continue
		}
		failing := rollout.FailingPod{
			PodName: rollout.PodName{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}, Node: p.Spec.NodeName, Reason: "ImagePullBackOff",
			AllWaiting: !remedy.EverRan(p), Pulls: pulls,
		}
		if kind, name, err := ownerOf(ctx, reader, p); err == nil && kind != "" {
			failing.Owner = kind + "/" + p.Namespace + "/" + name
		}
		if since := p.CreationTimestamp.UTC(); ob.Since.IsZero() || since.Before(ob.Since) {
			ob.Since = since
		}
		ob.Pods = append(ob.Pods, failing)
		ob.Chain = append(ob.Chain, rollout.Link{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Message: podMessage(p)})
	}
	return ob
}

// maxWaited bounds the pods that are named.
const maxWaited = 6

// failedPulls are the images that the kubelet could not pull for the pod. Why is found out by the proof that follows.
func failedPulls(p *corev1.Pod) []rollout.FailedPull {
	var out []rollout.FailedPull
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range statuses {
			wait := statuses[i].State.Waiting
			if wait == nil || (wait.Reason != "ErrImagePull" && wait.Reason != "ImagePullBackOff") {
				continue
			}
			for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
				if c.Name == statuses[i].Name {
					out = append(out, rollout.FailedPull{Reference: c.Image, Cause: rollout.PullOther, Message: truncate(wait.Message)})
				}
			}
		}
	}
	return out
}
