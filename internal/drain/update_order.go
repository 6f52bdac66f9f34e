package drain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// UpdateOrder says which nodes of a pool the Machine Config Operator can take first when it may
// take one.
type UpdateOrder struct {
	// First are the nodes that can be first. They are a set: among equals the choice is made anew,
	// at random, each time.
	First []string
	// Others are the rest of the pool, in the order of their turn, with why they are not first.
	Others []LaterNode
}

// LaterNode is a node that is not first.
type LaterNode struct {
	Node string
	// Why says what comes before it, or what keeps it from being taken at all.
	Why string
	// NotCandidate is true while the node cannot be taken at all.
	NotCandidate bool
}

// UpdateOrderOf follows pkg/controller/node/node_controller.go of the MCO: getAllCandidateMachines
// leaves out nodes that are cordoned or not ready, and CompareCandidates has the order of the
// others. Nodes that have been told to run the planned configuration are not in it.
func UpdateOrderOf(p rollout.Pool) UpdateOrder {
	var candidates []rollout.Node
	var out UpdateOrder
	for _, n := range p.Nodes {
		if !IsPending(p, n) {
			continue
		}
		if why := notCandidateReason(n); why != "" {
			out.Others = append(out.Others, LaterNode{Node: n.Name, Why: why, NotCandidate: true})
		} else {
			candidates = append(candidates, n)
		}
	}
	slices.SortFunc(candidates, func(a, b rollout.Node) int {
		return cmp.Or(p.CompareCandidates(a, b), cmp.Compare(a.Name, b.Name))
	})
	var later []LaterNode
	for _, c := range candidates {
		if first := candidates[0]; p.CompareCandidates(first, c) == 0 {
			out.First = append(out.First, c.Name)
		} else {
			later = append(later, LaterNode{Node: c.Name, Why: laterReason(p, first, c)})
		}
	}
	out.Others = append(later, out.Others...)
	return out
}

// restrictTo puts the nodes first that the core would take. Those that cannot be taken at all stay
// where they are.
func (t UpdateOrder) RestrictTo(names []string) UpdateOrder {
	if len(names) == 0 {
		return t
	}
	var out UpdateOrder
	for _, l := range append(laterNodes(t.First), t.Others...) {
		if slices.Contains(names, l.Node) && !l.NotCandidate {
			out.First = append(out.First, l.Node)
		} else {
			out.Others = append(out.Others, l)
		}
	}
	return out
}

func laterNodes(names []string) []LaterNode {
	var out []LaterNode
	for _, n := range names {
		out = append(out, LaterNode{Node: n, Why: "others are taken before it"})
	}
	return out
}

// isPending tells whether the node is still to be told. Before the planned configuration is
// rendered all are.
func IsPending(p rollout.Pool, n rollout.Node) bool {
	return p.Registries != rollout.MatchesPlanned || n.DesiredConfig != p.Rendered
}

// notCandidateReason says what keeps the MCO from taking a node at all.
func notCandidateReason(n rollout.Node) string {
	switch {
	case !n.Ready:
		return "it is not Ready, or has DiskPressure or no network"
	case n.Unschedulable:
		return "it is cordoned: the MCO never takes such a node, and it counts as unavailable in its pool"
	}
	return ""
}

func laterReason(p rollout.Pool, first, n rollout.Node) string {
	za, zb := first.Zone, n.Zone
	switch {
	case p.ControlPlane && n.RunsMCO:
		return "it runs the machine-config-operator, whose node is put off to the end"
	case zb == "" && za != "":
		return fmt.Sprintf("it has no zone, and zone %s is finished before", za)
	case za != zb:
		return fmt.Sprintf("it is in zone %s, and zone %s is finished before", zb, za)
	default:
		return fmt.Sprintf("it is younger than %s", first.Name)
	}
}
