package whatif

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// placed is a reader that takes note of pods as they come by. A big cluster has tens of thousands, and they are listed for the inventory
// anyway.
type placed struct {
	client.Reader

	// whole is true for readers that hand out lists in one part, as caches do.
	whole bool

	budgets   []policyv1.PodDisruptionBudget
	evictions map[string]int // by node
	// kept are the pods of namespaces with budgets.
	kept map[string][]placedPod
	// hosts are the nodes that run the machine-config-operator.
	hosts []string
}

// part is how many objects are held at a time.
const part = 1000

// placedPod is what matters of a pod when its node is drained.
type placedPod struct {
	node        string
	labels      map[string]string
	selector    map[string]string
	tolerations []corev1.Toleration
	// alone is true when two of them cannot be on one node.
	alone bool
}

// placing reads the budgets, and lets the pods come by.
func (f *Foresight) placing(ctx context.Context, r client.Reader) *placed {
	out := &placed{Reader: r, evictions: map[string]int{}, kept: map[string][]placedPod{}}
	var budgets policyv1.PodDisruptionBudgetList
	if err := r.List(ctx, &budgets, client.UnsafeDisableDeepCopy); err != nil {
		f.gap(Gap{Source: "PodDisruptionBudget", Why: oneLine(err)})
	}
	out.budgets = budgets.Items
	for i := range out.budgets {
		out.kept[out.budgets[i].Namespace] = nil
	}
	return out
}

func (p *placed) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if !p.whole {
		opts = append([]client.ListOption{client.Limit(part)}, opts...)
	}
	err := p.Reader.List(ctx, list, opts...)
	if pods, ok := list.(*corev1.PodList); ok && err == nil {
		for i := range pods.Items {
			p.note(&pods.Items[i])
		}
	}
	return err
}

func (p *placed) note(pod *corev1.Pod) {
	if pod.Labels["k8s-app"] == "machine-config-operator" && pod.Spec.NodeName != "" {
		p.hosts = append(p.hosts, pod.Spec.NodeName)
	}
	if !evicted(pod) {
		return
	}
	p.evictions[pod.Spec.NodeName]++
	if have, ok := p.kept[pod.Namespace]; ok {
		p.kept[pod.Namespace] = append(have, placedPod{
			node: pod.Spec.NodeName, labels: pod.Labels, selector: pod.Spec.NodeSelector, tolerations: pod.Spec.Tolerations, alone: alone(pod),
		})
	}
}

// mirrorPodAnnotation marks what a kubelet shows of its static pods.
const mirrorPodAnnotation = "kubernetes.io/config.mirror"

// evicted tells whether a drain makes the pod move. It leaves out what k8s.io/kubectl/pkg/drain leaves to itself with the MCO's options
// (pods of DaemonSets, mirror pods), and pods that have ended, of which nothing moves.
func evicted(p *corev1.Pod) bool {
	if p.Spec.NodeName == "" || p.DeletionTimestamp != nil || p.Annotations[mirrorPodAnnotation] != "" {
		return false
	}
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	owner := metav1.GetControllerOf(p)
	return owner == nil || owner.Kind != "DaemonSet"
}
