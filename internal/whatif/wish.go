package whatif

import (
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Wish is what a cluster is to have. The zero Wish is the cluster as it is.
type Wish struct {
	// Rollout is the wish. Of plain mirror sets it is one that was made of them, and never leaves memory.
	Rollout *v1alpha1.SafeMirrorRollout
	// Digests and Tags are the plain mirror sets that Rollout was made of, if it was: they take the place of those of the same names,
	// whoever made those.
	Digests []configv1.ImageDigestMirrorSet
	Tags    []configv1.ImageTagMirrorSet
}

// Plain tells whether the wish came as plain mirror sets.
func (w Wish) Plain() bool { return len(w.Digests)+len(w.Tags) > 0 }

// Passes is how often each node changes: twice when sources are blocked in a second pass.
func (w Wish) Passes() int {
	if w.Plain() || w.Rollout == nil || w.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return 1
	}
	if _, differs := mirrorset.Softened(w.Rollout, mirrorset.Previous{}); !differs {
		return 1
	}
	return 2
}

// unions compares the cluster as it is now with the cluster that has what is wished for.
func (w Wish) unions(all registries.Sets) predict.Unions {
	after := all
	switch {
	case w.Plain():
		for i := range w.Digests {
			after = after.With(&w.Digests[i], nil)
		}
		for i := range w.Tags {
			after = after.With(nil, &w.Tags[i])
		}
	case w.Rollout != nil:
		after = predict.Want(w.Rollout).With(all)
	}
	return predict.Unions{Before: all, After: after, Now: all}
}

// there tells whether the cluster has the mirror sets as they are wished for.
func (w Wish) there(all registries.Sets) bool {
	if !w.Plain() {
		s := predict.Want(w.Rollout).States(all)
		return settled(s.Digest) && settled(s.Tag)
	}
	for _, want := range w.Digests {
		if !slices.ContainsFunc(all.IDMSs, func(have configv1.ImageDigestMirrorSet) bool {
			return have.Name == want.Name && equality.Semantic.DeepEqual(have.Spec, want.Spec)
		}) {
			return false
		}
	}
	for _, want := range w.Tags {
		if !slices.ContainsFunc(all.ITMSs, func(have configv1.ImageTagMirrorSet) bool {
			return have.Name == want.Name && equality.Semantic.DeepEqual(have.Spec, want.Spec)
		}) {
			return false
		}
	}
	return true
}

func settled(s rollout.SetState) bool { return s == rollout.SetEqual || s == rollout.SetNotWanted }

// problems are what the Machine Config Operator, or the rollout itself, would refuse.
func (w Wish) problems(all registries.Sets, p predict.Prediction) []rollout.Problem {
	if !w.Plain() {
		return predict.Want(w.Rollout).Problems(all, p)
	}
	out := slices.Clone(p.Strays)
	for _, p := range registries.Validate(w.unions(all).After) {
		out = append(out, rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: p.Kind, Name: p.Name, Message: p.String()})
	}
	return out
}
