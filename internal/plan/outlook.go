package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
)

// Outlook is what becomes of an item, as far as it is known.
type Outlook string

// The outlooks.
const (
	// Proven: the registries were asked, and it can be pulled under the planned configuration.
	Proven Outlook = "Proven"
	// ToFill: a mirror of the spec serves it, and has to hold it before the mirror sets are applied.
	ToFill Outlook = "ToFill"
	// AtRisk: no mirror of the spec serves it, and whether the places that are left can was not found out.
	AtRisk Outlook = "AtRisk"
	// Lost: it could not be pulled any more.
	Lost Outlook = "Lost"
	// NoWorse: it cannot be pulled today either.
	NoWorse Outlook = "NoWorse"
	// Accepted: the spec lists it among the accepted risks.
	Accepted Outlook = "Accepted"
	// Spared: nothing can start a pod with it now, so it holds nothing.
	Spared Outlook = "Spared"
)

// Outlook judges an item by what the registries said. With nil results nobody has asked them: then an item of which every place would be
// blocked counts as lost, since something runs that was pulled from one of them.
func (p Plan) Outlook(i Item, results map[string]mirror.Result) Outlook {
	if results == nil && dead(i.After) && !dead(i.Before) {
		results = map[string]mirror.Result{i.beforeKey(): deniedToday}
	}
	switch p.fate(i, results) {
	case good:
		return Proven
	case lost:
		return Lost
	case noWorse:
		return NoWorse
	case failing:
		return ToFill
	case ignored:
		if i.Accepted != "" {
			return Accepted
		}
		return Spared
	case unknownFate:
		if i.ours() && !dead(i.After) {
			return ToFill
		}
	}
	return AtRisk
}

// deniedToday stands for what its pods can pull and we cannot tell about.
var deniedToday = mirror.Result{Err: &mirror.Error{Class: mirror.Denied}}

// Loss says what becomes of an item that would be lost or is at risk: who needs it, why, and what to add to the spec.
func (p Plan) Loss(i Item, results map[string]mirror.Result) string {
	if p.Outlook(i, results) == Lost && (results != nil || dead(i.After)) {
		return lostProblem(i, results[i.Key()], results[i.beforeKey()]).Message
	}
	why := "it could then only be pulled from " + strings.Join(references(i.After.Usable()), ", ")
	if e := results[i.Key()].Err; e != nil {
		why += ", and that fails: " + e.Error()
	}
	if i.Shadow != "" {
		why += "; " + i.Shadow + " takes its scope " + i.After.Scope + " away from the mirrors it has today"
	}
	if i.Change == registries.Unblocked {
		return fmt.Sprintf("%s, used by %s: %s", i.Name, i.Reference.UsedBy(), why)
	}
	return fmt.Sprintf("%s, used by %s, may not be pullable any more: %s. %s", i.Name, i.Reference.UsedBy(), why, remedy(i))
}

// Failure says why an item is not proven at the mirror that serves it; empty when it is, or when nobody has asked.
func (p Plan) Failure(i Item, results map[string]mirror.Result) string {
	e := results[i.Key()].Err
	if e == nil {
		return ""
	}
	return e.Error()
}

// Kept tells whether a pull that works today goes on being tried at all the places that it is tried at now, in whatever order.
func (i Item) Kept() bool {
	return i.Change == registries.OrderChanged || i.Change == registries.Unblocked || i.Change == registries.GainsMirror
}

// AcceptedBy is the index of the accepted risk of the spec that covers the item; -1 when none does.
func (i Item) AcceptedBy(risks []v1alpha1.AcceptedRisk) int {
	if i.Accepted == "" {
		return -1
	}
	return slices.IndexFunc(risks, func(r v1alpha1.AcceptedRisk) bool {
		return matches(r.Pattern, i.Reference.Image) || matches(r.Pattern, i.Name)
	})
}
