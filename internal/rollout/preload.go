package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Preload summarises which nodes have the critical images already. The canary shows on one node of
// each kind that they can be pulled; here each node that can take the pods of a drain has them, so
// that none of these pods waits for a pull while its budget waits for the pod.
type Preload struct {
	// Enabled is true when the user wants it.
	Enabled bool `json:"wanted,omitempty"`
	// Pools are those that have nodes with the planned configuration and were looked at under it;
	// bounded.
	Pools []PreloadPool `json:"pools,omitempty"`
}

// PreloadPool is what the nodes of a pool that run its planned configuration have.
type PreloadPool struct {
	Pool string `json:"pool"`
	// Nodes are those that were looked at: whether they are asked, have everything, or cannot be
	// asked.
	Nodes []string `json:"nodes,omitempty"`
	// Ready is how many of them have all that is wanted there.
	Ready int `json:"ready,omitempty"`
	// Wanted is the number of images that they are to have, over all nodes; Loaded are there,
	// Failed could not be pulled.
	Wanted int `json:"wanted,omitempty"`
	Loaded int `json:"loaded,omitempty"`
	Failed int `json:"failed,omitempty"`
	// Waiting are nodes that lack something; Worst are the first failures, Skipped what is not
	// asked for and why; all bounded.
	Waiting  []string  `json:"waiting,omitempty"`
	Problems []Problem `json:"worst,omitempty"`
	Skipped  []string  `json:"skipped,omitempty"`
}

// blockers is what the nodes lack that run the planned configuration and can take pods: each of
// them are to have the critical images before another node is released. What a node cannot be asked
// for holds nothing: it is no worse off than without.
//
//	worker-0 and worker-1 are done, worker-2 would be next: its router may move to either, so both have the router's image first
func (l Preload) blockers(pools []Pool) (failed, open []Blocker) {
	if !l.Enabled {
		return nil, nil
	}
	for _, p := range pools {
		if !p.hasUpdatedNode() {
			continue
		}
		i := slices.IndexFunc(l.Pools, func(l PreloadPool) bool { return l.Pool == p.Name })
		if i < 0 {
			open = append(open, poolBlocker(p, v1alpha1.ReasonWaiting,
				fmt.Sprintf("has %d of %d nodes with the new configuration, and it has not been looked at yet "+
					"whether they have the critical images; no other node is released until it has", p.Updated(),
					len(p.Nodes))))
			continue
		}
		preloaded := l.Pools[i]
		if preloaded.Failed > 0 {
			failed = append(failed, problemsOrCount(preloaded.Problems, v1alpha1.ReasonNodesCannotPull, "pool "+p.Name+
				": %d critical images cannot be pulled by nodes with the new configuration", preloaded.Failed)...)
		}
		open = append(open, preloaded.pending(p)...)
	}
	return failed, open
}

// pending is what the pool still waits for.
func (l PreloadPool) pending(p Pool) []Blocker {
	switch unchecked := l.uncheckedNodes(p); {
	case len(unchecked) > 0:
		return []Blocker{{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: unchecked[0], Message: fmt.Sprintf(
			"%s of pool %s can take pods under the new configuration, and it has not been looked at yet whether the critical images are there; no other node is released until it has",
			joinNodeNames(firstThree(unchecked)), p.Name)}}
	case l.Loaded < l.Wanted:
		return []Blocker{{Reason: v1alpha1.ReasonWaiting, Kind: "Node",
			Name: cmp.Or(strings.Join(firstThree(l.Waiting), ","), p.Name), Message: fmt.Sprintf(
				"pool %s: %d of %d nodes with the new configuration have the critical images, %d of %d images are there; %s pulls; no other node is released until all are there",
				p.Name, l.Ready, len(l.Nodes), l.Loaded, l.Wanted, joinNodeNames(firstThree(l.Waiting)))}}
	default:
		return nil
	}
}

// uncheckedNodes are the nodes that run the planned configuration and can take pods, and were not
// looked at. One that is cordoned takes none; it counts as soon as it is not.
func (l PreloadPool) uncheckedNodes(p Pool) []string {
	var out []string
	for _, n := range p.Nodes {
		if n.runs(p.Rendered) && n.available() && !slices.Contains(l.Nodes, n.Name) {
			out = append(out, n.Name)
		}
	}
	return out
}

// firstThree bounds the names in a message.
func firstThree(list []string) []string { return list[:min(3, len(list))] }

// summary says what was there before each release; empty when nothing was wanted.
func (l Preload) summary() string {
	if len(l.Pools) == 0 {
		return ""
	}
	var nodes, images int
	var skipped []string
	for _, p := range l.Pools {
		nodes, images = nodes+len(p.Nodes), images+p.Loaded
		skipped = append(skipped, p.Skipped...)
	}
	return fmt.Sprintf("%d nodes with it were given the critical images before others were released, %d in all", nodes,
		images) + skippedSuffix("not given", skipped)
}
