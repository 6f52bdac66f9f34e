package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// PullForecast is what becomes of an item, as far as it is known.
type PullForecast string

// The outlooks.
const (
	// Proven: the registries were asked, and it can be pulled under the planned configuration.
	Proven PullForecast = "Proven"
	// ToMirror: a mirror of the spec serves it, and has to hold it before the mirror sets are
	// applied.
	ToMirror PullForecast = "ToFill"
	// AtRisk: no mirror of the spec serves it, and whether the places that are left can was not
	// found out.
	AtRisk PullForecast = "AtRisk"
	// Lost: it could not be pulled any more.
	Lost PullForecast = "Lost"
	// NoWorse: it cannot be pulled today either.
	NoWorse PullForecast = "NoWorse"
	// Accepted: the spec lists it among the accepted risks.
	Accepted PullForecast = "Accepted"
	// Spared: nothing can start a pod with it now, so it holds nothing.
	NotBlocking PullForecast = "Spared"
)

// PullForecast judges an item by what the registries said. With nil results nobody has asked them:
// then an item of which every place would be blocked counts as lost, since something runs that was
// pulled from one of them.
func (p Plan) PullForecast(i Item, results map[string]mirror.Result) PullForecast {
	if results == nil && unpullable(i.After) && !unpullable(i.Before) {
		results = map[string]mirror.Result{i.beforeKey(): deniedToday}
	}
	switch p.outcome(i, results) {
	case outcomePullable:
		return Proven
	case outcomeLost:
		return Lost
	case outcomeNoWorse:
		return NoWorse
	case outcomeNotMirrored:
		return ToMirror
	case outcomeNotBlocking:
		if i.Accepted != "" {
			return Accepted
		}
		return NotBlocking
	case outcomeUnknown:
		if i.hasTarget() && !unpullable(i.After) {
			return ToMirror
		}
	}
	return AtRisk
}

// deniedToday stands for what its pods can pull and we cannot tell about.
var deniedToday = mirror.Result{Err: &mirror.Error{Class: mirror.Denied}}

// LossMessage says what becomes of an item that would be lost or is at risk: who needs it, why, and
// what to add to the spec.
func (p Plan) LossMessage(i Item, results map[string]mirror.Result) string {
	if p.PullForecast(i, results) == Lost && (results != nil || unpullable(i.After)) {
		return lostProblem(i, results[i.Key()], results[i.beforeKey()]).Message
	}
	why := "it could then only be pulled from " + strings.Join(endpointReferences(i.After.Usable()), ", ")
	if e := results[i.Key()].Err; e != nil {
		why += ", and that fails: " + e.Error()
	}
	if i.ShadowedBy != "" {
		why += "; " + i.ShadowedBy + " takes its scope " + i.After.Scope + " away from the mirrors it has today"
	}
	if i.Change == registriesconf.Unblocked {
		return fmt.Sprintf("%s, used by %s: %s", i.Name, i.Reference.UsedBy(), why)
	}
	return fmt.Sprintf("%s, used by %s, may not be pullable any more: %s. %s", i.Name, i.Reference.UsedBy(), why,
		suggestion(i))
}

// FailureMessage says why an item is not proven at the mirror that serves it; empty when it is, or
// when nobody has asked.
func (p Plan) FailureMessage(i Item, results map[string]mirror.Result) string {
	e := results[i.Key()].Err
	if e == nil {
		return ""
	}
	return e.Error()
}

// KeepsEndpoints tells whether a pull that works today goes on being tried at all the places that
// it is tried at now, in whatever order.
func (i Item) KeepsEndpoints() bool {
	return i.Change == registriesconf.OrderChanged || i.Change == registriesconf.Unblocked ||
		i.Change == registriesconf.GainsMirror
}

// AcceptedRiskIndex is the index of the accepted risk of the spec that covers the item; -1 when
// none does.
func (i Item) AcceptedRiskIndex(risks []v1alpha1.AcceptedRisk) int {
	if i.Accepted == "" {
		return -1
	}
	return slices.IndexFunc(risks, func(r v1alpha1.AcceptedRisk) bool {
		return matchesPattern(r.Pattern, i.Reference.Image) || matchesPattern(r.Pattern, i.Name)
	})
}
