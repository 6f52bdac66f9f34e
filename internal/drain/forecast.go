package drain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Report is the forecast in full.
type Report struct {
	At    time.Time
	Nodes []NodeReport
	// Together says of each pool of which several nodes may be taken at once how many of them can be.
	Together []rollout.Together
}

// NodeReport is the forecast of one node that is still to come.
type NodeReport struct {
	Pool, Node string
	// Turn is which nodes come before it: those of the first turn are a set, any of which can be next.
	Turn int
	// Never says why the node cannot be taken at all; empty when it can.
	Never   string
	Outlook rollout.Outlook
	// Problems are what blocks the drain, or makes it unknown; Remarks are worth knowing.
	Problems []rollout.Problem
	Remarks  []string
	// Leaving is how many pods the drain evicts.
	Leaving int
}

// Foretell says of each node that is still to come whether its drain will end: of those that can be next, of every pool, and of all others as
// if they were. Each drain is looked at by itself; those that may run at the same time are looked at together as well.
func Foretell(s Snapshot) Report { return newCluster(&s).report(true) }

// ForetellNext is the same for the nodes alone that can be next.
func ForetellNext(s Snapshot) Report { return newCluster(&s).report(false) }

func (c *cluster) report(all bool) Report {
	out := Report{At: c.s.Now}
	for i := range c.s.Pools {
		pool := &c.s.Pools[i]
		next := Next(pool.Pool).among(pool.widest())
		for _, name := range next.First {
			out.Nodes = append(out.Nodes, c.node(pool, name, 1, ""))
		}
		if len(pool.Next) > 1 {
			out.Together = append(out.Together, c.together(pool))
		}
		if !all {
			continue
		}
		for k, l := range next.Others {
			why := ""
			if l.Never {
				why = l.Why
			}
			out.Nodes = append(out.Nodes, c.node(pool, l.Node, 2+k, why))
		}
	}
	return out
}

func (c *cluster) node(pool *Pool, name string, turn int, never string) NodeReport {
	r := NodeReport{Pool: pool.Name, Node: name, Turn: turn, Never: never, Outlook: rollout.OutlookSafe}
	n := c.byName[name]
	switch {
	case n == nil:
		r.Outlook, r.Problems, _ = sum([]finding{{weight: unsure, kind: "Node", name: name, text: "node " + name + " was not seen"}})
		return r
	case n.view.NotDrained:
		r.Remarks = []string{"the control plane of this cluster is a single replica, so the node's daemon drains no node"}
		return r
	case !pool.Drains:
		r.Remarks = []string{"the change drains no node of pool " + pool.Name}
		return r
	}
	for _, p := range n.pods {
		if p.fare == Moves || p.fare == Lost {
			r.Leaving++
		}
	}
	t := c.try(n)
	for _, u := range c.s.Unseen {
		t.note(unsure, u.Kind, "", "", fmt.Sprintf("%s could not be read: %s", u.Kind, u.Why))
	}
	r.Outlook, r.Problems, r.Remarks = sum(t.findings)
	return r
}

// maxPerPool bounds how many nodes of a pool the core is told of. A bad one is never left out for a good one.
const maxPerPool = 16

// Summary is what the core decides on: the nodes that can be next, the worst first, and how many there are in all.
func (r Report) Summary() rollout.Forecast {
	out := rollout.Forecast{At: r.At, Nodes: []rollout.NodeForecast{}, Together: r.Together}
	pools := map[string][]rollout.NodeForecast{}
	var order []string
	for _, n := range r.Nodes {
		out.Count(n.Outlook)
		if n.Turn != 1 {
			continue
		}
		if pools[n.Pool] == nil {
			order = append(order, n.Pool)
		}
		pools[n.Pool] = append(pools[n.Pool], rollout.NodeForecast{Pool: n.Pool, Node: n.Node, Outlook: n.Outlook, Problems: n.Problems})
	}
	slices.Sort(order)
	for _, name := range order {
		nodes := pools[name]
		slices.SortStableFunc(nodes, func(a, b rollout.NodeForecast) int {
			return cmp.Or(badness(b.Outlook)-badness(a.Outlook), cmp.Compare(a.Node, b.Node))
		})
		out.Nodes = append(out.Nodes, nodes[:min(len(nodes), maxPerPool)]...)
	}
	return out
}

func badness(o rollout.Outlook) int {
	switch o {
	case rollout.OutlookBlocked:
		return 2
	case rollout.OutlookUnknown:
		return 1
	default:
		return 0
	}
}
