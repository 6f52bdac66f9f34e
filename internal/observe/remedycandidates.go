package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// ingressNamespace is where IngressControllers are; their Deployments carry owningIngressLabel and
// are in another namespace.
const (
	ingressNamespace   = "openshift-ingress-operator"
	owningIngressLabel = "ingresscontroller.operator.openshift.io/owning-ingresscontroller"
)

// remediationRole is what the remedies need that are Disabled when nobody asks for them.
const remediationRole = "safe-mirror-remediation"

// remedyCandidates are read for the drains that are blocked, and for the remedies that disturb
// something and that the user has switched on.
func (observer *Observer) remedyCandidates(ctx context.Context, reader client.Reader,
	obs *Observation) ([]rollout.RemedyCandidate, error) {
	blockedDrains, _ := obs.Observed.BlockedDrains.Get() // none while they are unknown
	spec := obs.Rollout.Spec.Remediation
	var out []rollout.RemedyCandidate
	for _, blocked := range blockedDrains {
		if blocked.Reason.Transient() {
			continue
		}
		feasible, err := observer.feasibleNodes(ctx, reader, obs, blocked)
		if err != nil {
			return nil, err
		}
		for action, read := range map[v1alpha1.RemedyAction]func(context.Context, client.Reader, *Observation,
			rollout.BlockedDrain, feasibleNodes) ([]rollout.RemedyCandidate, error){
			v1alpha1.TrustMirrorCA: observer.trustCandidates, v1alpha1.Relocate: observer.cordonCandidates,
			v1alpha1.ScaleIngress: observer.scaleCandidates, v1alpha1.ScaleDeployments: observer.scaleCandidates,
		} {
			if !spec.Enabled(action) {
				continue
			}
			found, err := read(ctx, reader, obs, blocked, feasible)
			if err != nil {
				return nil, err
			}
			for _, candidate := range found {
				if candidate.Action == action {
					out = append(out, candidate)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b rollout.RemedyCandidate) int {
		return strings.Compare(a.Node+"/"+string(a.Action)+"/"+a.Name, b.Node+"/"+string(b.Action)+"/"+b.Name)
	})
	return out, nil
}

// checkAccess asks the API server whether the operator has a right. The refusal names the role that
// gives it.
func (observer *Observer) checkAccess(ctx context.Context,
	rights ...authorizationv1.ResourceAttributes) (refusal string) {
	for _, r := range rights {
		allowed, err := observer.DryRun.Allowed(ctx, r)
		if err != nil {
			return fmt.Sprintf("whether the operator may %s %s could not be determined: %v", r.Verb, r.Resource, err)
		}
		if !allowed {
			what := r.Resource
			if r.Subresource != "" {
				what += "/" + r.Subresource
			}
			return fmt.Sprintf("the operator may not %s %s: bind the ClusterRole %s (oc adm policy add-cluster-role-to-user %s -z safe-mirror-operator -n %s)",
				r.Verb, what, remediationRole, remediationRole, observer.Namespace)
		}
	}
	return ""
}

// cordonCandidates offers the nodes on which pods wait for images.
func (observer *Observer) cordonCandidates(ctx context.Context, reader client.Reader, _ *Observation,
	blocked rollout.BlockedDrain, feasible feasibleNodes) ([]rollout.RemedyCandidate, error) {
	var out []rollout.RemedyCandidate
	for _, p := range blocked.Pods {
		if p.Node == "" || p.Node == blocked.Node ||
			slices.ContainsFunc(out, func(candidate rollout.RemedyCandidate) bool { return candidate.Name == p.Node }) {
			continue
		}
		n := &corev1.Node{}
		if err := reader.Get(ctx, client.ObjectKey{Name: p.Node}, n); apierrors.IsNotFound(err) {
			continue // deleted since the pod was read
		} else if err != nil {
			return nil, err
		}
		candidate := rollout.RemedyCandidate{Node: blocked.Node, Action: v1alpha1.Relocate, Kind: "Node", Name: n.Name,
			UID: string(n.UID), Value: rollout.Schedulable, FeasibleNodes: len(feasible[p.Owner])}
		switch {
		case n.Spec.Unschedulable:
			candidate.Value, candidate.Refusal = rollout.Cordoned, "node "+n.Name+
				" is cordoned already, and not by this rollout"
		case remediation.NodeUpdating(n):
			candidate.Refusal = "node " + n.Name + " is updating itself"
		default:
			candidate.Refusal = observer.checkAccess(ctx,
				authorizationv1.ResourceAttributes{Verb: "patch", Resource: "nodes"})
		}
		out = append(out, candidate)
	}
	return out, nil
}
