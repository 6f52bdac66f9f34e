package drain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Turn says which nodes of a pool the Machine Config Operator can take first when it may take one.
type Turn struct {
	// First are the nodes that can be first. They are a set: among equals the choice is made anew, at random, each time.
	First []string
	// Others are the rest of the pool, in the order of their turn, with why they are not first.
	Others []Later
}

// Later is a node that is not first.
type Later struct {
	Node string
	// Why says what comes before it, or what keeps it from being taken at all.
	Why string
	// Never is true while the node cannot be taken at all.
	Never bool
}

// Next follows pkg/controller/node/node_controller.go of the MCO: getAllCandidateMachines leaves out nodes that are cordoned or not
// ready, sortNodeList orders by zone and then by age, with nodes of no zone last, and of the control plane
// filterControlPlaneCandidateNodes puts off the node that runs the machine-config-operator. hosts are the nodes with such a pod: the
// rule only works when there is exactly one. Nodes that have been told to run the planned configuration are not in it.
//
// Zones are finished one after another, not taken in turn. With nodes a1, a2 (zone a) and b1 (zone b, the oldest of all), a1 and a2
// come before b1.
func Next(p rollout.Pool, nodes map[string]*corev1.Node, hosts []string) Turn {
	var candidates []*corev1.Node
	var out Turn
	for _, n := range p.Nodes {
		if !coming(p, n) {
			continue
		}
		if why := untakable(n); why != "" {
			out.Others = append(out.Others, Later{Node: n.Name, Why: why, Never: true})
		} else if node := nodes[n.Name]; node != nil {
			candidates = append(candidates, node)
		}
	}
	slices.SortFunc(candidates, func(a, b *corev1.Node) int { return cmp.Or(turn(a, b), cmp.Compare(a.Name, b.Name)) })
	last := ""
	if p.ControlPlane && len(candidates) > 1 && len(hosts) == 1 {
		last = hosts[0]
	}
	var later []Later
	var first *corev1.Node
	for _, c := range candidates {
		switch {
		case c.Name == last:
			later = append(later, Later{Node: c.Name, Why: "it runs the machine-config-operator, whose node is put off to the end"})
		case first == nil || turn(first, c) == 0:
			first, out.First = c, append(out.First, c.Name)
		default:
			later = append(later, Later{Node: c.Name, Why: after(first, c)})
		}
	}
	slices.SortStableFunc(later, func(a, b Later) int { return b2i(a.Node == last) - b2i(b.Node == last) })
	out.Others = append(later, out.Others...)
	return out
}

// among puts the nodes first that the core would take. Those that cannot be taken at all stay where they are.
func (t Turn) among(names []string) Turn {
	if len(names) == 0 {
		return t
	}
	var out Turn
	for _, l := range append(asLater(t.First), t.Others...) {
		if slices.Contains(names, l.Node) && !l.Never {
			out.First = append(out.First, l.Node)
		} else {
			out.Others = append(out.Others, l)
		}
	}
	return out
}

func asLater(names []string) []Later {
	var out []Later
	for _, n := range names {
		out = append(out, Later{Node: n, Why: "others are taken before it"})
	}
	return out
}

// coming tells whether the node is still to be told. Before the planned configuration is rendered all are.
func coming(p rollout.Pool, n rollout.Node) bool {
	return p.Meaning != rollout.MeansPlanned || n.Desired != p.Rendered
}

// OperatorNodes are the nodes that run the machine-config-operator.
func OperatorNodes(pods []*corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		if p.Labels["k8s-app"] == "machine-config-operator" && p.Spec.NodeName != "" && !Ended(p) {
			out = append(out, p.Spec.NodeName)
		}
	}
	return out
}

// untakable says what keeps the MCO from taking a node at all.
func untakable(n rollout.Node) string {
	switch {
	case !n.Ready:
		return "it is not Ready, or has DiskPressure or no network"
	case n.Unschedulable:
		return "it is cordoned: the MCO never takes such a node, and it counts as unavailable in its pool"
	}
	return ""
}

// turn orders two candidates; 0 means that either can be first. Creation times have seconds.
func turn(a, b *corev1.Node) int {
	za, zb := a.Labels[corev1.LabelTopologyZone], b.Labels[corev1.LabelTopologyZone]
	return cmp.Or(
		b2i(za == "")-b2i(zb == ""),
		cmp.Compare(za, zb),
		a.CreationTimestamp.Truncate(time.Second).Compare(b.CreationTimestamp.Truncate(time.Second)),
	)
}

func after(first, n *corev1.Node) string {
	za, zb := first.Labels[corev1.LabelTopologyZone], n.Labels[corev1.LabelTopologyZone]
	switch {
	case zb == "" && za != "":
		return fmt.Sprintf("it has no zone, and zone %s is finished before", za)
	case za != zb:
		return fmt.Sprintf("it is in zone %s, and zone %s is finished before", zb, za)
	default:
		return fmt.Sprintf("it is younger than %s", first.Name)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
