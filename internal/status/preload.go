package status

import (
	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Bounds of the lists about what nodes are given.
const (
	maxWaiting = 16
	maxSkipped = 10
	maxSkip    = 512
)

// preload sums up what the nodes of all pools have. What was said stays while nothing is known, and at the end.
func preload(before *v1alpha1.PreloadStatus, o rollout.Observed) *v1alpha1.PreloadStatus {
	canary, ok := o.Canary.Get()
	switch {
	case !ok, o.Record.CompletedGeneration == o.Rollout.Generation:
		return before
	case !canary.Preload.Wanted:
		return nil
	case len(canary.Preload.Pools) == 0:
		return before
	}
	out := &v1alpha1.PreloadStatus{}
	for _, p := range canary.Preload.Pools {
		out.Nodes += count(len(p.Nodes))
		out.Ready += count(p.Ready)
		out.Desired += count(p.Wanted)
		out.Loaded += count(p.Loaded)
		out.Waiting = append(out.Waiting, p.Waiting...)
		for _, s := range p.Skipped {
			out.Skipped = append(out.Skipped, cut(s, maxSkip))
		}
	}
	out.Waiting = out.Waiting[:min(len(out.Waiting), maxWaiting)]
	out.Skipped = out.Skipped[:min(len(out.Skipped), maxSkipped)]
	return out
}
