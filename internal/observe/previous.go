package observe

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// previousSets are the mirror sets before the rollout, and whether they can be restored.
type previousSets struct {
	ref     *v1alpha1.PreviousMirrorSets
	lists   mirrorset.Previous
	saved   bool
	problem *rollout.Problem
}

// previously reads the mirror sets before the rollout: those that the record names, once something
// was applied, and until then those that are in the cluster. When these are what the rollout wants
// already, because its record was lost after they were written, their annotation names what was
// there before.
func (observer *Observer) previously(ctx context.Context, w *Observation, all registriesconf.Sets) previousSets {
	digest, tag := w.ownedMirrorSets()
	if rec := w.Observed.Record; rec.AppliedPlanHash != "" {
		return observer.read(ctx, rec.Previous)
	}
	if ref, ok := previousFromAnnotations(digest, tag); ok {
		if before := observer.read(ctx, ref); w.matchesEitherPass(all, before.lists) {
			return before
		}
	}
	lists := mirrorset.PreviousOf(digest, tag)
	ref := lists.Reference(w.Rollout.Name)
	return previousSets{ref: ref, lists: lists, saved: observer.read(ctx, ref).saved}
}

// read reads the ControllerRevision past the caches: the operator needs no other, and one of each
// StatefulSet is none of its business.
func (observer *Observer) read(ctx context.Context, ref *v1alpha1.PreviousMirrorSets) previousSets {
	if ref == nil {
		return previousSets{saved: true}
	}
	problem := func(transient bool, format string, args ...any) previousSets {
		return previousSets{ref: ref, problem: &rollout.Problem{
			Reason: v1alpha1.ReasonRollbackImpossible, Kind: "ControllerRevision", Namespace: observer.Namespace,
			Name: ref.Name, Transient: transient,
			Message: "the mirror sets before the rollout are unknown: ControllerRevision " + observer.Namespace + "/" +
				ref.Name + " " + fmt.Sprintf(format, args...),
		}}
	}
	var revision appsv1.ControllerRevision
	err := observer.API.Get(ctx, client.ObjectKey{Namespace: observer.Namespace, Name: ref.Name}, &revision)
	switch {
	case apierrors.IsNotFound(err):
		return problem(false, "does not exist; restore it from a backup, or change the spec to what the cluster is to have")
	case err != nil:
		return problem(true, "could not be read: %v; it is read again within a minute", err)
	}
	lists, err := mirrorset.ReadRevision(&revision, *ref)
	if err != nil {
		return problem(false, "is not what was written: %v; restore it from a backup, or change the spec to what the cluster is to have", err)
	}
	return previousSets{ref: ref, lists: lists, saved: true}
}

// previousFromAnnotations is what the sets say of the time before them.
func previousFromAnnotations(digest *configv1.ImageDigestMirrorSet,
	tag *configv1.ImageTagMirrorSet) (*v1alpha1.PreviousMirrorSets, bool) {
	if digest != nil {
		if ref, ok := mirrorset.PreviousFrom(digest.Annotations); ok {
			return ref, true
		}
	}
	if tag != nil {
		return mirrorset.PreviousFrom(tag.Annotations)
	}
	return nil, false
}
