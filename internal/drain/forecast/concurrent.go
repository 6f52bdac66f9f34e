package forecast

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// largestRelease are the nodes that the largest release can take.
func largestRelease(p *drain.PoolNodes) []string {
	if len(p.NextReleases) == 0 {
		return nil
	}
	return p.NextReleases[len(p.NextReleases)-1]
}

// largestConcurrent finds the largest release of the pool whose drains all go through while they
// run at the same time. A budget that lets one of them go after the other merely delays the rest,
// for the drain tries again, as long as what is evicted comes up outside of the set: what could
// land only on a node of the set waits for that node, which may be waiting for it.
//
// Example: pods a1 and b1 on n1, a2 and b2 on n2, no two of a kind on one node, no third node for
// them, and a budget of one for each kind. With a1 and b2 evicted, n1 waits until b1 may go, which
// is when b2 is back, which n1 alone could take. One after the other both nodes are drained.
//
// The largest is tried first, and then by halves: what goes through for a few goes through for
// fewer of them. The size that is found has been tried itself, whatever is between.
func (c *cluster) largestConcurrent(pool *drain.PoolNodes) rollout.ConcurrentDrains {
	out := rollout.ConcurrentDrains{Pool: pool.Name, Size: len(pool.NextReleases)}
	if !pool.Drains {
		return out
	}
	safe, unsafe := 1, len(pool.NextReleases)+1
	for size := len(pool.NextReleases); unsafe-safe > 1; size = (safe + unsafe) / 2 {
		if problems := c.concurrentProblems(pool, size); len(problems) > 0 {
			unsafe, out.Problems = size, problems
		} else {
			safe = size
		}
	}
	out.Size = safe
	return out
}

// concurrentProblems says what holds the drains of a release of so many nodes, whichever it takes.
func (c *cluster) concurrentProblems(pool *drain.PoolNodes, size int) []rollout.Problem {
	for _, set := range nodeSets(pool.NextReleases, size) {
		var nodes []*nodeInfo
		for _, name := range set {
			n := c.byName[name]
			if n == nil {
				return []rollout.Problem{issue{level: levelUnknown, kind: "Node", name: name, text: "node " + name +
					" was not seen"}.problem()}
			}
			if !n.state.NotDrained {
				nodes = append(nodes, n)
			}
		}
		if len(nodes) == 0 {
			continue
		}
		sim := c.simulate(nodes...)
		if result, problems, _ := summarizeIssues(sim.issues); result != rollout.DrainSafe {
			for i := range problems {
				problems[i].Message = fmt.Sprintf("with %s drained at the same time %s", sim.drainingNames(),
					problems[i].Message)
			}
			return problems
		}
	}
	return nil
}

// maxNodeSets bounds how many ways to take so many nodes are tried.
const maxNodeSets = 32

// nodeSets are the ways in which a release of so many can be: one when it is known which nodes it
// takes, and otherwise each choice among those of which that is open. When these are too many, all
// of the nodes are taken for drained, which is worse than any choice of them.
//
// Example: n1 is the oldest, n2, n3 and n4 are of one age. A release of two takes n1 and any of the
// others: three sets.
func nodeSets(next [][]string, size int) [][]string {
	all := next[size-1]
	if len(all) == size {
		return [][]string{all}
	}
	var certain []string
	for i, set := range next[:size-1] {
		if len(set) == i+1 {
			certain = set
		}
	}
	open := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(certain, n) })
	chosen := combinations(open, size-len(certain), maxNodeSets+1)
	if len(chosen) > maxNodeSets {
		return [][]string{all}
	}
	for i := range chosen {
		chosen[i] = append(slices.Clone(certain), chosen[i]...)
	}
	return chosen
}

// combinations are the ways to take n of a list, no more than most of them.
func combinations(list []string, n, limit int) [][]string {
	if n == 0 {
		return [][]string{nil}
	}
	var out [][]string
	for i := 0; i+n <= len(list) && len(out) < limit; i++ {
		for _, rest := range combinations(list[i+1:], n-1, limit-len(out)) {
			out = append(out, append([]string{list[i]}, rest...))
		}
	}
	return out
}
