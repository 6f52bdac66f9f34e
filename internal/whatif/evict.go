package whatif

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
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
	// pods are all of them, cut down to what a forecast of drains looks at.
	pods    []*corev1.Pod
	slimmer *drain.Slimmer
}

// part is how many objects are held at a time.
const part = 1000

// placedPod is what matters of a pod when its node is drained.
type placedPod struct {
	node        string
	labels      map[string]string
	selector    map[string]string
	tolerations []corev1.Toleration
	affinity    *corev1.Affinity
	// alone is true when two of them cannot be on one node.
	alone bool
}

// placing reads the budgets, and lets the pods come by.
func (f *Foresight) placing(ctx context.Context, r client.Reader) *placed {
	out := &placed{Reader: r, evictions: map[string]int{}, kept: map[string][]placedPod{}, slimmer: drain.NewSlimmer()}
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
	p.pods = append(p.pods, p.slimmer.Slim(pod))
	if fare := drain.FareOf(pod, nil); pod.Spec.NodeName == "" || (fare != drain.Moves && fare != drain.Lost) {
		return
	}
	p.evictions[pod.Spec.NodeName]++
	if have, ok := p.kept[pod.Namespace]; ok {
		p.kept[pod.Namespace] = append(have, placedPod{
			node: pod.Spec.NodeName, labels: pod.Labels, selector: pod.Spec.NodeSelector, tolerations: pod.Spec.Tolerations, affinity: pod.Spec.Affinity, alone: alone(pod),
		})
	}
}
