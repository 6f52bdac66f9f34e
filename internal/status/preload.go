package status

import (
	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Bounds of the lists about what nodes are given.
const (
	maxWaitingNodes  = 16
	maxSkipped       = 10
	maxSkippedLength = 512
)

// preloadStatus sums up what the nodes of all pools have. What was said stays while nothing is
// known, and at the end.
func preloadStatus(before *v1alpha1.PreloadStatus, o rollout.Observed) *v1alpha1.PreloadStatus {
	canary, ok := o.CanaryPulls.Get()
	switch {
	case !ok, o.Record.CompletedGeneration == o.Rollout.Generation:
		return before
	case !canary.Preload.Enabled:
		return nil
	case len(canary.Preload.Pools) == 0:
		return before
	}
	out := &v1alpha1.PreloadStatus{}
	for _, p := range canary.Preload.Pools {
		out.Nodes += toInt32(len(p.Nodes))
		out.Ready += toInt32(p.Ready)
		out.Desired += toInt32(p.Wanted)
		out.Loaded += toInt32(p.Loaded)
		out.Waiting = append(out.Waiting, p.Waiting...)
		for _, s := range p.Skipped {
			out.Skipped = append(out.Skipped, truncate(s, maxSkippedLength))
		}
	}
	out.Waiting = out.Waiting[:min(len(out.Waiting), maxWaitingNodes)]
	out.Skipped = out.Skipped[:min(len(out.Skipped), maxSkipped)]
	return out
}
