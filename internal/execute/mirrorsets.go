package execute

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// applyMirrorSets writes digest mirrors before tag mirrors, and removes in the other order: a source that is blocked shall never
// be without the digest mirrors that keep its digest pulls alive.
func (e *Executor) applyMirrorSets(ctx context.Context, w *observe.World) error {
	sets, ok := w.Observed.Sets.Get()
	if !ok {
		return &Refused{Action: "apply-mirror-sets", Why: w.Observed.Sets.Why()}
	}
	if clash(w, sets) {
		return e.replaceMirrorSets(ctx, w, sets)
	}
	if err := e.applyDigest(ctx, w, sets.Digest); err != nil {
		return err
	}
	if err := e.deleteTag(ctx, w, sets.Tag); err != nil {
		return err
	}
	if err := e.applyTag(ctx, w, sets.Tag); err != nil {
		return err
	}
	return e.deleteDigest(ctx, w, sets.Digest)
}

// clash tells whether one of our sets that is written would be invalid together with what is still there of the other, as when a
// source changes its policy in both: for that moment the MCO would write no mirror set of the cluster (I13).
func clash(w *observe.World, sets rollout.MirrorSets) bool {
	digest, tag := w.Digest, w.HaveTag
	if sets.Digest == rollout.SetLeftOver {
		digest = w.HaveDigest
	}
	if sets.Tag == rollout.SetNotWanted {
		tag = nil // there may be one of that name, and it is not ours
	}
	var ours registries.Sets
	return len(registries.Validate(ours.With(digest, tag))) > 0 || len(registries.Validate(ours.With(digest, w.Tag))) > 0
}

// replaceMirrorSets takes away first, tag mirrors before digest mirrors, and then writes: what is left of a valid union is valid. Of tag
// mirrors only those sources go that are about to change their policy; the others have their mirrors throughout.
func (e *Executor) replaceMirrorSets(ctx context.Context, w *observe.World, sets rollout.MirrorSets) error {
	if sets.Tag == rollout.SetDiffers {
		if err := e.reduceTag(ctx, w); err != nil {
			return err
		}
		sets.Tag = rollout.SetMissing
	}
	if err := e.deleteTag(ctx, w, sets.Tag); err != nil {
		return err
	}
	if err := e.deleteDigest(ctx, w, sets.Digest); err != nil {
		return err
	}
	if err := e.applyDigest(ctx, w, sets.Digest); err != nil {
		return err
	}
	return e.applyTag(ctx, w, rollout.SetMissing)
}

// reduceTag takes the sources out of the tag mirrors that would not go together with the new digest mirrors.
func (e *Executor) reduceTag(ctx context.Context, w *observe.World) error {
	left := mirrorset.WithoutClashes(w.HaveTag, w.Digest)
	if left == nil || w.Digest == nil {
		return e.deleteTag(ctx, w, rollout.SetLeftOver)
	}
	left.Labels, left.Annotations = w.Tag.Labels, w.Tag.Annotations // what others have added is theirs
	if err := e.Client.Apply(ctx, mirrorset.TagApply(left), client.ForceOwnership, client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("taking sources out of ImageTagMirrorSet %s: %w", w.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) applyDigest(ctx context.Context, w *observe.World, state rollout.SetState) error {
	if w.Digest == nil || state == rollout.SetEqual {
		return nil
	}
	if err := e.Client.Apply(ctx, mirrorset.DigestApply(w.Digest), client.ForceOwnership, client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("applying ImageDigestMirrorSet %s: %w", w.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) applyTag(ctx context.Context, w *observe.World, state rollout.SetState) error {
	if w.Tag == nil || state == rollout.SetEqual {
		return nil
	}
	if err := e.Client.Apply(ctx, mirrorset.TagApply(w.Tag), client.ForceOwnership, client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("applying ImageTagMirrorSet %s: %w", w.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) deleteDigest(ctx context.Context, w *observe.World, state rollout.SetState) error {
	if state != rollout.SetLeftOver {
		return nil
	}
	err := e.Client.Delete(ctx, &configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: w.Rollout.Name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ImageDigestMirrorSet %s: %w", w.Rollout.Name, err)
	}
	return nil
}

func (e *Executor) deleteTag(ctx context.Context, w *observe.World, state rollout.SetState) error {
	if state != rollout.SetLeftOver {
		return nil
	}
	err := e.Client.Delete(ctx, &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: w.Rollout.Name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ImageTagMirrorSet %s: %w", w.Rollout.Name, err)
	}
	return nil
}
