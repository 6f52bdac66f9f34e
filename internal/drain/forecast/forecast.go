package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Report is the forecast in full.
type Report struct {
	At    time.Time
	Nodes []NodeReport
	// Concurrent says of each pool of which several nodes may be taken at once how many of them can
	// be.
	Concurrent []rollout.ConcurrentDrains
}

// NodeReport is the forecast of one node that is still to come.
type NodeReport struct {
	Pool, Node string
	// Position is which nodes come before it: those of the first turn are a set, any of which can
	// be next.
	Position int
	// NotCandidate says why the node cannot be taken at all; empty when it can.
	NotCandidate string
	Result       rollout.DrainForecast
	// Problems are what blocks the drain, or makes it unknown; Remarks are worth knowing.
	Problems []rollout.Problem
	Remarks  []string
	// Evictions is how many pods the drain evicts.
	Evictions int
}

// ForecastAll says of each node that is still to come whether its drain will end: of those that can
// be next, of every pool, and of all others as if they were. Each drain is looked at by itself;
// those that may run at the same time are looked at together as well.
func ForecastAll(s drain.Snapshot) Report { return newCluster(&s).forecastPools(true) }

// ForecastNext is the same for the nodes alone that can be next.
func ForecastNext(s drain.Snapshot) Report { return newCluster(&s).forecastPools(false) }

func (c *cluster) forecastPools(all bool) Report {
	out := Report{At: c.snapshot.Now}
	for i := range c.snapshot.Pools {
		pool := &c.snapshot.Pools[i]
		next := drain.UpdateOrderOf(pool.Pool).RestrictTo(largestRelease(pool))
		for _, name := range next.First {
			out.Nodes = append(out.Nodes, c.forecastNode(pool, name, 1, ""))
		}
		if len(pool.NextReleases) > 1 {
			out.Concurrent = append(out.Concurrent, c.largestConcurrent(pool))
		}
		if !all {
			continue
		}
		for k, l := range next.Others {
			why := ""
			if l.NotCandidate {
				why = l.Why
			}
			out.Nodes = append(out.Nodes, c.forecastNode(pool, l.Node, 2+k, why))
		}
	}
	return out
}

func (c *cluster) forecastNode(pool *drain.PoolNodes, name string, position int, notCandidate string) NodeReport {
	r := NodeReport{Pool: pool.Name, Node: name, Position: position, NotCandidate: notCandidate,
		Result: rollout.DrainSafe}
	n := c.byName[name]
	switch {
	case n == nil:
		r.Result, r.Problems, _ = summarizeIssues([]issue{{level: levelUnknown, kind: "Node", name: name,
			text: "node " + name + " was not seen"}})
		return r
	case n.state.NotDrained:
		r.Remarks = []string{"the control plane of this cluster is a single replica, so the node's daemon drains no node"}
		return r
	case !pool.Drains:
		r.Remarks = []string{"the change drains no node of pool " + pool.Name}
		return r
	}
	for _, p := range n.pods {
		if p.action == drain.ActionEvict || p.action == drain.ActionEvictUnmanaged {
			r.Evictions++
		}
	}
	sim := c.simulate(n)
	for _, u := range c.snapshot.UnreadKinds {
		sim.addIssue(levelUnknown, u.Kind, "", "", fmt.Sprintf("%s could not be read: %s", u.Kind, u.Why))
	}
	r.Result, r.Problems, r.Remarks = summarizeIssues(sim.issues)
	return r
}

// maxPerPool bounds how many nodes of a pool the core is told of. A bad one is never left out for a
// good one.
const maxPerPool = 16

// Summary is what the core decides on: the nodes that can be next, the worst first, and how many
// there are in all.
func (r Report) Summary() rollout.Forecast {
	out := rollout.Forecast{At: r.At, Nodes: []rollout.NodeForecast{}, ConcurrentDrains: r.Concurrent}
	pools := map[string][]rollout.NodeForecast{}
	var order []string
	for _, n := range r.Nodes {
		out.Count(n.Result)
		if n.Position != 1 {
			continue
		}
		if pools[n.Pool] == nil {
			order = append(order, n.Pool)
		}
		pools[n.Pool] = append(pools[n.Pool],
			rollout.NodeForecast{Pool: n.Pool, Node: n.Node, Result: n.Result, Problems: n.Problems})
	}
	slices.Sort(order)
	for _, name := range order {
		nodes := pools[name]
		slices.SortStableFunc(nodes, func(a, b rollout.NodeForecast) int {
			return cmp.Or(severity(b.Result)-severity(a.Result), cmp.Compare(a.Node, b.Node))
		})
		out.Nodes = append(out.Nodes, nodes[:min(len(nodes), maxPerPool)]...)
	}
	return out
}

func severity(o rollout.DrainForecast) int {
	switch o {
	case rollout.DrainBlocked:
		return 2
	case rollout.DrainUnknown:
		return 1
	default:
		return 0
	}
}
