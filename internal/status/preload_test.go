package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

func TestPreloadStatus(t *testing.T) {
	before := &v1alpha1.PreloadStatus{Nodes: 7}
	pools := []rollout.PreloadPool{
		{Pool: "infra", Nodes: []string{"i0"}, Ready: 1, Wanted: 2, Loaded: 2,
			Skipped: []string{strings.Repeat("x", 600)}},
		{Pool: "worker", Nodes: []string{"w0", "w1"}, Wanted: 6, Loaded: 3, Waiting: []string{"w0", "w1"}},
	}
	observe := func(p rollout.Preload) rollout.Observed {
		return rollout.Observed{Rollout: rollout.Spec{Generation: 1},
			CanaryPulls: rollout.Known(rollout.CanaryPulls{Preload: p})}
	}
	ended := observe(rollout.Preload{Enabled: true})
	ended.Record.CompletedGeneration = 1
	cases := map[string]struct {
		o    rollout.Observed
		want *v1alpha1.PreloadStatus
	}{
		"not known": {rollout.Observed{Rollout: rollout.Spec{Generation: 1},
			CanaryPulls: rollout.Unknown[rollout.CanaryPulls]("x")}, before},
		"not wanted":        {observe(rollout.Preload{}), nil},
		"not looked at yet": {observe(rollout.Preload{Enabled: true}), before},
		"the end":           {ended, before},
		"two pools together": {observe(rollout.Preload{Enabled: true, Pools: pools}),
			&v1alpha1.PreloadStatus{Nodes: 3, Ready: 1, Desired: 8, Loaded: 5, Waiting: []string{"w0", "w1"},
				Skipped: []string{strings.Repeat("x", 509) + "…"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, preloadStatus(before, c.o)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
