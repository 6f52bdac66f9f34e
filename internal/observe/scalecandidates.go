package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	operatorv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// scaleCandidates offers the IngressController, or the Deployment, whose pods the budget protects.
func (observer *Observer) scaleCandidates(ctx context.Context, _ client.Reader, _ *Observation,
	blocked rollout.BlockedDrain, feasible feasibleNodes) ([]rollout.RemedyCandidate, error) {
	var out []rollout.RemedyCandidate
	for _, p := range blocked.Pods {
		kind, namespace, name, ok := splitOwner(p.Owner)
		if !ok || kind != "Deployment" ||
			slices.ContainsFunc(out, func(candidate rollout.RemedyCandidate) bool { return candidate.Name == name }) {
			continue
		}
		d := &appsv1.Deployment{}
		// Past the caches, which drop the managed fields.
		if err := observer.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, d); err != nil {
			if apierrors.IsNotFound(err) {
				continue
			}
			return nil, err
		}
		candidate, err := observer.deploymentCandidate(ctx, d)
		switch {
		case apierrors.IsNotFound(err): // its IngressController was deleted, and nothing else sets the replicas
			continue
		case err != nil:
			return nil, err
		}
		candidate.Node, candidate.FeasibleNodes = blocked.Node, len(feasible[p.Owner])
		out = append(out, candidate)
	}
	return out, nil
}

func splitOwner(owner string) (kind, namespace, name string, ok bool) {
	parts := strings.Split(owner, "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// deploymentCandidate offers the Deployment, or for a router's Deployment its IngressController:
// the ingress operator would revert a change of the Deployment at once.
func (observer *Observer) deploymentCandidate(ctx context.Context, d *appsv1.Deployment) (rollout.RemedyCandidate,
	error) {
	if ingress, is := d.Labels[owningIngressLabel]; is {
		return observer.ingressCandidate(ctx, ingress)
	}
	candidate := rollout.RemedyCandidate{Action: v1alpha1.ScaleDeployments, Kind: "Deployment", Namespace: d.Namespace,
		Name: d.Name, UID: string(d.UID),
		Value: fmt.Sprint(replicasOrOne(d.Spec.Replicas))}
	manager := remediation.ReplicasManager(d)
	switch owner := metav1.GetControllerOf(d); {
	case owner != nil:
		candidate.Refusal = fmt.Sprintf("Deployment %s/%s belongs to %s %s, which would revert the change",
			d.Namespace, d.Name, owner.Kind, owner.Name)
		return candidate, nil
	case manager != "":
		candidate.Refusal = fmt.Sprintf("the number of replicas of Deployment %s/%s is managed by %q", d.Namespace,
			d.Name, manager)
		return candidate, nil
	}
	candidate.Refusal = observer.checkAccess(ctx,
		authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments",
			Namespace: d.Namespace},
		authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Subresource: "scale",
			Namespace: d.Namespace},
		authorizationv1.ResourceAttributes{Verb: "list", Group: "autoscaling", Resource: "horizontalpodautoscalers",
			Namespace: d.Namespace})
	if candidate.Refusal != "" {
		return candidate, nil
	}
	var hpas autoscalingv2.HorizontalPodAutoscalerList
	if err := observer.API.List(ctx, &hpas, client.InNamespace(d.Namespace)); err != nil {
		return candidate, err
	}
	for _, s := range hpas.Items {
		if t := s.Spec.ScaleTargetRef; t.Kind == "Deployment" && t.Name == d.Name {
			candidate.Refusal = fmt.Sprintf(
				"HorizontalPodAutoscaler %s/%s sets the number of replicas of Deployment %s", s.Namespace, s.Name,
				d.Name)
		}
	}
	return candidate, nil
}

func (observer *Observer) ingressCandidate(ctx context.Context, name string) (rollout.RemedyCandidate, error) {
	candidate := rollout.RemedyCandidate{Action: v1alpha1.ScaleIngress, Kind: "IngressController",
		Namespace: ingressNamespace, Name: name}
	const group, resource = "operator.openshift.io", "ingresscontrollers"
	candidate.Refusal = observer.checkAccess(ctx,
		authorizationv1.ResourceAttributes{Verb: "get", Group: group, Resource: resource, Namespace: ingressNamespace},
		authorizationv1.ResourceAttributes{Verb: "patch", Group: group, Resource: resource,
			Namespace: ingressNamespace},
		authorizationv1.ResourceAttributes{Verb: "patch", Group: group, Resource: resource, Subresource: "scale",
			Namespace: ingressNamespace})
	if candidate.Refusal != "" {
		return candidate, nil
	}
	ic := &operatorv1.IngressController{}
	if err := observer.API.Get(ctx, client.ObjectKey{Namespace: ingressNamespace, Name: name}, ic); err != nil {
		return candidate, err
	}
	candidate.UID = string(ic.UID)
	if ic.Spec.Replicas != nil {
		candidate.Value = fmt.Sprint(*ic.Spec.Replicas)
	}
	manager := remediation.ReplicasManager(ic)
	switch {
	case manager != "":
		candidate.Refusal = fmt.Sprintf("the number of replicas of IngressController %s is managed by %q", name, manager)
	case candidate.Value == "":
		candidate.Refusal = fmt.Sprintf(
			"IngressController %s sets no spec.replicas, so there is no value to restore", name)
	}
	return candidate, nil
}
