package drain

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Scale is how many pods a controller wants. The pods of a Deployment name their ReplicaSet, and
// the number is the Deployment's.
type Scale struct {
	UID       types.UID
	Kind      string
	Namespace string
	Name      string
	Replicas  int32
}

// String names the workload: Deployment openshift-ingress/router-default.
func (s Scale) String() string { return s.Kind + " " + s.Namespace + "/" + s.Name }

// Key names the workload as the core does: Deployment/openshift-ingress/router-default.
func (s Scale) Key() string { return s.Kind + "/" + s.Namespace + "/" + s.Name }

// Scales are by the UID of the controller that the pods name.
type Scales map[types.UID]Scale

// Workloads are the controllers of pods of the kinds that the disruption controller knows by
// itself. Others have a scale subresource, and what it said is in the status of the budget.
type Workloads struct {
	ReplicaSets            []*appsv1.ReplicaSet
	Deployments            []*appsv1.Deployment
	StatefulSets           []*appsv1.StatefulSet
	ReplicationControllers []*corev1.ReplicationController
}

// NewScales collects them as the finders of the disruption controller do
// (pkg/controller/disruption): two ReplicaSets of one Deployment are one controller, and its scale
// counts once.
func NewScales(w Workloads) Scales {
	out := Scales{}
	deployments := make(map[types.UID]Scale, len(w.Deployments))
	for _, d := range w.Deployments {
		deployments[d.UID] = scaleOf("Deployment", d, d.Spec.Replicas)
	}
	for _, rs := range w.ReplicaSets {
		own := scaleOf("ReplicaSet", rs, rs.Spec.Replicas)
		if owner := metav1.GetControllerOf(rs); owner != nil {
			if d, ok := deployments[owner.UID]; ok {
				own = d
			}
		}
		out[rs.UID] = own
	}
	for _, s := range w.StatefulSets {
		out[s.UID] = scaleOf("StatefulSet", s, s.Spec.Replicas)
	}
	for _, rc := range w.ReplicationControllers {
		out[rc.UID] = scaleOf("ReplicationController", rc, rc.Spec.Replicas)
	}
	return out
}

func scaleOf(kind string, o metav1.Object, replicas *int32) Scale {
	s := Scale{UID: o.GetUID(), Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), Replicas: 1}
	if replicas != nil {
		s.Replicas = *replicas
	}
	return s
}
