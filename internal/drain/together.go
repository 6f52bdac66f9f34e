package drain

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// widest are the nodes that the largest release can take.
func (p *Pool) widest() []string {
	if len(p.Next) == 0 {
		return nil
	}
	return p.Next[len(p.Next)-1]
}

// together finds the largest release of the pool whose drains all go through while they run at the same time. A budget that lets one of
// them go after the other merely delays the rest, for the drain tries again, as long as what is evicted comes up outside of the set: what
// could land only on a node of the set waits for that node, which may be waiting for it.
//
// Example: pods a1 and b1 on n1, a2 and b2 on n2, no two of a kind on one node, no third node for them, and a budget of one for each
// kind. With a1 and b2 evicted, n1 waits until b1 may go, which is when b2 is back, which n1 alone could take. One after the other
// both nodes are drained.
//
// The largest is tried first, and then by halves: what goes through for a few goes through for fewer of them. The size that is found has
// been tried itself, whatever is between.
func (c *cluster) together(pool *Pool) rollout.Together {
	out := rollout.Together{Pool: pool.Name, Size: len(pool.Next)}
	if !pool.Drains {
		return out
	}
	safe, unsafe := 1, len(pool.Next)+1
	for size := len(pool.Next); unsafe-safe > 1; size = (safe + unsafe) / 2 {
		if problems := c.jointly(pool, size); len(problems) > 0 {
			unsafe, out.Problems = size, problems
		} else {
			safe = size
		}
	}
	out.Size = safe
	return out
}

// jointly says what holds the drains of a release of so many nodes, whichever it takes.
func (c *cluster) jointly(pool *Pool, size int) []rollout.Problem {
	for _, set := range sets(pool.Next, size) {
		var places []*place
		for _, name := range set {
			n := c.byName[name]
			if n == nil {
				return []rollout.Problem{finding{weight: unsure, kind: "Node", name: name, text: "node " + name + " was not seen"}.problem()}
			}
			if !n.view.NotDrained {
				places = append(places, n)
			}
		}
		if len(places) == 0 {
			continue
		}
		t := c.try(places...)
		if outlook, problems, _ := sum(t.findings); outlook != rollout.OutlookSafe {
			for i := range problems {
				problems[i].Message = fmt.Sprintf("with %s drained at the same time %s", t.where(), problems[i].Message)
			}
			return problems
		}
	}
	return nil
}

// maxSets bounds how many ways to take so many nodes are tried.
const maxSets = 32

// sets are the ways in which a release of so many can be: one when it is known which nodes it takes, and otherwise each choice among
// those of which that is open. When these are too many, all of the nodes are taken for drained, which is worse than any choice of them.
//
// Example: n1 is the oldest, n2, n3 and n4 are of one age. A release of two takes n1 and any of the others: three sets.
func sets(next [][]string, size int) [][]string {
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
	chosen := choices(open, size-len(certain), maxSets+1)
	if len(chosen) > maxSets {
		return [][]string{all}
	}
	for i := range chosen {
		chosen[i] = append(slices.Clone(certain), chosen[i]...)
	}
	return chosen
}

// choices are the ways to take n of a list, no more than most of them.
func choices(list []string, n, most int) [][]string {
	if n == 0 {
		return [][]string{nil}
	}
	var out [][]string
	for i := 0; i+n <= len(list) && len(out) < most; i++ {
		for _, rest := range choices(list[i+1:], n-1, most-len(out)) {
			out = append(out, append([]string{list[i]}, rest...))
		}
	}
	return out
}
