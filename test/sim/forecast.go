package sim

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	drains "github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// forecast is made by the same code as on a cluster, from the objects of this one written as those
// of the API.
func (p *process) forecast(from *objects, o rollout.Observed, pools []rollout.Pool) rollout.Value[rollout.Forecast] {
	if r := o.Record.Release; r != nil && len(r.Nodes) > 0 {
		return rollout.Unknown[rollout.Forecast]("node " + r.Nodes[0] + " is updating")
	}
	s := drains.Snapshot{Now: o.Now, Scales: drains.Scales{}, Volumes: drains.Volumes{Known: true}}
	for _, observed := range pools {
		s.Pools = append(s.Pools, drains.PoolNodes{Pool: observed, Drains: !o.Rollout.Reload,
			TaintsPendingNodes: !o.Rollout.Targeted, NextReleases: rollout.NextReleases(o, observed)})
		for _, n := range from.members(observed.Name) {
			node := n.DeepCopy()
			node.Labels = map[string]string{corev1.LabelHostname: n.Name, "pool": observed.Name}
			s.Nodes = append(s.Nodes, node)
		}
	}
	for _, k := range p.sim.workloads.list {
		owner := types.UID("workload-" + k.name)
		s.Scales[owner] = drains.Scale{UID: owner, Kind: "Deployment", Namespace: "shop", Name: k.name,
			Replicas: int32(k.replicas)}
		s.Budgets = append(s.Budgets, k.budgets()...)
	}
	for _, q := range from.pods.list() {
		if k := p.sim.workloads.find(q.workload); k != nil {
			s.Pods = append(s.Pods, k.podObject(*q, o.Now))
		}
	}
	return rollout.Known(forecast.ForecastAll(s).Summary())
}

// budgets are those of the workload, as the API has them.
func (k *workload) budgets() []*policyv1.PodDisruptionBudget {
	most := intstr.FromInt(max(0, k.budget))
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": k.name}}
	one := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: k.name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &most, Selector: selector},
	}
	switch {
	case k.overlapping:
		other := one.DeepCopy()
		other.Name += "-too"
		return []*policyv1.PodDisruptionBudget{one, other}
	case k.budget >= 0:
		return []*policyv1.PodDisruptionBudget{one}
	default:
		return nil
	}
}

// podObject is the pod as the API has it.
func (k *workload) podObject(q pod, now time.Time) *corev1.Pod {
	yes := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: q.name, Labels: map[string]string{"app": k.name},
			CreationTimestamp: metav1.NewTime(q.created),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: k.name,
				UID: types.UID("workload-" + k.name), Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: q.node, NodeSelector: map[string]string{"pool": k.pool},
			Containers: []corev1.Container{{Name: "main", Image: k.ref}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}},
	}
	if q.running {
		p.Status.Phase = corev1.PodRunning
	}
	if q.ready {
		p.Status.Conditions[0].Status = corev1.ConditionTrue
	}
	if q.terminating {
		at := metav1.NewTime(now.Add(10 * time.Second))
		p.DeletionTimestamp = &at
	}
	if k.spread {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}}}}}
	}
	return p
}
