package drain

import (
	"cmp"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Awaited is a release whose pods are waited for: they were evicted from its nodes, and come up somewhere.
type Awaited struct {
	Pool  string
	Nodes []string
	// Since is when the release was intended: pods that are older did not come of it.
	Since time.Time
}

// notBack adds what holds a release whose node is drained: pods that came since and cannot get their image where they are now. While one
// of its nodes is held by something else, that is told alone. Of several nodes it names the first: which of them a pod has left cannot be
// told any more.
func (t *tracer) notBack(obstacles []rollout.Obstacle) []rollout.Obstacle {
	a := t.Awaited
	if a == nil || len(a.Nodes) == 0 || slices.ContainsFunc(obstacles, func(o rollout.Obstacle) bool { return slices.Contains(a.Nodes, o.Node) }) {
		return obstacles
	}
	o := rollout.Obstacle{Pool: a.Pool, Node: a.Nodes[0], Hindrance: rollout.HindrancePull}
	var trails []trail
	for _, p := range t.Pods {
		if p.DeletionTimestamp != nil || p.CreationTimestamp.Time.Before(a.Since) || Ended(p) || p.Spec.NodeName == "" {
			continue
		}
		found, ok := t.pulls(p, slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses))
		if !ok {
			continue
		}
		trails = append(trails, found)
		if at := p.CreationTimestamp.UTC(); o.Since.IsZero() || at.Before(o.Since) {
			o.Since = at
		}
	}
	if len(trails) == 0 {
		return obstacles
	}
	slices.SortFunc(trails, func(a, b trail) int { return cmp.Compare(lastOf(a), lastOf(b)) })
	for _, found := range trails[:min(len(trails), maxPods)] {
		o.Pods = append(o.Pods, found.pods...)
	}
	o.Chain = append([]rollout.Link{{Kind: "Node", Name: o.Node, Message: "node " + o.Node + " is drained, and its pods are not back"}}, worst(trails).links...)
	return append(obstacles, o)
}
