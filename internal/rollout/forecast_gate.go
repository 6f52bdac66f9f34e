package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// awaitForecast holds the release of a node of the pool until each one that may be next is forecast
// to be drained. Which it will be is the MCO's choice, so one of them that is blocked, or of which
// nobody can say, holds them all: unknown never disrupts (I3). On the way back the forecast decides
// nothing: there it may be the drain that is stuck which has to be freed.
//
// Example: n1 and n2 are of one age, and the drain of n2 would evict the last healthy router. The
// MCO may take n2, so neither is released until the other router is ready.
func awaitForecast(o Observed, p Pool) Step {
	if o.Rollout.ForecastAdvisory || rollingBack(o) {
		return nil
	}
	forecast, ok := o.Forecast.Get()
	if !ok {
		return waitForRead("Forecast", o.Forecast.Why())
	}
	var found bool
	var notSafe []NodeForecast
	for _, n := range forecast.Nodes {
		if n.Pool != p.Name {
			continue
		}
		found = true
		if n.Result != DrainSafe {
			notSafe = append(notSafe, n)
		}
	}
	switch {
	case len(notSafe) > 0:
		return Wait{Blockers: forecastBlockers(notSafe)}
	case !found && len(candidates(o, p)) > 0, o.Rollout.Targeted &&
		len(notInForecast(o, p, namesOf(nextNodes(o, p, 1)))) > 0:
		return Wait{Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonDrainForecast,
			"has nodes to release, and none of them is in the forecast; it is made again within a minute")}}
	default:
		return nil
	}
}

// minForecastNodes is how many nodes of a pool a forecast names at least when there are as many.
// Among more than that, those that are not named are no worse than those that are.
const minForecastNodes = 16

// notInForecast are those of the nodes that the forecast has not looked at.
func notInForecast(o Observed, p Pool, nodes []string) []string {
	if o.Rollout.ForecastAdvisory || rollingBack(o) {
		return nil
	}
	forecast, _ := o.Forecast.Get()
	var found []string
	for _, n := range forecast.Nodes {
		if n.Pool == p.Name {
			found = append(found, n.Node)
		}
	}
	if len(found) >= minForecastNodes {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return slices.Contains(found, n) })
}

// maxConcurrentDrains is how many of so many nodes can be drained at the same time. What the
// forecast has not looked at goes one by one: unknown never disrupts (I3).
//
// Example: n1 and n2 are to be released at once. The pod that leaves n1 can move to n2 only, and
// the one that leaves n2 to n1 only, each under a budget of one: either drain would go through, and
// both at the same time wait for each other for ever.
func maxConcurrentDrains(o Observed, p Pool, wanted int) int {
	if o.Rollout.ForecastAdvisory || rollingBack(o) || wanted <= 1 {
		return wanted
	}
	return min(wanted, max(1, concurrentDrains(o, p).Size))
}

func concurrentDrains(o Observed, p Pool) ConcurrentDrains {
	forecast, _ := o.Forecast.Get()
	for _, t := range forecast.ConcurrentDrains {
		if t.Pool == p.Name {
			return t
		}
	}
	return ConcurrentDrains{Pool: p.Name}
}

// sizeLimitReason says why a release is for fewer nodes than are allowed at once; empty when the
// forecast has no part in that.
func sizeLimitReason(o Observed, p Pool, size int) string {
	t := concurrentDrains(o, p)
	if size != t.Size || maxConcurrentDrains(o, p, size+1) > size || len(t.Problems) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s at the same time would not go through: %s", nodeCountText(size+1), t.Problems[0].Message)
}

// awaitForecastBeforeStart says before anything is paused what would hold the first release of any
// pool: the user learns it while nothing has been changed. What nobody can say yet, because images
// are still to be copied for example, does not hold here.
func awaitForecastBeforeStart(o Observed) Step {
	if o.Rollout.ForecastAdvisory || rollingBack(o) || o.Record.StartedAt != nil {
		return nil
	}
	forecast, ok := o.Forecast.Get()
	if !ok {
		return waitForRead("Forecast", o.Forecast.Why())
	}
	notSafe := slices.DeleteFunc(slices.Clone(forecast.Nodes),
		func(n NodeForecast) bool { return n.Result != DrainBlocked })
	if len(notSafe) == 0 {
		return nil
	}
	return Wait{Blockers: forecastBlockers(notSafe)}
}

// forecastBlockers names each thing in the way once, with the nodes that it concerns, blocked ones
// first.
func forecastBlockers(notSafe []NodeForecast) []Blocker {
	// Blocked, Unknown
	slices.SortStableFunc(notSafe,
		func(a, b NodeForecast) int { return strings.Compare(string(a.Result), string(b.Result)) })
	var out []Blocker
	nodes := map[Blocker][]string{}
	messages := map[Blocker]string{}
	for _, n := range notSafe {
		problems := n.Problems
		if len(problems) == 0 {
			problems = []Problem{{Kind: "Node", Name: n.Node, Message: "its drain is forecast to be " +
				string(n.Result)}}
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
		out[i].Message = fmt.Sprintf("no drain of %s before this is fixed: %s; it is looked at again within a minute",
			joinSome(nodes[key], 3), messages[key])
	}
	return out
}

// joinSome lists some of many: a, b, c and 4 more.
func joinSome(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
