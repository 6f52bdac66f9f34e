package diagnosis

import (
	"cmp"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// AwaitedRelease is a release whose pods are waited for: they were evicted from its nodes, and come
// up somewhere.
type AwaitedRelease struct {
	Pool  string
	Nodes []string
	// Since is when the release was intended: pods that are older did not come of it.
	Since time.Time
}

// addAwaitedRelease adds what holds a release whose node is drained: pods that came since and
// cannot get their image where they are now. While one of its nodes is held by something else, that
// is told alone. Of several nodes it names the first: which of them a pod has left cannot be told
// any more.
func (d *diagnoser) addAwaitedRelease(blockedDrains []rollout.BlockedDrain) []rollout.BlockedDrain {
	a := d.Awaited
	if a == nil || len(a.Nodes) == 0 ||
		slices.ContainsFunc(blockedDrains,
			func(o rollout.BlockedDrain) bool { return slices.Contains(a.Nodes, o.Node) }) {
		return blockedDrains
	}
	o := rollout.BlockedDrain{Pool: a.Pool, Node: a.Nodes[0], Reason: rollout.DrainBlockPull}
	var chains []causeChain
	for _, p := range d.Pods {
		if p.DeletionTimestamp != nil || p.CreationTimestamp.Time.Before(a.Since) || drain.IsPodTerminal(p) ||
			p.Spec.NodeName == "" {
			continue
		}
		chain, ok := d.pullChain(p, slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses))
		if !ok {
			continue
		}
		chains = append(chains, chain)
		if at := p.CreationTimestamp.UTC(); o.Since.IsZero() || at.Before(o.Since) {
			o.Since = at
		}
	}
	if len(chains) == 0 {
		return blockedDrains
	}
	slices.SortFunc(chains, func(a, b causeChain) int { return cmp.Compare(firstLinkName(a), firstLinkName(b)) })
	for _, chain := range chains[:min(len(chains), maxPods)] {
		o.Pods = append(o.Pods, chain.failingPods...)
	}
	o.CauseChain = append([]rollout.CauseLink{{Kind: "Node", Name: o.Node, Message: "node " + o.Node +
		" is drained, and its pods are not back"}}, worstChain(chains).links...)
	return append(blockedDrains, o)
}
