package observe

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// aim settles what the rollout wants to be in the cluster, and compares. On the way back that is what the record names, and before
// anything was applied what is there. In the first pass of a staged rollout it is what the spec says with the sources as a fallback.
func (l *Live) aim(ctx context.Context, w *World, all registries.Sets) (rollout.MirrorSets, *rollout.Problem) {
	digest, tag := w.ours()
	before := l.previously(ctx, w, all)
	var pass v1alpha1.Pass
	needed := w.Observed.Record.Rollback != nil || w.Rollout.Spec.SourcePolicy == v1alpha1.SourcePolicyStaged
	switch {
	case needed && before.problem != nil:
	case w.Observed.Record.Rollback != nil:
		w.Wanted = predict.Want(mirrorset.Earlier(w.Rollout, before.lists))
	default:
		pass = w.stage(all, before.lists)
	}
	state := w.States(all)
	state.Previous, state.PreviousSaved, state.PreviousProblem = before.ref, before.saved, before.problem
	if needed && before.problem != nil {
		return state, before.problem
	}
	state.Pass, state.Lists = pass, mirrorset.Lists(w.Rollout.Spec)
	state.HaveDigest, state.HaveTag = mirrorset.DigestIdentity(digest), mirrorset.TagIdentity(tag)
	state.To = mirrorset.DigestIdentity(w.Digest) + "+" + mirrorset.TagIdentity(w.Tag)
	if problems := registries.Validate(w.With(all)); len(problems) > 0 {
		state.Clash = fmt.Sprintf("%s %s: %s", problems[0].Kind, problems[0].Name, problems[0].Message)
	}
	return state, nil
}

// stage aims at the first pass of a staged rollout while that is not over. Which pass it is stands on record; when the record is lost, or
// is about other lists, the mirror sets tell: those that are declared are there already, or in part, or it is the first pass.
func (w *World) stage(all registries.Sets, previous mirrorset.Previous) v1alpha1.Pass {
	if w.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return ""
	}
	soft, differs := mirrorset.Softened(w.Rollout, previous)
	if !differs {
		return ""
	}
	first, declared := predict.Want(soft), w.States(all)
	softly := first.States(all)
	partly := (declared.Digest == rollout.SetEqual && softly.Digest != rollout.SetEqual) || (declared.Tag == rollout.SetEqual && softly.Tag != rollout.SetEqual)
	rec := w.Observed.Record
	pass := v1alpha1.PassAllow
	switch {
	case rec.Pass != nil && rec.Pass.MirrorsHash == mirrorset.Lists(w.Rollout.Spec):
		pass = rec.Pass.Pass
	case bothSettled(declared), partly && rec.AppliedPlanHash == "":
		pass = v1alpha1.PassEnforce
	}
	if pass == v1alpha1.PassAllow {
		w.Wanted = first
	}
	return pass
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

// written tells whether the sets are what the rollout writes, in either pass.
func (w *World) written(all registries.Sets, previous mirrorset.Previous) bool {
	if bothSettled(w.States(all)) {
		return true
	}
	if w.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return false
	}
	soft, _ := mirrorset.Softened(w.Rollout, previous)
	return bothSettled(predict.Want(soft).States(all))
}

func bothSettled(s rollout.MirrorSets) bool { return settled(s.Digest) && settled(s.Tag) }

func settled(s rollout.SetState) bool { return s == rollout.SetEqual || s == rollout.SetNotWanted }
