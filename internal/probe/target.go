package probe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Kind is a sort of node that is proven by one of its nodes: its pool decides the configuration, its architecture what is pulled,
// its zone the network.
type Kind struct{ Pool, Architecture, Zone string }

func (k Kind) String() string {
	return strings.TrimSuffix(fmt.Sprintf("pool %s, %s, zone %s", k.Pool, cmp.Or(k.Architecture, "architecture unknown"), k.Zone), ", zone ")
}

func (k Kind) compare(l Kind) int {
	return cmp.Or(cmp.Compare(k.Pool, l.Pool), cmp.Compare(k.Architecture, l.Architecture), cmp.Compare(k.Zone, l.Zone))
}

// Node is a node of a pool, as the API has it and as the Machine Config Operator (MCO) sees it.
type Node struct {
	Pool   string
	State  rollout.Node
	Object *corev1.Node
}

func (n Node) kind() Kind {
	return Kind{Pool: n.Pool, Architecture: n.Object.Status.NodeInfo.Architecture, Zone: n.Object.Labels[corev1.LabelTopologyZone]}
}

// Target is the node that stands for its kind.
type Target struct {
	Kind Kind
	Node string
	// Room is how many bytes the probes may take on its disk, beside the headroom.
	Room int64
	// Tolerations are for the taints that all nodes of the pool carry.
	Tolerations []corev1.Toleration
	// Present are the digests of images that the node is known to have, sorted.
	Present []string
}

// Gap is something that stays without proof from a node, and why.
type Gap struct {
	Kind Kind
	// What is a node, an image or a scope of images; empty for the whole kind.
	What string
	Why  string
}

func (g Gap) String() string {
	if g.What == "" {
		return g.Kind.String() + ": " + g.Why
	}
	return g.Kind.String() + ": " + g.What + ": " + g.Why
}

// Targets takes one node of each kind, the first by name that may be used. shunned are nodes on which a probe could not be made
// lately, and why (see Shunned): they are taken last. A kind without any usable node is a Gap that names its nodes.
func Targets(nodes []Node, shunned map[string]string, limits Limits, now time.Time) ([]Target, []Gap) {
	own := poolTaints(nodes)
	kinds := map[Kind][]Node{}
	for _, n := range nodes {
		kinds[n.kind()] = append(kinds[n.kind()], n)
	}
	var targets []Target
	var gaps []Gap
	for _, kind := range slices.SortedFunc(maps.Keys(kinds), Kind.compare) {
		members := kinds[kind]
		slices.SortFunc(members, func(a, b Node) int {
			return cmp.Or(compareBool(shunned[a.Object.Name] != "", shunned[b.Object.Name] != ""), cmp.Compare(a.Object.Name, b.Object.Name))
		})
		if t, why, ok := first(members, own[kind.Pool], limits, now); ok {
			targets = append(targets, t)
		} else {
			gaps = append(gaps, Gap{Kind: kind, Why: "no node of this kind can be used now: " + why})
		}
	}
	return targets, gaps
}

// first is the first usable node as a target, or what is against each of them.
func first(nodes []Node, own []corev1.Taint, limits Limits, now time.Time) (Target, string, bool) {
	const named = 3
	var reasons []string
	for _, n := range nodes {
		why := unfit(n, own)
		room := int64(0)
		if why == "" {
			room, why = roomOn(n.Object, limits.Headroom, now)
		}
		if why == "" {
			return Target{
				Kind: n.kind(), Node: n.Object.Name, Room: room, Tolerations: tolerations(own), Present: present(n.Object),
			}, "", true
		}
		reasons = append(reasons, n.Object.Name+" "+why)
	}
	why := strings.Join(reasons[:min(named, len(reasons))], "; ")
	if more := len(reasons) - named; more > 0 {
		why += fmt.Sprintf("; and %d more", more)
	}
	return Target{}, why, false
}

// unfit says why no probe may be put on the node; empty when one may.
func unfit(n Node, own []corev1.Taint) string {
	s := n.State
	switch {
	case n.Object.DeletionTimestamp != nil:
		return "is being deleted"
	case n.Object.Status.NodeInfo.Architecture == "":
		return "has not reported its architecture"
	case s.Unschedulable || n.Object.Spec.Unschedulable:
		return "is cordoned"
	case !s.Ready:
		return "is not ready, has disk pressure or no network"
	case s.Current == "" || s.Current != s.Desired || s.State != "Done":
		return fmt.Sprintf("is being updated by the Machine Config Operator: its state is %q, it runs %q and shall run %q", s.State, s.Current, s.Desired)
	case s.DrainWanted != s.DrainApplied:
		return "is being drained or uncordoned: " + s.DrainWanted
	}
	for _, t := range n.Object.Spec.Taints {
		if repels(t) && !slices.ContainsFunc(own, func(o corev1.Taint) bool { return sameTaint(o, t) }) {
			return fmt.Sprintf("carries the taint %s, which not all nodes of its pool carry for good", t.ToString())
		}
	}
	return ""
}

// repels tells whether the taint keeps pods off. PreferNoSchedule, such as the MCO's UpdateInProgress, does not: it makes the scheduler
// prefer other nodes, and a pod that may go to one node only has no other.
func repels(t corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
}

// temporary tells of taints that say how the node is, not what it is for. DaemonSets tolerate them; a probe is better off elsewhere.
func temporary(t corev1.Taint) bool {
	for _, prefix := range []string{"node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler"} {
		if strings.HasPrefix(t.Key, prefix) {
			return true
		}
	}
	return false
}

func sameTaint(a, b corev1.Taint) bool {
	return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect
}

// poolTaints are the taints that every node of a pool carries: node-role.kubernetes.io/master on the control plane, the taint of an
// infra pool. One that only some nodes carry, such as maintenance=true, was put there to keep pods away and is respected.
func poolTaints(nodes []Node) map[string][]corev1.Taint {
	out := map[string][]corev1.Taint{}
	seen := map[string]bool{}
	for _, n := range nodes {
		lasting := slices.DeleteFunc(slices.Clone(n.Object.Spec.Taints), func(t corev1.Taint) bool { return !repels(t) || temporary(t) })
		if !seen[n.Pool] {
			seen[n.Pool], out[n.Pool] = true, lasting
			continue
		}
		out[n.Pool] = slices.DeleteFunc(out[n.Pool], func(t corev1.Taint) bool {
			return !slices.ContainsFunc(lasting, func(l corev1.Taint) bool { return sameTaint(l, t) })
		})
	}
	return out
}

func tolerations(taints []corev1.Taint) []corev1.Toleration {
	var out []corev1.Toleration
	for _, t := range taints {
		out = append(out, corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpEqual, Value: t.Value, Effect: t.Effect})
	}
	slices.SortFunc(out, func(a, b corev1.Toleration) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Effect, b.Effect))
	})
	return out
}
