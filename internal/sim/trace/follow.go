package trace

import (
	"fmt"
	"slices"
	"strings"
)

// Follower turns a trace into steps. A step says what changed about an object in terms that do not depend on names and times, so that
// those of two clusters can be compared: "node waiting idle: given the pool's configuration".
type Follower struct {
	pools map[string]Pool
	nodes map[string]Node
}

// NewFollower has seen nothing.
func NewFollower() *Follower { return &Follower{pools: map[string]Pool{}, nodes: map[string]Node{}} }

// Follow takes the next entry. It returns false when the entry is the first of its object, or changes nothing that counts.
func (f *Follower) Follow(e Entry) (step string, changed bool) {
	switch {
	case e.Gone:
		delete(f.pools, e.Name)
		delete(f.nodes, e.Name)
		return "", false
	case e.Pool != nil:
		before, known := f.pools[e.Name]
		f.pools[e.Name] = *e.Pool
		if !known {
			return "", false
		}
		return poolStep(before, *e.Pool)
	case e.Node != nil:
		before, known := f.nodes[e.Name]
		f.nodes[e.Name] = *e.Node
		if !known || before.Current == "" || e.Node.Current == "" {
			return "", false
		}
		return f.nodeStep(before, *e.Node)
	}
	return "", false
}

// rendered is what the pool of the node is rendered with: that of a custom pool before the worker pool's.
func (f *Follower) rendered(n Node) (Pool, bool) {
	for _, first := range []bool{true, false} {
		for _, role := range n.Pools {
			p, known := f.pools[role]
			if known && (role != "worker") == first {
				return p, true
			}
		}
	}
	return Pool{}, false
}

// nodeStep describes the node before, and what changed.
func (f *Follower) nodeStep(a, b Node) (string, bool) {
	p, _ := f.rendered(b)
	var what []string
	if a.Desired != b.Desired {
		what = append(what, "is given "+whose(b.Desired, p.Rendered, a.Current))
	}
	if a.Current != b.Current {
		what = append(what, "runs "+whose(b.Current, b.Desired, a.Current))
	}
	if a.State != b.State {
		what = append(what, "state "+b.State)
	}
	if a.DrainWanted != b.DrainWanted {
		what = append(what, "wants "+verb(b.DrainWanted)+" for "+whose(config(b.DrainWanted), b.Desired, b.Current))
	}
	if a.DrainApplied != b.DrainApplied {
		what = append(what, "has "+verb(b.DrainApplied)+" applied")
	}
	if a.Unschedulable != b.Unschedulable {
		what = append(what, fmt.Sprintf("cordoned %t", b.Unschedulable))
	}
	if a.Tainted != b.Tainted {
		what = append(what, fmt.Sprintf("tainted %t", b.Tainted))
	}
	if len(what) == 0 {
		return "", false // readiness is not the MCO's
	}
	return "node " + a.stage() + ": " + strings.Join(what, ", "), true
}

// whose says which of the known configurations it is.
func whose(name, expected, current string) string {
	switch name {
	case current:
		return "what it runs"
	case expected:
		return "what is wanted of it"
	default:
		return "something else"
	}
}

func verb(drain string) string {
	v, _, _ := strings.Cut(drain, "-")
	return v
}

func config(drain string) string {
	_, c, _ := strings.Cut(drain, "-")
	return c
}

// stage is where the node is on its way.
func (n Node) stage() string {
	words := []string{n.State}
	if n.Current != n.Desired {
		words = append(words, "with a target")
	}
	if n.DrainWanted != n.DrainApplied {
		words = append(words, "waiting for its "+verb(n.DrainWanted))
	}
	if n.Unschedulable {
		words = append(words, "cordoned")
	}
	return strings.Join(words, " ")
}

// poolStep describes what changed about the pool.
func poolStep(a, b Pool) (string, bool) {
	var what []string
	if a.Rendered != b.Rendered {
		what = append(what, "is rendered anew")
	}
	if a.Observed != b.Observed {
		what = append(what, observed(b))
	}
	if a.Reported != b.Reported {
		what = append(what, fmt.Sprintf("reports the configuration with all updated=%t", b.Updated == b.Machines))
	}
	if a.Updated != b.Updated {
		what = append(what, "counts the updated")
	}
	if a.Unavailable != b.Unavailable {
		what = append(what, "counts the unavailable")
	}
	if a.Degraded != b.Degraded {
		what = append(what, "counts the degraded")
	}
	if len(what) == 0 {
		return "", false // spec.paused and maxUnavailable are other people's
	}
	slices.Sort(what)
	return fmt.Sprintf("pool paused=%t: %s", b.Paused, strings.Join(what, ", ")), true
}

func observed(p Pool) string {
	switch {
	case p.Observed > p.Generation:
		return "observes a generation that there is not"
	case p.Observed == p.Generation:
		return "observes its newest generation"
	default:
		return "observes an older generation"
	}
}
