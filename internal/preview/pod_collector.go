package preview

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
)

// podCollector is a reader that takes note of pods as they come by. A big cluster has tens of
// thousands, and they are listed for the inventory anyway.
type podCollector struct {
	client.Reader

	// unpaged is true for readers that hand out lists in one part, as caches do.
	unpaged bool

	budgets   []policyv1.PodDisruptionBudget
	evictions map[string]int // by node
	// protectedPods are the pods of namespaces with budgets.
	protectedPods map[string][]podPlacement
	// pods are all of them, cut down to what a forecast of drains looks at.
	pods    []*corev1.Pod
	trimmer *drain.PodTrimmer
}

// pageSize is how many objects are held at a time.
const pageSize = 1000

// podPlacement is what matters of a pod when its node is drained.
type podPlacement struct {
	node        string
	labels      map[string]string
	selector    map[string]string
	tolerations []corev1.Toleration
	affinity    *corev1.Affinity
	// onePerNode is true when two of them cannot be on one node.
	onePerNode bool
}

// collectPods reads the budgets, and lets the pods come by.
func (f *Preview) collectPods(ctx context.Context, r client.Reader) *podCollector {
	out := &podCollector{Reader: r, evictions: map[string]int{}, protectedPods: map[string][]podPlacement{},
		trimmer: drain.NewPodTrimmer()}
	var budgets policyv1.PodDisruptionBudgetList
	if err := r.List(ctx, &budgets, client.UnsafeDisableDeepCopy); err != nil {
		f.addGap(CoverageGap{Source: "PodDisruptionBudget", Why: errorText(err)})
	}
	out.budgets = budgets.Items
	for i := range out.budgets {
		out.protectedPods[out.budgets[i].Namespace] = nil
	}
	return out
}

func (p *podCollector) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if !p.unpaged {
		opts = append([]client.ListOption{client.Limit(pageSize)}, opts...)
	}
	err := p.Reader.List(ctx, list, opts...)
	if pods, ok := list.(*corev1.PodList); ok && err == nil {
		for i := range pods.Items {
			p.collect(&pods.Items[i])
		}
	}
	return err
}

func (p *podCollector) collect(pod *corev1.Pod) {
	p.pods = append(p.pods, p.trimmer.Trim(pod))
	if action := drain.FilterActionOf(pod, nil); pod.Spec.NodeName == "" ||
		(action != drain.ActionEvict && action != drain.ActionEvictUnmanaged) {
		return
	}
	p.evictions[pod.Spec.NodeName]++
	if have, ok := p.protectedPods[pod.Namespace]; ok {
		p.protectedPods[pod.Namespace] = append(have, podPlacement{
			node: pod.Spec.NodeName, labels: pod.Labels, selector: pod.Spec.NodeSelector,
			tolerations: pod.Spec.Tolerations, affinity: pod.Spec.Affinity, onePerNode: isOnePerNode(pod),
		})
	}
}
