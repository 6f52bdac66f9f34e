package prediction

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Problems are what keeps the rollout from beginning on this cluster: nodes that no pool updates,
// what is wrong with the spec itself, sets of its name that are not its own, and mirror sets that
// are not valid together. The live operator and a plan both go by it.
func (desired DesiredSets) Problems(all registriesconf.Sets, p Prediction) []rollout.Problem {
	out := slices.Clone(p.UnmanagedNodes)
	out = append(out, rollout.SpecProblems(desired.Rollout, p.Platforms)...)
	out = append(out, desired.Foreign(desired.States(all))...)
	if len(out) == 0 { // a set that is invalid because of one of these would be named twice
		out = append(out, desired.UnionProblems(all)...)
	}
	return out
}

// Foreign are the sets of the rollout's name that are not its own.
func (desired DesiredSets) Foreign(state rollout.MirrorSets) []rollout.Problem {
	var out []rollout.Problem
	for _, set := range []struct {
		kind  string
		state rollout.SetState
	}{{"ImageDigestMirrorSet", state.IDMS}, {"ImageTagMirrorSet", state.ITMS}} {
		if set.state == rollout.SetForeign {
			out = append(out, rollout.Problem{Reason: v1alpha1.ReasonManagedElsewhere, Kind: set.kind,
				Name: desired.Rollout.Name, Message: fmt.Sprintf(
					"%s %s exists and is not this rollout's (no label %s=%s): give the rollout another name, or hand the object over by that label",
					set.kind, desired.Rollout.Name, mirrorset.LabelRollout, desired.Rollout.Name)})
		}
	}
	return out
}

// UnionProblems checks the union as it is with our digest set alone, which is written first, and as
// it is in the end. One invalid set freezes the registries of the whole cluster, and the MCO says
// so nowhere.
func (desired DesiredSets) UnionProblems(all registriesconf.Sets) []rollout.Problem {
	base := desired.Without(all)
	var out []rollout.Problem
	seen := map[registriesconf.Problem]bool{}
	for _, union := range []registriesconf.Sets{base.With(desired.IDMS, nil), base.With(desired.IDMS, desired.ITMS)} {
		for _, p := range registriesconf.Validate(union) {
			if seen[p] {
				continue
			}
			seen[p] = true
			out = append(out, rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: p.Kind, Name: p.Name,
				Message: desired.describe(p)})
		}
	}
	return out
}

// describe names the field as the user wrote it: our sets exist only in the spec so far.
func (desired DesiredSets) describe(p registriesconf.Problem) string {
	where := fmt.Sprintf("%s %s, %s", p.Kind, p.Name, p.Field)
	if p.Name == desired.Rollout.Name && (p.Kind == registriesconf.KindIDMS || p.Kind == registriesconf.KindITMS) {
		where = p.Field
	}
	return where + ": " + p.Message
}
