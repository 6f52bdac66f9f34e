package observe

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// desiredMirrorSets settles what the rollout wants to be in the cluster, and compares. On the way
// back that is what the record names, and before anything was applied what is there. In the first
// pass of a staged rollout it is what the spec says with the sources as a fallback.
func (observer *Observer) desiredMirrorSets(ctx context.Context, obs *Observation,
	all registriesconf.Sets) (rollout.MirrorSets, *rollout.Problem) {
	idms, itms := obs.ownedMirrorSets()
	before := observer.previously(ctx, obs, all)
	var pass v1alpha1.Pass
	needed := obs.Observed.Record.Rollback != nil || obs.Rollout.Spec.SourcePolicy == v1alpha1.SourcePolicyStaged
	switch {
	case needed && before.problem != nil:
	case obs.Observed.Record.Rollback != nil:
		obs.DesiredSets = prediction.DesiredSetsOf(mirrorset.WithPrevious(obs.Rollout, before.lists))
	default:
		pass = obs.choosePass(all, before.lists)
	}
	state := obs.States(all)
	state.Previous, state.PreviousSaved, state.PreviousProblem = before.ref, before.saved, before.problem
	if needed && before.problem != nil {
		return state, before.problem
	}
	state.Pass, state.ListsHash = pass, mirrorset.ListsHash(obs.Rollout.Spec)
	state.PresentIDMSHash, state.PresentITMSHash = mirrorset.IDMSHash(idms), mirrorset.ITMSHash(itms)
	state.DesiredHash = mirrorset.IDMSHash(obs.IDMS) + "+" + mirrorset.ITMSHash(obs.ITMS)
	if problems := registriesconf.Validate(obs.With(all)); len(problems) > 0 {
		state.Conflict = fmt.Sprintf("%s %s: %s", problems[0].Kind, problems[0].Name, problems[0].Message)
	}
	return state, nil
}

// choosePass aims at the first pass of a staged rollout while that is not over. Which pass it is
// stands on record; when the record is lost, or is about other lists, the mirror sets tell: those
// that are declared are there already, or in part, or it is the first pass.
func (obs *Observation) choosePass(all registriesconf.Sets, previous mirrorset.Previous) v1alpha1.Pass {
	if obs.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return ""
	}
	firstPass, differs := mirrorset.FirstPass(obs.Rollout, previous)
	if !differs {
		return ""
	}
	first, declared := prediction.DesiredSetsOf(firstPass), obs.States(all)
	firstStates := first.States(all)
	partlyEnforced := (declared.IDMS == rollout.SetEqual && firstStates.IDMS != rollout.SetEqual) ||
		(declared.ITMS == rollout.SetEqual && firstStates.ITMS != rollout.SetEqual)
	rec := obs.Observed.Record
	pass := v1alpha1.PassAllow
	switch {
	case rec.Pass != nil && rec.Pass.MirrorsHash == mirrorset.ListsHash(obs.Rollout.Spec):
		pass = rec.Pass.Pass
	case bothInSync(declared), partlyEnforced && rec.AppliedPlanHash == "":
		pass = v1alpha1.PassEnforce
	}
	if pass == v1alpha1.PassAllow {
		obs.DesiredSets = first
	}
	return pass
}

// ownedMirrorSets are the mirror sets in the cluster that carry the mark of the rollout.
func (obs *Observation) ownedMirrorSets() (idms *configv1.ImageDigestMirrorSet, itms *configv1.ImageTagMirrorSet) {
	if d := obs.PresentIDMS; d != nil && d.Labels[mirrorset.LabelRollout] == obs.Rollout.Name {
		idms = d
	}
	if t := obs.PresentITMS; t != nil && t.Labels[mirrorset.LabelRollout] == obs.Rollout.Name {
		itms = t
	}
	return idms, itms
}

// matchesEitherPass tells whether the sets are what the rollout writes, in either pass.
func (obs *Observation) matchesEitherPass(all registriesconf.Sets, previous mirrorset.Previous) bool {
	if bothInSync(obs.States(all)) {
		return true
	}
	if obs.Rollout.Spec.SourcePolicy != v1alpha1.SourcePolicyStaged {
		return false
	}
	firstPass, _ := mirrorset.FirstPass(obs.Rollout, previous)
	return bothInSync(prediction.DesiredSetsOf(firstPass).States(all))
}

func bothInSync(s rollout.MirrorSets) bool { return inSync(s.IDMS) && inSync(s.ITMS) }

func inSync(s rollout.SetState) bool { return s == rollout.SetEqual || s == rollout.SetNotWanted }
