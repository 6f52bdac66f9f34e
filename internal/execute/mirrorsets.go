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
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// applyMirrorSets writes digest mirrors before tag mirrors, and removes in the other order: a source that is blocked shall never
// be without the digest mirrors that keep its digest pulls alive.
func (e *Executor) applyMirrorSets(ctx context.Context, w *observe.World) error {
	sets, ok := w.Observed.Sets.Get()
	if !ok {
		return &Refused{Action: "apply-mirror-sets", Why: w.Observed.Sets.Why()}
	}
	if err := e.applyDigest(ctx, w, sets.Digest); err != nil {
		return err
	}
	if err := e.applyTag(ctx, w, sets.Tag); err != nil {
		return err
	}
	if sets.Digest == rollout.SetLeftOver {
		set := &configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: w.Rollout.Name}}
		return client.IgnoreNotFound(e.Client.Delete(ctx, set))
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
	switch {
	case state == rollout.SetLeftOver:
		set := &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: w.Rollout.Name}}
		return client.IgnoreNotFound(e.Client.Delete(ctx, set))
	case w.Tag == nil || state == rollout.SetEqual:
		return nil
	}
	if err := e.Client.Apply(ctx, mirrorset.TagApply(w.Tag), client.ForceOwnership, client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("applying ImageTagMirrorSet %s: %w", w.Rollout.Name, err)
	}
	return nil
}
