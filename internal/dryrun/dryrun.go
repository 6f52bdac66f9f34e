// Package dryrun asks the API server what it would answer to a write. Nothing is stored: whoever
// holds an API can ask and cannot write.
//
//	Evict    POST pods/x/eviction?dryRun=All        admission webhooks and PodDisruptionBudgets answer
//	Apply    PATCH imagetagmirrorsets/x?dryRun=All  the schema and admission webhooks answer
//	Allowed  POST selfsubjectaccessreviews          RBAC answers; the API server never stores a review
package dryrun

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// API asks one API server.
type API struct {
	reviews client.Client
	// writes sends dryRun=All with every write.
	writes client.Client
}

// New asks the API server of the client.
func New(c client.Client) *API {
	return &API{reviews: c, writes: client.NewDryRunClient(c)}
}

// Evict asks whether the API server would evict this very pod now. It is the only way to see what
// an admission webhook says, if that takes dry runs at all.
func (a *API) Evict(ctx context.Context, pod *corev1.Pod) error {
	eviction := &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll},
			Preconditions: &metav1.Preconditions{UID: &pod.UID}},
	}
	return a.writes.SubResource("eviction").Create(ctx, pod.DeepCopy(), eviction)
}

// Apply asks whether the API server would take the object from this field manager.
func (a *API) Apply(ctx context.Context, object runtime.ApplyConfiguration, manager string) error {
	return a.writes.Apply(ctx, object, client.ForceOwnership, client.FieldOwner(manager))
}

// Allowed asks whether the operator has a right.
func (a *API) Allowed(ctx context.Context, right authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right}}
	err := a.reviews.Create(ctx, review)
	return review.Status.Allowed, err
}
