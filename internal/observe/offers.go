package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remedy"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// ingressNamespace is where IngressControllers are; their Deployments carry owningLabel and are in another namespace.
const (
	ingressNamespace = "openshift-ingress-operator"
	owningLabel      = "ingresscontroller.operator.openshift.io/owning-ingresscontroller"
)

// remediationRole is what the remedies need that are Disabled when nobody asks for them.
const remediationRole = "safe-mirror-remediation"

// offers are read for the drains that are held up, and for the remedies that disturb something and that the user has switched on.
func (l *Live) offers(ctx context.Context, reader client.Reader, w *World) ([]rollout.Offer, error) {
	obstacles, ok := w.Observed.Obstacles.Get()
	spec := w.Rollout.Spec.Remediation
	var out []rollout.Offer
	for _, ob := range obstacles {
		if !ok || ob.Hindrance.Passing() {
			continue
		}
		spares, err := l.spares(ctx, reader, w, ob)
		if err != nil {
			return nil, err
		}
		for action, read := range map[v1alpha1.RemedyAction]func(context.Context, client.Reader, *World, rollout.Obstacle, spareNodes) ([]rollout.Offer, error){
			v1alpha1.TrustMirrorCA: l.offerTrust, v1alpha1.Relocate: l.offerCordon,
			v1alpha1.ScaleIngress: l.offerScale, v1alpha1.ScaleDeployments: l.offerScale,
		} {
			if !spec.Enabled(action) {
				continue
			}
			found, err := read(ctx, reader, w, ob, spares)
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				if f.Action == action {
					out = append(out, f)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b rollout.Offer) int {
		return strings.Compare(a.Node+"/"+string(a.Action)+"/"+a.Name, b.Node+"/"+string(b.Action)+"/"+b.Name)
	})
	return out, nil
}

// may asks the API server whether the operator has a right. The refusal names the role that gives it.
func (l *Live) may(ctx context.Context, rights ...authorizationv1.ResourceAttributes) (refusal string) {
	for _, r := range rights {
		allowed, err := l.DryRun.Allowed(ctx, r)
		if err != nil {
			return fmt.Sprintf("whether the operator may %s %s could not be found out: %v", r.Verb, r.Resource, err)
		}
		if !allowed {
			what := r.Resource
			if r.Subresource != "" {
				what += "/" + r.Subresource
			}
			return fmt.Sprintf("the operator may not %s %s: bind the ClusterRole %s (oc adm policy add-cluster-role-to-user %s -z safe-mirror-operator -n %s)",
				r.Verb, what, remediationRole, remediationRole, l.Namespace)
		}
	}
	return ""
}

// offerCordon offers the nodes on which pods wait for images.
func (l *Live) offerCordon(ctx context.Context, reader client.Reader, _ *World, ob rollout.Obstacle, spares spareNodes) ([]rollout.Offer, error) {
	var out []rollout.Offer
	for _, p := range ob.Pods {
		if p.Node == "" || p.Node == ob.Node || slices.ContainsFunc(out, func(f rollout.Offer) bool { return f.Name == p.Node }) {
			continue
		}
		n := &corev1.Node{}
		if err := reader.Get(ctx, client.ObjectKey{Name: p.Node}, n); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		f := rollout.Offer{Node: ob.Node, Action: v1alpha1.Relocate, Kind: "Node", Name: n.Name, UID: string(n.UID), Value: rollout.Schedulable, Spares: len(spares[p.Owner])}
		switch {
		case n.Spec.Unschedulable:
			f.Value, f.Refusal = rollout.Cordoned, "node "+n.Name+" is cordoned already, and not by this rollout"
		case remedy.UnderWay(n):
			f.Refusal = "node " + n.Name + " is under way itself"
		default:
			f.Refusal = l.may(ctx, authorizationv1.ResourceAttributes{Verb: "patch", Resource: "nodes"})
		}
		out = append(out, f)
	}
	return out, nil
}
