package ingress

import (
	"context"
	"encoding/json"

	operatorv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// reconcileBudget keeps the PodDisruptionBudget, or its absence: one router alone has none, or no
// node could ever be drained.
func (o *operator) reconcileBudget(ctx context.Context, ic *operatorv1.IngressController,
	owner *appsv1.Deployment) error {
	client := o.Kube.PolicyV1().PodDisruptionBudgets(routerNamespace)
	if replicas(ic) < 2 {
		if _, err := o.budgets.Get(routerName(ic)); apierrors.IsNotFound(err) {
			return nil
		}
		err := client.Delete(ctx, routerName(ic), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	data, err := json.Marshal(desiredBudget(ic, owner))
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, routerName(ic), types.ApplyPatchType, data, applyOptions)
	return err
}

// desiredBudget allows a quarter of the routers to be away, rounded up by the disruption
// controller:
//
//	replicas   2  3  4  5..8  9..12
//	away       1  1  1  2     3
//
// unhealthyPodEvictionPolicy stays unset, as in all releases up to 4.22: a router that is Running
// but not Ready counts against the budget.
func desiredBudget(ic *operatorv1.IngressController, owner *appsv1.Deployment) *policyv1.PodDisruptionBudget {
	away := intstr.FromInt32(1)
	if replicas(ic) >= 5 {
		away = intstr.FromString("25%")
	}
	return &policyv1.PodDisruptionBudget{
		TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{
			Name: routerName(ic), Namespace: routerNamespace,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "Deployment", Name: owner.Name, UID: owner.UID, Controller: ptr.To(true),
			}},
		},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &away,
			Selector:       &metav1.LabelSelector{MatchLabels: podLabels(ic)},
		},
	}
}

// reconcileStatus fills what the scale subresource reads, and where the routers listen.
func (o *operator) reconcileStatus(ctx context.Context, ic *operatorv1.IngressController,
	deployment *appsv1.Deployment) error {
	next := ic.DeepCopy()
	next.Status.AvailableReplicas = deployment.Status.AvailableReplicas
	next.Status.Selector = metav1.FormatLabelSelector(deployment.Spec.Selector)
	next.Status.EndpointPublishingStrategy = publishing(ic)
	next.Status.ObservedGeneration = ic.Generation
	if equality.Semantic.DeepEqual(ic.Status, next.Status) {
		return nil
	}
	_, err := o.Operator.OperatorV1().IngressControllers(operatorNamespace).UpdateStatus(ctx, next,
		metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // the next round has the newer version
	}
	return err
}
