package execute

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// applyMirrorSets writes digest mirrors before tag mirrors, and removes in the other order: a
// source that is blocked must never be without the digest mirrors that keep its digest pulls
// alive.
func (e *Executor) applyMirrorSets(ctx context.Context, obs *observe.Observation) error {
	sets, ok := obs.Observed.Sets.Get()
	if !ok {
		return &Refused{Action: "apply-mirror-sets", Why: obs.Observed.Sets.Why()}
	}
	if wouldConflict(obs, sets) {
		return e.replaceMirrorSets(ctx, obs, sets)
	}
	if err := e.applyIDMS(ctx, obs, sets.IDMS); err != nil {
		return err
	}
	if err := e.deleteITMS(ctx, obs, sets.ITMS); err != nil {
		return err
	}
	if err := e.applyITMS(ctx, obs, sets.ITMS); err != nil {
		return err
	}
	return e.deleteIDMS(ctx, obs, sets.IDMS)
}

// wouldConflict tells whether one of our sets that is written would be invalid together with what
// is still there of the other, as when a source changes its policy in both: for that moment the MCO
// would write no mirror set of the cluster (I13).
func wouldConflict(obs *observe.Observation, sets rollout.MirrorSets) bool {
	idms, itms := obs.IDMS, obs.PresentITMS
	if sets.IDMS == rollout.SetLeftOver {
		idms = obs.PresentIDMS
	}
	if sets.ITMS == rollout.SetNotWanted {
		itms = nil // there may be one of that name, and it is not ours
	}
	var ours registriesconf.Sets
	return len(registriesconf.Validate(ours.With(idms, itms))) > 0 ||
		len(registriesconf.Validate(ours.With(idms, obs.ITMS))) > 0
}

// replaceMirrorSets takes away first, tag mirrors before digest mirrors, and then writes: what is
// left of a valid union is valid. Of tag mirrors only those sources go that are about to change
// their policy; the others have their mirrors throughout.
func (e *Executor) replaceMirrorSets(ctx context.Context, obs *observe.Observation, sets rollout.MirrorSets) error {
	if sets.ITMS == rollout.SetDiffers {
		if err := e.removeConflictingSources(ctx, obs); err != nil {
			return err
		}
		sets.ITMS = rollout.SetMissing
	}
	if err := e.deleteITMS(ctx, obs, sets.ITMS); err != nil {
		return err
	}
	if err := e.deleteIDMS(ctx, obs, sets.IDMS); err != nil {
		return err
	}
	if err := e.applyIDMS(ctx, obs, sets.IDMS); err != nil {
		return err
	}
	return e.applyITMS(ctx, obs, rollout.SetMissing)
}

// removeConflictingSources takes the sources out of the tag mirrors that would not go together with
// the new digest mirrors.
func (e *Executor) removeConflictingSources(ctx context.Context, obs *observe.Observation) error {
	reduced := mirrorset.WithoutConflicts(obs.PresentITMS, obs.IDMS)
	if reduced == nil || obs.IDMS == nil {
		return e.deleteITMS(ctx, obs, rollout.SetLeftOver)
	}
	reduced.Labels, reduced.Annotations = obs.ITMS.Labels, obs.ITMS.Annotations // what others have added is theirs
	if err := e.Client.Apply(ctx, mirrorset.ApplyITMS(reduced), client.ForceOwnership,
		client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("taking sources out of ImageTagMirrorSet %s: %w", obs.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) applyIDMS(ctx context.Context, obs *observe.Observation, state rollout.SetState) error {
	if obs.IDMS == nil || state == rollout.SetEqual {
		return nil
	}
	if err := e.Client.Apply(ctx, mirrorset.ApplyIDMS(obs.IDMS), client.ForceOwnership,
		client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("applying ImageDigestMirrorSet %s: %w", obs.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) applyITMS(ctx context.Context, obs *observe.Observation, state rollout.SetState) error {
	if obs.ITMS == nil || state == rollout.SetEqual {
		return nil
	}
	if err := e.Client.Apply(ctx, mirrorset.ApplyITMS(obs.ITMS), client.ForceOwnership,
		client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("applying ImageTagMirrorSet %s: %w", obs.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) deleteIDMS(ctx context.Context, obs *observe.Observation, state rollout.SetState) error {
	if state != rollout.SetLeftOver {
		return nil
	}
	err := e.Client.Delete(ctx, &configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: obs.Rollout.Name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ImageDigestMirrorSet %s: %w", obs.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) deleteITMS(ctx context.Context, obs *observe.Observation, state rollout.SetState) error {
	if state != rollout.SetLeftOver {
		return nil
	}
	err := e.Client.Delete(ctx, &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: obs.Rollout.Name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ImageTagMirrorSet %s: %w", obs.Rollout.Name, err)
	}
	return nil
}
