package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
)

// criticalPod is a pod of which a drain may be unable to go on once it is not replaced: a
// PodDisruptionBudget counts it, or it holds a port of its node and so has few nodes to go to.
type criticalPod struct {
	spec   *corev1.PodSpec
	images []string
	// notEvicted is true when a drain leaves it where it is: a pod of a DaemonSet, or a static pod.
	notEvicted bool
}

// criticalPods are those of the cluster. A pod that has ended holds up nothing.
func criticalPods(ctx context.Context, r, api client.Reader) ([]criticalPod, error) {
	var budgets policyv1.PodDisruptionBudgetList
	if err := api.List(ctx, &budgets); err != nil {
		return nil, fmt.Errorf("listing PodDisruptionBudgets: %w", err)
	}
	selectors, err := selectorsByNamespace(budgets.Items)
	if err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Pods: %w", err)
	}
	var out []criticalPod
	seen := map[string]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if drain.IsPodTerminal(p) || pullcheck.IsCheckPod(p) ||
			(!usesHostPort(&p.Spec) && !matchesAny(selectors[p.Namespace], p.Labels)) {
			continue
		}
		critical := criticalPod{&p.Spec, inventory.Images(&p.Spec), drain.FilterActionOf(p, nil) == drain.ActionIgnore}
		if owner := metav1.GetControllerOf(p); owner != nil {
			replicaKey := string(owner.UID) + " " + strings.Join(critical.images, " ")
			if owner.UID != "" && seen[replicaKey] {
				continue // replicas may run on the same nodes, and each node is asked about each of these
			}
			seen[replicaKey] = true
		}
		out = append(out, critical)
	}
	return out, nil
}

// selectorsByNamespace are the budgets' selectors by namespace. One that is absent selects nothing,
// an empty one everything.
func selectorsByNamespace(budgets []policyv1.PodDisruptionBudget) (map[string][]labels.Selector, error) {
	out := map[string][]labels.Selector{}
	for i := range budgets {
		b := &budgets[i]
		s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			return nil, fmt.Errorf("PodDisruptionBudget %s/%s: %w", b.Namespace, b.Name, err)
		}
		out[b.Namespace] = append(out[b.Namespace], s)
	}
	return out, nil
}

func matchesAny(selectors []labels.Selector, pod map[string]string) bool {
	return slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(labels.Set(pod)) })
}

// usesHostPort tells whether the pod has a port of its node, by a container or by a sidecar, which
// is an init container that goes on.
func usesHostPort(spec *corev1.PodSpec) bool {
	usesPort := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 })
	}
	return slices.ContainsFunc(spec.Containers, usesPort) ||
		slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool {
			return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways && usesPort(c)
		})
}

// mayRunOn tells whether the pod, or its replacement, may come to nodes of this sort: it is on one,
// or its node selector and tolerations let it. What else binds it (affinity, volumes) is left
// aside: then one image too many is asked for, not one too few.
func (critical criticalPod) mayRunOn(n *corev1.Node) bool {
	for key, value := range critical.spec.NodeSelector {
		if have, ok := n.Labels[key]; (!ok || have != value) && key != corev1.LabelHostname {
			return false
		}
	}
	for _, t := range n.Spec.Taints {
		repels := t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
		if repels && !drain.Tolerates(critical.spec.Tolerations, &t) {
			return false
		}
	}
	return true
}

// criticalImageNames are the images of guarded pods, wherever they run, as the pods spell them.
func (observer *Observer) criticalImageNames(ctx context.Context) (map[string]bool, error) {
	pods, err := criticalPods(ctx, observer.cached(), observer.API)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, p := range pods {
		for _, i := range p.images {
			out[i] = true
		}
	}
	return out, nil
}
