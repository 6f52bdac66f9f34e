package report

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// large is the number of nodes of a pool from which on the pause pulse has a window that is long: see firstPick.
const large = 100

// firstPick is how long the Machine Config Operator takes from the first unpause of a pool to its first node: it marks every node that waits,
// at five requests a second, and does not look at the pause again until it has taken one. Measured: 5 s with 4 nodes, 101 s with 200.
func firstPick(nodes int) time.Duration {
	return 5*time.Second + time.Duration(nodes)*480*time.Millisecond
}

func wanted(f *whatif.Foresight) int {
	if n := f.Wish.Rollout.Spec.Release.MaxUnavailable; n != nil {
		return int(*n)
	}
	return 1
}

// release says how the nodes are given the new configuration, and when another way would be better.
func release(f *whatif.Foresight, r Report) Release {
	out := Release{Mechanism: string(cmp.Or(f.Wish.Rollout.Spec.Release.Mechanism, v1alpha1.MechanismPausePulse)), AtOnce: 1}
	var biggest Pool
	for _, p := range r.Pools {
		if !p.changes() {
			continue
		}
		out.AtOnce = max(out.AtOnce, p.AtOnce)
		if p.Nodes > biggest.Nodes {
			biggest = p
		}
	}
	if out.Mechanism == string(v1alpha1.MechanismPausePulse) && biggest.Nodes >= large {
		out.Advice = fmt.Sprintf("pool %s has %d nodes: after its first unpause the Machine Config Operator needs about %s before it takes a node, and "+
			"cannot be stopped meanwhile; spec.release.mechanism Targeted names the nodes itself and never opens the pool (the annotation by which it "+
			"does so is the Machine Config Operator's own, and not an API that is documented for others)",
			biggest.Name, biggest.Nodes, firstPick(biggest.Nodes).Round(time.Second))
	}
	return out
}

// upTo is for sentences: one node, up to 3 nodes.
func upTo(n int) string {
	if n <= 1 {
		return "one node"
	}
	return "up to " + strconv.Itoa(n) + " nodes"
}
