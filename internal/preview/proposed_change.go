package preview

import (
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// ProposedChange is what a cluster is to have. The zero Wish is the cluster as it is.
type ProposedChange struct {
	// Rollout is the wish. Of plain mirror sets it is one that was made of them, and never leaves
	// memory.
	Rollout *v1alpha1.SafeMirrorRollout
	// Digests and Tags are the plain mirror sets that Rollout was made of, if it was: they take the
	// place of those of the same names, whoever made those.
	Digests []configv1.ImageDigestMirrorSet
	Tags    []configv1.ImageTagMirrorSet
}

// IsPlain tells whether the wish came as plain mirror sets.
func (change ProposedChange) IsPlain() bool { return len(change.Digests)+len(change.Tags) > 0 }

// Passes is how often each node changes: twice when sources are blocked in a second pass.
func (change ProposedChange) Passes() int {
	if change.IsPlain() || change.Rollout == nil || change.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return 1
	}
	if _, differs := mirrorset.FirstPass(change.Rollout, mirrorset.Previous{}); !differs {
		return 1
	}
	return 2
}

// unions compares the cluster as it is now with the cluster that has what is wished for.
func (change ProposedChange) unions(all registriesconf.Sets) prediction.Unions {
	after := all
	switch {
	case change.IsPlain():
		for i := range change.Digests {
			after = after.With(&change.Digests[i], nil)
		}
		for i := range change.Tags {
			after = after.With(nil, &change.Tags[i])
		}
	case change.Rollout != nil:
		after = prediction.DesiredSetsOf(change.Rollout).With(all)
	}
	return prediction.Unions{Before: all, After: after, Now: all}
}

// isApplied tells whether the cluster has the mirror sets as they are wished for.
func (change ProposedChange) isApplied(all registriesconf.Sets) bool {
	if !change.IsPlain() {
		s := prediction.DesiredSetsOf(change.Rollout).States(all)
		return isUpToDate(s.IDMS) && isUpToDate(s.ITMS)
	}
	for _, want := range change.Digests {
		if !slices.ContainsFunc(all.IDMSs, func(have configv1.ImageDigestMirrorSet) bool {
			return have.Name == want.Name && equality.Semantic.DeepEqual(have.Spec, want.Spec)
		}) {
			return false
		}
	}
	for _, want := range change.Tags {
		if !slices.ContainsFunc(all.ITMSs, func(have configv1.ImageTagMirrorSet) bool {
			return have.Name == want.Name && equality.Semantic.DeepEqual(have.Spec, want.Spec)
		}) {
			return false
		}
	}
	return true
}

func isUpToDate(s rollout.SetState) bool { return s == rollout.SetEqual || s == rollout.SetNotWanted }

// problems are what the Machine Config Operator, or the rollout itself, would refuse.
func (change ProposedChange) problems(all registriesconf.Sets, p prediction.Prediction) []rollout.Problem {
	if !change.IsPlain() {
		return prediction.DesiredSetsOf(change.Rollout).Problems(all, p)
	}
	out := slices.Clone(p.UnmanagedNodes)
	for _, p := range registriesconf.Validate(change.unions(all).After) {
		out = append(out, rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: p.Kind, Name: p.Name,
			Message: p.String()})
	}
	return out
}
