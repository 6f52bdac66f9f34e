package observe

import (
	"fmt"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// aim settles what the rollout wants to be in the cluster, and compares. On the way back that is what the record remembers, and before
// anything was applied what is there. In the first pass of a staged rollout it is what the spec says with the sources as a fallback.
func (l *Live) aim(w *World, all registries.Sets) (rollout.MirrorSets, *rollout.Problem) {
	digest, tag := w.ours()
	have, tooLarge := w.remembered(all, digest, tag)
	previous := have
	if w.Observed.Record.AppliedDigest != "" {
		previous = w.Observed.Record.Previous
	}
	var pass v1alpha1.Pass
	var err error
	if w.Observed.Record.Rollback != nil {
		var earlier *v1alpha1.SafeMirrorRollout
		if earlier, err = mirrorset.Earlier(w.Rollout, previous); err == nil {
			w.Wanted = predict.Want(earlier)
		}
	} else {
		pass, err = w.stage(all, previous)
	}
	state := w.States(all)
	if err != nil {
		return state, unreadableRecord(w, err)
	}
	state.Have, state.Pass, state.Lists = have, pass, mirrorset.Lists(w.Rollout.Spec)
	state.HaveDigest, state.HaveTag = mirrorset.DigestIdentity(digest), mirrorset.TagIdentity(tag)
	state.To = mirrorset.DigestIdentity(w.Digest) + "+" + mirrorset.TagIdentity(w.Tag)
	if problems := registries.Validate(w.With(all)); len(problems) > 0 {
		state.Clash = fmt.Sprintf("%s %s: %s", problems[0].Kind, problems[0].Name, problems[0].Message)
	}
	if tooLarge != nil {
		return state, unreadableRecord(w, tooLarge)
	}
	return state, nil
}

// stage aims at the first pass of a staged rollout while that is not over. Which pass it is stands on record; when the record is lost, or
// is about other lists, the mirror sets tell: those that are declared are there already, or in part, or it is the first pass.
func (w *World) stage(all registries.Sets, previous string) (v1alpha1.Pass, error) {
	if w.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return "", nil
	}
	soft, differs, err := mirrorset.Softened(w.Rollout, previous)
	if err != nil || !differs {
		return "", err
	}
	first, declared := predict.Want(soft), w.States(all)
	softly := first.States(all)
	partly := (declared.Digest == rollout.SetEqual && softly.Digest != rollout.SetEqual) || (declared.Tag == rollout.SetEqual && softly.Tag != rollout.SetEqual)
	rec := w.Observed.Record
	pass := v1alpha1.PassAllow
	switch {
	case rec.Pass != nil && rec.Pass.Lists == mirrorset.Lists(w.Rollout.Spec):
		pass = rec.Pass.Pass
	case bothSettled(declared), partly && rec.AppliedDigest == "":
		pass = v1alpha1.PassEnforce
	}
	if pass == v1alpha1.PassAllow {
		w.Wanted = first
	}
	return pass, nil
}

// ours are the mirror sets in the cluster that carry the mark of the rollout.
func (w *World) ours() (digest *configv1.ImageDigestMirrorSet, tag *configv1.ImageTagMirrorSet) {
	if d := w.HaveDigest; d != nil && d.Labels[mirrorset.LabelRollout] == w.Rollout.Name {
		digest = d
	}
	if t := w.HaveTag; t != nil && t.Labels[mirrorset.LabelRollout] == w.Rollout.Name {
		tag = t
	}
	return digest, tag
}

// remembered packs the mirror sets of ours that are in the cluster. When they are what the rollout wants already, because its record was
// lost after they were written, they tell themselves what was there before.
func (w *World) remembered(all registries.Sets, digest *configv1.ImageDigestMirrorSet, tag *configv1.ImageTagMirrorSet) (string, error) {
	if previous, ok := annotated(digest, tag); ok && w.Observed.Record.AppliedDigest == "" && w.written(all, previous) {
		return previous, nil
	}
	return mirrorset.Encode(digest, tag)
}

// written tells whether the sets are what the rollout writes, in either pass.
func (w *World) written(all registries.Sets, previous string) bool {
	if bothSettled(w.States(all)) {
		return true
	}
	if w.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return false
	}
	soft, _, err := mirrorset.Softened(w.Rollout, previous)
	return err == nil && bothSettled(predict.Want(soft).States(all))
}

func bothSettled(s rollout.MirrorSets) bool { return settled(s.Digest) && settled(s.Tag) }

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
