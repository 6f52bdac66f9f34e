package plan

import (
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// State is what is known of an item under the planned configuration, in the words of a
// SafeMirrorReport.
type State string

// The states of an item.
const (
	// StateProven: it can be pulled.
	StateProven State = "Proven"
	// StateOpen: a registry has not been asked, or has not answered yet.
	StateOpen State = "Open"
	// StateFailing: it could be pulled today, and is not proven at the mirror of the spec that is
	// to serve it.
	StateFailing State = "Failing"
	// StateLost: it could be pulled today, and no mirror of the spec serves it.
	StateLost State = "Lost"
	// StateNoWorse: it cannot be pulled today either.
	StateNoWorse State = "NoWorse"
	// StateAccepted: the spec lists it among the accepted risks.
	StateAccepted State = "Accepted"
	// StateIgnored: nothing can start a pod with it now, so it holds nothing.
	StateIgnored State = "Ignored"
)

// Finding is what is known of one item.
type Finding struct {
	Item  Item
	State State
	// Result is that of the item's job, with the proof if there is one; the zero Result when the
	// engine has none. An item that is accepted or ignored may have a proof, too.
	Result mirror.Result
	// Message says what is wrong and what to do, or why it holds nothing. It is empty when there is
	// nothing to say.
	Message string
}

// Findings are what is known of every item, in the order of the items. Judge counts the same, and
// names the worst.
func (p Plan) Findings(results map[string]mirror.Result) []Finding {
	out := make([]Finding, 0, len(p.Items))
	for _, i := range p.Items {
		f := Finding{Item: i, State: p.state(i, results), Result: results[i.Key()]}
		f.Message = p.message(f, results[i.beforeKey()])
		out = append(out, f)
	}
	return out
}

func (p Plan) state(i Item, results map[string]mirror.Result) State {
	switch p.outcome(i, results) {
	case outcomePullable:
		return StateProven
	case outcomeNotMirrored:
		return StateFailing
	case outcomeLost:
		return StateLost
	case outcomeNoWorse:
		return StateNoWorse
	case outcomeNotBlocking:
		if i.Accepted != "" {
			return StateAccepted
		}
		return StateIgnored
	case outcomeUnknown:
	}
	return StateOpen
}

func (p Plan) message(f Finding, before mirror.Result) string {
	i := f.Item
	switch f.State {
	case StateFailing:
		return failedProblem(i, f.Result, p.VerifyOnly).Message
	case StateLost:
		return lostProblem(i, f.Result, before).Message
	case StateNoWorse:
		return "it cannot be pulled today either: " + whyUnpullableToday(i, before)
	case StateAccepted:
		return "accepted in spec.inventory.acceptedRisks: " + i.Accepted
	case StateIgnored:
		text := fmt.Sprintf("%s: nothing can start a pod with it now, so it holds nothing", i.Reference.Class)
		if unpullable(i.After) || f.Result.Err != nil {
			text += "; under the planned configuration " + whyUnpullable(i, f.Result)
		}
		return text
	case StateOpen:
		if unpullable(i.After) || f.Result.Err != nil {
			return "whether it can be pulled today is still being asked; under the planned configuration " +
				whyUnpullable(i, f.Result)
		}
	case StateProven:
	}
	return ""
}

func whyUnpullableToday(i Item, before mirror.Result) string {
	switch {
	case i.Before.Err != "":
		return "its name cannot be rewritten for its mirror: " + i.Before.Err
	case unpullable(i.Before):
		return "every place it could be pulled from is blocked by " + blockedBy(i.Before)
	default:
		return failureText(before)
	}
}
