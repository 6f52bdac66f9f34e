package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// foreseen holds the release of a node of the pool until each one that may be next is forecast to be drained. Which it will be is the
// MCO's choice, so one of them that is blocked, or of which nobody can say, holds them all: unknown never disrupts (I3). On the way back
// the forecast decides nothing: there it may be the drain that is stuck which has to be freed.
//
// Example: n1 and n2 are of one age, and the drain of n2 would evict the last healthy router. The MCO may take n2, so neither is released
// until the other router is ready.
func foreseen(o Observed, p Pool) Step {
	if o.Rollout.ForecastAdvisory || back(o) {
		return nil
	}
	forecast, ok := o.Forecast.Get()
	if !ok {
		return unreadable("Forecast", o.Forecast.Why())
	}
	var seen bool
	var bad []NodeForecast
	for _, n := range forecast.Nodes {
		if n.Pool != p.Name {
			continue
		}
		seen = true
		if n.Outlook != OutlookSafe {
			bad = append(bad, n)
		}
	}
	switch {
	case len(bad) > 0:
		return Wait{Blockers: outlookBlockers(bad)}
	case !seen && len(candidates(o, p)) > 0, o.Rollout.Targeted && len(unforeseen(o, p, names(next(o, p, 1)))) > 0:
		return Wait{Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonDrainForecast, "has nodes to release, and none of them is in the forecast; it is made again within a minute")}}
	default:
		return nil
	}
}

// mostForeseen is how many nodes of a pool a forecast names at least when there are as many. Among more than that, those that are not named
// are no worse than those that are.
const mostForeseen = 16

// unforeseen are those of the nodes that the forecast has not looked at.
func unforeseen(o Observed, p Pool, nodes []string) []string {
	if o.Rollout.ForecastAdvisory || back(o) {
		return nil
	}
	forecast, _ := o.Forecast.Get()
	var seen []string
	for _, n := range forecast.Nodes {
		if n.Pool == p.Name {
			seen = append(seen, n.Node)
		}
	}
	if len(seen) >= mostForeseen {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return slices.Contains(seen, n) })
}

// together is how many of so many nodes can be drained at the same time. What the forecast has not looked at goes one by one: unknown never
// disrupts (I3).
//
// Example: n1 and n2 are to be released at once. The pod that leaves n1 can move to n2 only, and the one that leaves n2 to n1 only, each
// under a budget of one: either drain would go through, and both at the same time wait for each other for ever.
func together(o Observed, p Pool, wanted int) int {
	if o.Rollout.ForecastAdvisory || back(o) || wanted <= 1 {
		return wanted
	}
	return min(wanted, max(1, foreseenTogether(o, p).Size))
}

func foreseenTogether(o Observed, p Pool) Together {
	forecast, _ := o.Forecast.Get()
	for _, t := range forecast.Together {
		if t.Pool == p.Name {
			return t
		}
	}
	return Together{Pool: p.Name}
}

// smaller says why a release is for fewer nodes than are allowed at once; empty when the forecast has no part in that.
func smaller(o Observed, p Pool, size int) string {
	t := foreseenTogether(o, p)
	if size != t.Size || together(o, p, size+1) > size || len(t.Problems) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s at the same time would not go through: %s", howMany(size+1), t.Problems[0].Message)
}

// foreseenBefore says before anything is paused what would hold the first release of any pool: the user learns it while nothing has been
// changed. What nobody can say yet, because images are still to be copied for example, does not hold here.
func foreseenBefore(o Observed) Step {
	if o.Rollout.ForecastAdvisory || back(o) || o.Record.StartedAt != nil {
		return nil
	}
	forecast, ok := o.Forecast.Get()
	if !ok {
		return unreadable("Forecast", o.Forecast.Why())
	}
	bad := slices.DeleteFunc(slices.Clone(forecast.Nodes), func(n NodeForecast) bool { return n.Outlook != OutlookBlocked })
	if len(bad) == 0 {
		return nil
	}
	return Wait{Blockers: outlookBlockers(bad)}
}

// outlookBlockers names each thing in the way once, with the nodes that it concerns, blocked ones first.
func outlookBlockers(bad []NodeForecast) []Blocker {
	slices.SortStableFunc(bad, func(a, b NodeForecast) int { return strings.Compare(string(a.Outlook), string(b.Outlook)) }) // Blocked, Unknown
	var out []Blocker
	nodes := map[Blocker][]string{}
	messages := map[Blocker]string{}
	for _, n := range bad {
		problems := n.Problems
		if len(problems) == 0 {
			problems = []Problem{{Kind: "Node", Name: n.Node, Message: "its drain is forecast to be " + string(n.Outlook)}}
		}
		for _, p := range problems {
			key := Blocker{Reason: v1alpha1.ReasonDrainForecast, Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
			if messages[key] == "" {
				out, messages[key] = append(out, key), p.Message
			}
			if name := n.Pool + "/" + n.Node; !slices.Contains(nodes[key], name) {
				nodes[key] = append(nodes[key], name)
			}
		}
	}
	for i, key := range out {
		out[i].Message = fmt.Sprintf("no drain of %s before this is mended: %s; it is looked at again within a minute", someOf(nodes[key], 3), messages[key])
	}
	return out
}

// someOf lists some of many: a, b, c and 4 more.
func someOf(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
