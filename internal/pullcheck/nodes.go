package pullcheck

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

// NodeGroup is a sort of node that is proven by one of its nodes: its pool decides the
// configuration, its architecture what is pulled, its zone the network.
type NodeGroup struct{ Pool, Architecture, Zone string }

func (k NodeGroup) String() string {
	return strings.TrimSuffix(fmt.Sprintf("pool %s, %s, zone %s", k.Pool,
		cmp.Or(k.Architecture, "architecture unknown"), k.Zone), ", zone ")
}

func (k NodeGroup) compare(l NodeGroup) int {
	return cmp.Or(cmp.Compare(k.Pool, l.Pool), cmp.Compare(k.Architecture, l.Architecture), cmp.Compare(k.Zone, l.Zone))
}

// Node is a node of a pool, as the API has it and as the Machine Config Operator (MCO) sees it.
type Node struct {
	Pool   string
	State  rollout.Node
	Object *corev1.Node
}

func (n Node) group() NodeGroup {
	return NodeGroup{Pool: n.Pool, Architecture: n.Object.Status.NodeInfo.Architecture,
		Zone: n.Object.Labels[corev1.LabelTopologyZone]}
}

// SelectedNode is the node that stands for its kind.
type SelectedNode struct {
	Group NodeGroup
	Node  string
	// FreeBytes is how many bytes the probes may take on its disk, beside the headroom.
	FreeBytes int64
	// Tolerations are for the taints that all nodes of the pool carry.
	Tolerations []corev1.Toleration
	// PresentDigests are the digests of images that the node is known to have, sorted.
	PresentDigests []string
}

// SkippedNode is something that stays without proof from a node, and why.
type SkippedNode struct {
	Group NodeGroup
	// Subject is a node, an image or a scope of images; empty for the whole kind.
	Subject string
	Reason  string
}

func (g SkippedNode) String() string {
	if g.Subject == "" {
		return g.Group.String() + ": " + g.Reason
	}
	return g.Group.String() + ": " + g.Subject + ": " + g.Reason
}

// SelectNodes takes one node of each kind, the first by name that may be used. shunned are nodes on
// which a probe could not be made lately, and why (see Shunned): they are taken last. A kind
// without any usable node is a Gap that names its nodes.
func SelectNodes(nodes []Node, excluded map[string]string, limits Limits, now time.Time) ([]SelectedNode,
	[]SkippedNode) {
	allowedTaints := poolTaints(nodes)
	groups := map[NodeGroup][]Node{}
	for _, n := range nodes {
		groups[n.group()] = append(groups[n.group()], n)
	}
	var targets []SelectedNode
	var skipped []SkippedNode
	for _, group := range slices.SortedFunc(maps.Keys(groups), NodeGroup.compare) {
		members := groups[group]
		slices.SortFunc(members, func(a, b Node) int {
			return cmp.Or(compareBools(excluded[a.Object.Name] != "", excluded[b.Object.Name] != ""),
				cmp.Compare(a.Object.Name, b.Object.Name))
		})
		if t, reason, ok := firstUsable(members, allowedTaints[group.Pool], limits, now); ok {
			targets = append(targets, t)
		} else {
			skipped = append(skipped, SkippedNode{Group: group, Reason: "no node of this kind can be used now: " +
				reason})
		}
	}
	return targets, skipped
}

// firstUsable is the first usable node as a target, or what is against each of them.
func firstUsable(nodes []Node, allowedTaints []corev1.Taint, limits Limits, now time.Time) (SelectedNode,
	string, bool) {
	const named = 3
	var reasons []string
	for _, n := range nodes {
		reason := filterReason(n, allowedTaints)
		free := int64(0)
		if reason == "" {
			free, reason = freeDiskBytes(n.Object, limits.Headroom, now)
		}
		if reason == "" {
			return SelectedNode{
				Group: n.group(), Node: n.Object.Name, FreeBytes: free, Tolerations: tolerations(allowedTaints),
				PresentDigests: presentDigests(n.Object),
			}, "", true
		}
		reasons = append(reasons, n.Object.Name+" "+reason)
	}
	reason := strings.Join(reasons[:min(named, len(reasons))], "; ")
	if more := len(reasons) - named; more > 0 {
		reason += fmt.Sprintf("; and %d more", more)
	}
	return SelectedNode{}, reason, false
}

// filterReason says why no probe may be put on the node; empty when one may.
func filterReason(n Node, allowedTaints []corev1.Taint) string {
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
	case s.CurrentConfig == "" || s.CurrentConfig != s.DesiredConfig || s.State != "Done":
		return fmt.Sprintf("is being updated by the Machine Config Operator: its state is %q, it runs %q and is to run %q", s.State, s.CurrentConfig, s.DesiredConfig)
	case s.DesiredDrain != s.LastAppliedDrain:
		return "is being drained or uncordoned: " + s.DesiredDrain
	}
	for _, t := range n.Object.Spec.Taints {
		if repelsPods(t) && !slices.ContainsFunc(allowedTaints, func(o corev1.Taint) bool { return sameTaint(o, t) }) {
			return fmt.Sprintf("carries the taint %s, which not all nodes of its pool carry for good", t.ToString())
		}
	}
	return ""
}

// repelsPods tells whether the taint keeps pods off. PreferNoSchedule, such as the MCO's
// UpdateInProgress, does not: it makes the scheduler prefer other nodes, and a pod that may go to
// one node only has no other.
func repelsPods(t corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
}

// isConditionTaint tells of taints that say how the node is, not what it is for. DaemonSets
// tolerate them; a probe is better off elsewhere.
func isConditionTaint(t corev1.Taint) bool {
	for _, prefix := range []string{"node.kubernetes.io/", "node.cloudprovider.kubernetes.io/",
		"ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler"} {
		if strings.HasPrefix(t.Key, prefix) {
			return true
		}
	}
	return false
}

func sameTaint(a, b corev1.Taint) bool {
	return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect
}

// poolTaints are the taints that every node of a pool carries: node-role.kubernetes.io/master on
// the control plane, the taint of an infra pool. One that only some nodes carry, such as
// maintenance=true, was put there to keep pods away and is respected.
func poolTaints(nodes []Node) map[string][]corev1.Taint {
	out := map[string][]corev1.Taint{}
	seen := map[string]bool{}
	for _, n := range nodes {
		lasting := slices.DeleteFunc(slices.Clone(n.Object.Spec.Taints),
			func(t corev1.Taint) bool { return !repelsPods(t) || isConditionTaint(t) })
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
		out = append(out, corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpEqual, Value: t.Value,
			Effect: t.Effect})
	}
	slices.SortFunc(out, func(a, b corev1.Toleration) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Effect, b.Effect))
	})
	return out
}
