package observe

import (
	"cmp"
	"context"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// unreadyWorkloads lists the controllers that have fewer ready pods than they want, with what their
// youngest unready pod waits for. released are the nodes of the release in progress, if any.
func unreadyWorkloads(ctx context.Context, r client.Reader, released []string) rollout.Value[[]rollout.Workload] {
	pods, err := podsByController(ctx, r)
	if err != nil {
		return rollout.Unknown[[]rollout.Workload](err.Error())
	}
	out := []rollout.Workload{}
	add := func(kind string, o metav1.ObjectMeta, desired, ready int32, owners ...types.UID) {
		if ready >= desired {
			return
		}
		w := rollout.Workload{Kind: kind, Namespace: o.Namespace, Name: o.Name, Desired: desired, Ready: ready}
		present := int32(0)
		for _, uid := range owners {
			for _, p := range pods[uid] {
				present++
				describeUnreadyPod(&w, p, released)
			}
		}
		w.MissingPods = present < desired
		out = append(out, w)
	}
	for _, read := range []func(context.Context, client.Reader,
		func(string, metav1.ObjectMeta, int32, int32, ...types.UID)) error{
		deployments, replicationControllers, statefulSets, daemonSets,
	} {
		if err := read(ctx, r, add); err != nil {
			return rollout.Unknown[[]rollout.Workload](err.Error())
		}
	}
	slices.SortFunc(out, func(a, b rollout.Workload) int { return cmp.Compare(a.Key(), b.Key()) })
	return rollout.Known(out)
}

type addWorkload = func(kind string, o metav1.ObjectMeta, desired, ready int32, owners ...types.UID)

// deployments are looked at together with the ReplicaSets through which they own their pods. A
// ReplicaSet without a Deployment is a workload of its own, whatever else may own it.
func deployments(ctx context.Context, r client.Reader, add addWorkload) error {
	var sets appsv1.ReplicaSetList
	if err := r.List(ctx, &sets); err != nil {
		return err
	}
	byOwner := map[types.UID][]types.UID{}
	for i := range sets.Items {
		s := &sets.Items[i]
		if owner := metav1.GetControllerOf(s); owner != nil && owner.Kind == "Deployment" {
			byOwner[owner.UID] = append(byOwner[owner.UID], s.UID)
			continue
		}
		add("ReplicaSet", s.ObjectMeta, replicasOrOne(s.Spec.Replicas), s.Status.ReadyReplicas, s.UID)
	}
	var list appsv1.DeploymentList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		d := &list.Items[i]
		add("Deployment", d.ObjectMeta, replicasOrOne(d.Spec.Replicas), d.Status.ReadyReplicas, byOwner[d.UID]...)
	}
	return nil
}

// replicationControllers are those of DeploymentConfigs, above all. One of the past wants no pods.
func replicationControllers(ctx context.Context, r client.Reader, add addWorkload) error {
	var list corev1.ReplicationControllerList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		add("ReplicationController", s.ObjectMeta, replicasOrOne(s.Spec.Replicas), s.Status.ReadyReplicas, s.UID)
	}
	return nil
}

func statefulSets(ctx context.Context, r client.Reader, add addWorkload) error {
	var list appsv1.StatefulSetList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		add("StatefulSet", s.ObjectMeta, replicasOrOne(s.Spec.Replicas), s.Status.ReadyReplicas, s.UID)
	}
	return nil
}

func daemonSets(ctx context.Context, r client.Reader, add addWorkload) error {
	var list appsv1.DaemonSetList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		d := &list.Items[i]
		add("DaemonSet", d.ObjectMeta, d.Status.DesiredNumberScheduled, d.Status.NumberReady, d.UID)
	}
	return nil
}

func podsByController(ctx context.Context, r client.Reader) (map[types.UID][]*corev1.Pod, error) {
	var list corev1.PodList
	if err := r.List(ctx, &list); err != nil {
		return nil, err
	}
	out := map[types.UID][]*corev1.Pod{}
	for i := range list.Items {
		p := &list.Items[i]
		owner := metav1.GetControllerOf(p)
		if owner == nil || p.DeletionTimestamp != nil || drain.IsPodTerminal(p) {
			continue
		}
		out[owner.UID] = append(out[owner.UID], p)
	}
	return out, nil
}

// describeUnreadyPod notes the youngest pod that is not ready, of several the first by name: lists
// come in any order, and what is said of the same world has to be the same.
func describeUnreadyPod(w *rollout.Workload, p *corev1.Pod, released []string) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return
		}
	}
	w.OnNode = w.OnNode || slices.Contains(released, p.Spec.NodeName)
	message, age := podMessage(p), p.CreationTimestamp.Compare(w.NewestUnreadyAt)
	if w.Message != "" && (age < 0 || (age == 0 && message > w.Message)) {
		return
	}
	w.NewestUnreadyAt, w.Message = p.CreationTimestamp.Time, message
}

// podMessage says where the pod is and what it waits for.
func podMessage(p *corev1.Pod) string {
	where := "pod " + p.Name
	if p.Spec.NodeName != "" {
		where += " on node " + p.Spec.NodeName
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if w := list[i].State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" {
				return where + ": " + w.Reason + " " + truncate(w.Message)
			}
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return where + ": not scheduled: " + truncate(c.Message)
		}
	}
	return where + " is not ready"
}

func truncate(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func replicasOrOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
