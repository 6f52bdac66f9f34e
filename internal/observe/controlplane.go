package observe

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// controlPlaneComponents are the operators that roll static pods or API servers of the control
// plane, and the namespaces of the guard pods that stand for their operands on each node. A drain
// evicts the guards, and a budget lets one of them go at a time.
var controlPlaneComponents = []struct{ operator, namespace string }{
	{"etcd", "openshift-etcd"},
	{"kube-apiserver", "openshift-kube-apiserver"},
	{"kube-controller-manager", "openshift-kube-controller-manager"},
	{"kube-scheduler", "openshift-kube-scheduler"},
	{"openshift-apiserver", ""}, // the aggregated APIs; its pods are ordinary ones
}

// controlPlane says what of the control plane is not at rest beside its nodes (R9). A cluster
// without these operators, such as a lab, has nothing that could roll.
func controlPlane(ctx context.Context, r client.Reader) rollout.Value[[]rollout.Problem] {
	out := []rollout.Problem{}
	for _, component := range controlPlaneComponents {
		operator := &configv1.ClusterOperator{}
		err := r.Get(ctx, client.ObjectKey{Name: component.operator}, operator)
		switch {
		case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
			continue
		case err != nil:
			return rollout.Unknown[[]rollout.Problem](err.Error())
		}
		out = append(out, operatorProblems(operator)...)
		if component.namespace == "" {
			continue
		}
		guards, err := unreadyGuardPods(ctx, r, component.namespace)
		if err != nil {
			return rollout.Unknown[[]rollout.Problem](err.Error())
		}
		out = append(out, guards...)
	}
	return rollout.Known(out)
}

// unrest: an operator that progresses is expected to be done some time; one that is degraded or not
// available waits for a person.
func operatorProblems(o *configv1.ClusterOperator) []rollout.Problem {
	bad := map[configv1.ClusterStatusConditionType]configv1.ConditionStatus{
		configv1.OperatorAvailable: configv1.ConditionFalse, configv1.OperatorProgressing: configv1.ConditionTrue,
		configv1.OperatorDegraded: configv1.ConditionTrue,
	}
	for _, c := range o.Status.Conditions {
		if c.Status != bad[c.Type] || c.Status == "" {
			continue
		}
		return []rollout.Problem{{
			Reason: v1alpha1.ReasonWaiting, Kind: "ClusterOperator", Name: o.Name,
			Transient: c.Type == configv1.OperatorProgressing,
			Message: fmt.Sprintf("ClusterOperator %s is %s=%s since %s (%s: %s); no node of the control plane is released meanwhile",
				o.Name, c.Type, c.Status, c.LastTransitionTime.UTC().Format("2006-01-02T15:04:05Z"), c.Reason,
				c.Message),
		}}
	}
	return nil
}

// unreadyGuardPods are the guard pods that say that the member of etcd, or the API server, on their
// node does not answer.
func unreadyGuardPods(ctx context.Context, r client.Reader, namespace string) ([]rollout.Problem, error) {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app": "guard"}); err != nil {
		return nil, err
	}
	var out []rollout.Problem
	for i := range pods.Items {
		p := &pods.Items[i]
		if drain.IsPodReady(p) || !p.DeletionTimestamp.IsZero() || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		out = append(out, rollout.Problem{
			Reason: v1alpha1.ReasonWaiting, Kind: "Pod", Namespace: namespace, Name: p.Name, Transient: true,
			Message: fmt.Sprintf("guard pod %s/%s on node %s is not ready: what it stands for does not answer there; no node of the control plane is released meanwhile",
				namespace, p.Name, p.Spec.NodeName),
		})
	}
	return out, nil
}
