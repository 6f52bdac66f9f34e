package printer

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
)

// largePool is the number of nodes of a pool from which on the pause unpause window has a window
// that is long: see firstNodeDelay.
const largePool = 100

// firstNodeDelay is how long the Machine Config Operator takes from the first unpause of a pool to
// its first node: it marks every node that waits, at five requests a second, and does not look at
// the pause again until it has taken one. Measured: 5 s with 4 nodes, 101 s with 200.
func firstNodeDelay(nodes int) time.Duration {
	return 5*time.Second + time.Duration(nodes)*480*time.Millisecond
}

func maxUnavailable(f *preview.Preview) int {
	if n := f.Change.Rollout.Spec.Release.MaxUnavailable; n != nil {
		return int(*n)
	}
	return 1
}

// estimateRelease says how the nodes are given the new configuration, and when another way would be
// better.
func estimateRelease(f *preview.Preview, r PlanReport) ReleaseEstimate {
	out := ReleaseEstimate{Mechanism: string(cmp.Or(f.Change.Rollout.Spec.Release.Mechanism,
		v1alpha1.MechanismPausePulse)), MaxConcurrent: 1}
	var biggest PoolForecast
	for _, p := range r.Pools {
		if !p.changes() {
			continue
		}
		out.MaxConcurrent = max(out.MaxConcurrent, p.MaxConcurrent)
		if p.Nodes > biggest.Nodes {
			biggest = p
		}
	}
	if out.Mechanism == string(v1alpha1.MechanismPausePulse) && biggest.Nodes >= largePool {
		out.Advice = fmt.Sprintf("pool %s has %d nodes: after its first unpause the Machine Config Operator needs about %s before it takes a node, and "+
			"cannot be stopped meanwhile; spec.release.mechanism Targeted names the nodes itself and never opens the pool (the annotation by which it "+
			"does so is the Machine Config Operator's own, and not an API that is documented for others)",
			biggest.Name, biggest.Nodes, firstNodeDelay(biggest.Nodes).Round(time.Second))
	}
	return out
}

// atMost is for sentences: one node, up to 3 nodes.
func atMost(n int) string {
	if n <= 1 {
		return "one node"
	}
	return "up to " + strconv.Itoa(n) + " nodes"
}
