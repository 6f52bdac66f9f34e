package predict

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Problems are what keeps the rollout from beginning on this cluster: nodes that no pool updates, what is wrong with the spec itself, sets
// of its name that are not its own, and mirror sets that are not valid together. The live operator and a plan both go by it.
func (w Wanted) Problems(all registries.Sets, p Prediction) []rollout.Problem {
	out := slices.Clone(p.Strays)
	out = append(out, rollout.SpecProblems(w.Rollout, p.Platforms)...)
	out = append(out, w.Foreign(w.States(all))...)
	if len(out) == 0 { // a set that is invalid because of one of these would be named twice
		out = append(out, w.UnionProblems(all)...)
	}
	return out
}

// Foreign are the sets of the rollout's name that are not its own.
func (w Wanted) Foreign(state rollout.MirrorSets) []rollout.Problem {
	var out []rollout.Problem
	for _, set := range []struct {
		kind  string
		state rollout.SetState
	}{{"ImageDigestMirrorSet", state.Digest}, {"ImageTagMirrorSet", state.Tag}} {
		if set.state == rollout.SetForeign {
			out = append(out, rollout.Problem{Reason: v1alpha1.ReasonManagedElsewhere, Kind: set.kind, Name: w.Rollout.Name, Message: fmt.Sprintf(
				"%s %s exists and is not this rollout's (no label %s=%s): give the rollout another name, or hand the object over by that label",
				set.kind, w.Rollout.Name, mirrorset.LabelRollout, w.Rollout.Name)})
		}
	}
	return out
}

// UnionProblems checks the union as it is with our digest set alone, which is written first, and as it is in the end. One
// invalid set freezes the registries of the whole cluster, and the MCO says so nowhere.
func (w Wanted) UnionProblems(all registries.Sets) []rollout.Problem {
	base := w.Without(all)
	var out []rollout.Problem
	seen := map[registries.Problem]bool{}
	for _, union := range []registries.Sets{base.With(w.Digest, nil), base.With(w.Digest, w.Tag)} {
		for _, p := range registries.Validate(union) {
			if seen[p] {
				continue
			}
			seen[p] = true
			out = append(out, rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: p.Kind, Name: p.Name, Message: w.inSpec(p)})
		}
	}
	return out
}

// inSpec names the field as the user wrote it: our sets exist only in the spec so far.
func (w Wanted) inSpec(p registries.Problem) string {
	where := fmt.Sprintf("%s %s, %s", p.Kind, p.Name, p.Field)
	if p.Name == w.Rollout.Name && (p.Kind == registries.KindIDMS || p.Kind == registries.KindITMS) {
		where = p.Field
	}
	return where + ": " + p.Message
}
