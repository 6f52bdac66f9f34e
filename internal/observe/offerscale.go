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
	"github.com/safe-mirror/safe-mirror-operator/internal/remedy"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// offerScale offers the IngressController, or the Deployment, whose pods the budget protects.
func (l *Live) offerScale(ctx context.Context, _ client.Reader, _ *World, ob rollout.Obstacle, spares spareNodes) ([]rollout.Offer, error) {
	var out []rollout.Offer
	for _, p := range ob.Pods {
		kind, namespace, name, ok := splitOwner(p.Owner)
		if !ok || kind != "Deployment" || slices.ContainsFunc(out, func(f rollout.Offer) bool { return f.Name == name }) {
			continue
		}
		d := &appsv1.Deployment{}
		// Past the caches, which leave out who has written what.
		if err := l.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, d); err != nil {
			if apierrors.IsNotFound(err) {
				continue
			}
			return nil, err
		}
		f, err := l.offerDeployment(ctx, d)
		if err != nil {
			return nil, err
		}
		f.Node, f.Spares = ob.Node, len(spares[p.Owner])
		out = append(out, f)
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

// offerDeployment: a router's Deployment is its IngressController's, whose operator would take a change of it back at once.
func (l *Live) offerDeployment(ctx context.Context, d *appsv1.Deployment) (rollout.Offer, error) {
	if ingress, is := d.Labels[owningLabel]; is {
		return l.offerIngress(ctx, ingress)
	}
	f := rollout.Offer{Action: v1alpha1.ScaleDeployments, Kind: "Deployment", Namespace: d.Namespace, Name: d.Name, UID: string(d.UID),
		Value: fmt.Sprint(orOne(d.Spec.Replicas))}
	by := remedy.OwnedByLoop(d)
	switch owner := metav1.GetControllerOf(d); {
	case owner != nil:
		f.Refusal = fmt.Sprintf("Deployment %s/%s belongs to %s %s, which would take the change back", d.Namespace, d.Name, owner.Kind, owner.Name)
		return f, nil
	case by != "":
		f.Refusal = fmt.Sprintf("the number of replicas of Deployment %s/%s is %q's to set", d.Namespace, d.Name, by)
		return f, nil
	}
	f.Refusal = l.may(ctx, authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: d.Namespace},
		authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Subresource: "scale", Namespace: d.Namespace},
		authorizationv1.ResourceAttributes{Verb: "list", Group: "autoscaling", Resource: "horizontalpodautoscalers", Namespace: d.Namespace})
	if f.Refusal != "" {
		return f, nil
	}
	var scalers autoscalingv2.HorizontalPodAutoscalerList
	if err := l.API.List(ctx, &scalers, client.InNamespace(d.Namespace)); err != nil {
		return f, err
	}
	for _, s := range scalers.Items {
		if t := s.Spec.ScaleTargetRef; t.Kind == "Deployment" && t.Name == d.Name {
			f.Refusal = fmt.Sprintf("HorizontalPodAutoscaler %s/%s sets the number of replicas of Deployment %s", s.Namespace, s.Name, d.Name)
		}
	}
	return f, nil
}

func (l *Live) offerIngress(ctx context.Context, name string) (rollout.Offer, error) {
	f := rollout.Offer{Action: v1alpha1.ScaleIngress, Kind: "IngressController", Namespace: ingressNamespace, Name: name}
	const group, resource = "operator.openshift.io", "ingresscontrollers"
	f.Refusal = l.may(ctx, authorizationv1.ResourceAttributes{Verb: "get", Group: group, Resource: resource, Namespace: ingressNamespace},
		authorizationv1.ResourceAttributes{Verb: "patch", Group: group, Resource: resource, Namespace: ingressNamespace},
		authorizationv1.ResourceAttributes{Verb: "patch", Group: group, Resource: resource, Subresource: "scale", Namespace: ingressNamespace})
	if f.Refusal != "" {
		return f, nil
	}
	ic := &operatorv1.IngressController{}
	if err := l.API.Get(ctx, client.ObjectKey{Namespace: ingressNamespace, Name: name}, ic); err != nil {
		return f, client.IgnoreNotFound(err)
	}
	f.UID = string(ic.UID)
	if ic.Spec.Replicas != nil {
		f.Value = fmt.Sprint(*ic.Spec.Replicas)
	}
	by := remedy.OwnedByLoop(ic)
	switch {
	case by != "":
		f.Refusal = fmt.Sprintf("the number of replicas of IngressController %s is %q's to set", name, by)
	case f.Value == "":
		f.Refusal = fmt.Sprintf("IngressController %s names no number of replicas, so that there is none to give back", name)
	}
	return f, nil
}
