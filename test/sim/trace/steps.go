package trace

import (
	"fmt"
	"slices"
	"strings"
)

// StepReader turns a trace into steps. A step says what changed about an object in terms that do
// not depend on names and times, so that those of two clusters can be compared: "node waiting idle:
// given the pool's configuration".
type StepReader struct {
	pools map[string]Pool
	nodes map[string]Node
}

// NewStepReader has seen nothing.
func NewStepReader() *StepReader {
	return &StepReader{pools: map[string]Pool{}, nodes: map[string]Node{}}
}

// Next takes the next entry. It returns false when the entry is the first of its object, or changes
// nothing that counts.
func (f *StepReader) Next(e Entry) (step string, changed bool) {
	switch {
	case e.Deleted:
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
		if !known || before.CurrentConfig == "" || e.Node.CurrentConfig == "" {
			return "", false
		}
		return f.nodeStep(before, *e.Node)
	}
	return "", false
}

// poolOf is what the pool of the node is rendered with: that of a custom pool before the worker
// pool's.
func (f *StepReader) poolOf(n Node) (Pool, bool) {
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
func (f *StepReader) nodeStep(a, b Node) (string, bool) {
	p, _ := f.poolOf(b)
	var what []string
	if a.DesiredConfig != b.DesiredConfig {
		what = append(what, "is given "+configName(b.DesiredConfig, p.Rendered, a.CurrentConfig))
	}
	if a.CurrentConfig != b.CurrentConfig {
		what = append(what, "runs "+configName(b.CurrentConfig, b.DesiredConfig, a.CurrentConfig))
	}
	if a.State != b.State {
		what = append(what, "state "+b.State)
	}
	if a.DesiredDrain != b.DesiredDrain {
		what = append(what, "wants "+drainVerb(b.DesiredDrain)+" for "+
			configName(drainConfig(b.DesiredDrain), b.DesiredConfig, b.CurrentConfig))
	}
	if a.LastAppliedDrain != b.LastAppliedDrain {
		what = append(what, "has "+drainVerb(b.LastAppliedDrain)+" applied")
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

// configName says which of the known configurations it is.
func configName(name, expected, current string) string {
	switch name {
	case current:
		return "what it runs"
	case expected:
		return "what is wanted of it"
	default:
		return "something else"
	}
}

func drainVerb(drain string) string {
	v, _, _ := strings.Cut(drain, "-")
	return v
}

func drainConfig(drain string) string {
	_, c, _ := strings.Cut(drain, "-")
	return c
}

// stage is where the node is on its way.
func (n Node) stage() string {
	words := []string{n.State}
	if n.CurrentConfig != n.DesiredConfig {
		words = append(words, "with a target")
	}
	if n.DesiredDrain != n.LastAppliedDrain {
		words = append(words, "waiting for its "+drainVerb(n.DesiredDrain))
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
	if a.ObservedGeneration != b.ObservedGeneration {
		what = append(what, observedText(b))
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

func observedText(p Pool) string {
	switch {
	case p.ObservedGeneration > p.Generation:
		return "observes a generation that there is not"
	case p.ObservedGeneration == p.Generation:
		return "observes its newest generation"
	default:
		return "observes an older generation"
	}
}
