package controllers

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/status"
)

// maxDrops bounds how often one status is written again without what was refused of it. The API
// server names all fields at once, but for rules in CEL, which it asks only when the schema is
// satisfied.
const maxDrops = 3

// writeStatus writes the status, with the resourceVersion that was read: the record is never
// written over a newer one. It keeps to its schema by construction. Should the API server refuse it
// as invalid all the same, a status that is not written at all would hold the rollout for good, and
// hide why: so what is refused is left out, the rest is written, and the condition StatusIncomplete
// says so.
func (r *Reconciler) writeStatus(ctx context.Context, before, after *v1alpha1.SafeMirrorRollout) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	wanted := after.Status.DeepCopy()
	err := r.patchStatus(ctx, after, patch)
	for range maxDrops {
		refused := refusedFields(err)
		if len(refused) == 0 {
			return err
		}
		log.FromContext(ctx).Error(err, "the API server refuses parts of the status; the rest is written", "fields",
			refused)
		after.ResourceVersion = before.ResourceVersion
		if !status.Drop(wanted, before.Status, refused, before.Generation, r.now()) {
			return err
		}
		if equality.Semantic.DeepEqual(before.Status, *wanted) {
			after.Status = *wanted
			return nil // written without them already
		}
		after.Status = *wanted.DeepCopy()
		err = r.patchStatus(ctx, after, patch)
	}
	return err
}

func (r *Reconciler) patchStatus(ctx context.Context, after *v1alpha1.SafeMirrorRollout, patch client.Patch) error {
	return r.Client.Status().Patch(ctx, after, patch, client.FieldOwner(pool.FieldManager))
}

func (r *Reconciler) now() metav1.Time { return metav1.NewTime(r.Observer.Now()) }

// refusedFields are the paths of the fields that the API server refuses, such as
// status.record.stages[3].name; none when it refuses the write for another reason.
func refusedFields(err error) []string {
	var answer apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &answer) || answer.Status().Details == nil {
		return nil
	}
	var out []string
	for _, cause := range answer.Status().Details.Causes {
		if cause.Field != "" && cause.Field != "<nil>" {
			out = append(out, cause.Field)
		}
	}
	return out
}
