package observe

import (
	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// aim settles what the rollout wants to be in the cluster, and compares. On the way back that is what the record remembers; before
// anything was applied, it is what is there.
func (l *Live) aim(w *World, all registries.Sets) (rollout.MirrorSets, *rollout.Problem) {
	state := w.States(all)
	have, tooLarge := remembered(w, state)
	if back := w.Observed.Record.Rollback; back != nil {
		previous := have
		if w.Observed.Record.AppliedDigest != "" {
			previous = w.Observed.Record.Previous
		}
		earlier, err := mirrorset.Earlier(w.Rollout, previous)
		if err != nil {
			return state, unreadableRecord(w, err)
		}
		w.Wanted = predict.Want(earlier)
		state = w.States(all)
	}
	state.Have = have
	if tooLarge != nil {
		return state, unreadableRecord(w, tooLarge)
	}
	return state, nil
}

// remembered packs the mirror sets of ours that are in the cluster. When they are what the rollout wants already, because its record was
// lost after they were written, they tell themselves what was there before.
func remembered(w *World, state rollout.MirrorSets) (string, error) {
	digest, tag := w.HaveDigest, w.HaveTag
	if digest != nil && digest.Labels[mirrorset.LabelRollout] != w.Rollout.Name {
		digest = nil
	}
	if tag != nil && tag.Labels[mirrorset.LabelRollout] != w.Rollout.Name {
		tag = nil
	}
	written := w.Observed.Record.AppliedDigest == "" && settled(state.Digest) && settled(state.Tag)
	if previous, ok := annotated(digest, tag); ok && written {
		return previous, nil
	}
	return mirrorset.Encode(digest, tag)
}

func settled(s rollout.SetState) bool { return s == rollout.SetEqual || s == rollout.SetNotWanted }

// annotated is what the sets say of the time before them.
func annotated(digest *configv1.ImageDigestMirrorSet, tag *configv1.ImageTagMirrorSet) (string, bool) {
	if digest != nil {
		if previous, ok := mirrorset.Previous(digest.Annotations); ok {
			return previous, true
		}
	}
	if tag != nil {
		return mirrorset.Previous(tag.Annotations)
	}
	return "", false
}

func unreadableRecord(w *World, err error) *rollout.Problem {
	return &rollout.Problem{Reason: v1alpha1.ReasonInvalidSpec, Kind: "SafeMirrorRollout", Name: w.Rollout.Name, Message: err.Error()}
}
