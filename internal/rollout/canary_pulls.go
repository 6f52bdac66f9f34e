package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// CanaryPulls summarises what the nodes that have the new configuration have pulled under it.
// Everything that is proven before is proven beside the new configuration: the operator asks
// registries by itself, and the pods of the phase Prove name the mirror. What a kubelet makes of
// the source's own name with the new registries.conf, credentials and policy is seen on the first
// node that has them, and on no other before. There one pod is looked at in peace; after the second
// drain it is a pod that somebody's budget waits for.
type CanaryPulls struct {
	// Disabled is true when the user does not want it.
	Disabled bool `json:"disabled,omitempty"`
	// Groups are those kinds of nodes of which one runs the configuration that its pool is rendered
	// to; bounded.
	Groups []CanaryGroup `json:"kinds,omitempty"`
	// Preload is what the other nodes have.
	Preload Preload `json:"preload,omitzero"`
	// PodsLeft is the number of pods that are still there and were not told to go.
	PodsLeft int `json:"left,omitempty"`
	// RecheckAt is when time alone changes something; zero when only a pod can.
	RecheckAt time.Time `json:"until,omitzero"`
}

// CanaryGroup is a sort of node: those of one pool and architecture.
type CanaryGroup struct {
	Pool         string `json:"pool"`
	Architecture string `json:"architecture,omitempty"`
	// Nodes are those that are asked, as a rule the first that has the configuration.
	Nodes []string `json:"nodes,omitempty"`
	// Selected is true once it is known which references are asked for, under the plan and the
	// configuration of now.
	Selected bool `json:"chosen,omitempty"`
	// UpdatedWhenSelected is how many nodes of the pool had the configuration when it was chosen.
	// Once there are more, one of them may lack what the nodes of then had the layers of already.
	UpdatedWhenSelected int `json:"seen,omitempty"`
	// Wanted is the number of references. Proven are those of which the node has downloaded the
	// layers, Resolved those of which it was served the manifest and had the layers already. The
	// rest is Failed or open.
	Wanted       int `json:"wanted,omitempty"`
	Proven       int `json:"proven,omitempty"`
	ManifestOnly int `json:"resolved,omitempty"`
	Failed       int `json:"failed,omitempty"`
	// Problems are the first failures; bounded.
	Problems []Problem `json:"worst,omitempty"`
	// Skipped says what could not be asked, and why; bounded.
	Skipped []string `json:"skipped,omitempty"`
}

// describe is what the kind is called in messages.
func (g CanaryGroup) describe() string {
	out := "pool " + g.Pool
	if g.Architecture != "" {
		out += ", " + g.Architecture
	}
	if len(g.Nodes) > 0 {
		out += ", node " + strings.Join(g.Nodes, ", ")
	}
	return out
}

// passed tells whether the kind holds no release any more.
func (g CanaryGroup) passed() bool { return g.Selected && g.Proven+g.ManifestOnly >= g.Wanted }

// needsReselection tells whether the choice is to be made again: a node that has the layers already
// has shown the manifest and no more, and there are nodes with the configuration now that were not
// there to be asked. It is asked once for each node that is done, and of a node that lacks the
// image; should all of them have it, the previous answer stands.
//
//	worker-0 had the router's image: resolved; worker-1 is done and lacks it: it is asked before worker-2 is released
func (g CanaryGroup) needsReselection(p Pool) bool {
	return g.ManifestOnly > 0 && p.Updated() > g.UpdatedWhenSelected
}

// blockers is what the critical references lack that the first node of each kind has to pull, under
// the names that pods spell.
func (c CanaryPulls) blockers(pools []Pool) (failed, open []Blocker) {
	if c.Disabled {
		return nil, nil
	}
	if p, missing := poolWithoutSelection(c, pools); missing {
		return nil, []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
			"has %d of %d nodes with the new configuration, and none of them has been asked yet to pull with it; no other node is released until one has", p.Updated(), len(p.Nodes)))}
	}
	for _, g := range c.Groups {
		i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == g.Pool && p.hasUpdatedNode() })
		switch {
		case i < 0:
		case g.Failed > 0:
			failed = append(failed, problemsOrCount(g.Problems, v1alpha1.ReasonNodesCannotPull, g.describe()+
				": %d critical images cannot be pulled under the new configuration", g.Failed)...)
		case !g.passed():
			open = append(open, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node",
				Name: cmp.Or(strings.Join(g.Nodes, ","), g.Pool), Message: fmt.Sprintf(
					"%s: %d of %d critical images pulled under the new configuration; no other node is released until all are", g.describe(), g.Proven+g.ManifestOnly, g.Wanted)})
		case g.needsReselection(pools[i]):
			open = append(open, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "MachineConfigPool", Name: g.Pool,
				Message: fmt.Sprintf(
					"%s had the layers of %d critical images already, and pool %s has %d nodes with the new configuration by now, %d when it was chosen who is asked; one that lacks them is asked before another node is released",
					g.describe(), g.ManifestOnly, g.Pool, pools[i].Updated(), g.UpdatedWhenSelected)})
		}
	}
	return failed, open
}

// hasUpdatedNode tells whether a node of the pool runs the planned configuration.
func (p Pool) hasUpdatedNode() bool { return p.Registries == MatchesPlanned && p.Updated() > 0 }

// poolWithoutSelection is the first pool that has a node with the new configuration of which
// nothing is chosen. What was chosen for an earlier plan, or by a process that is gone, does not
// count.
func poolWithoutSelection(c CanaryPulls, pools []Pool) (Pool, bool) {
	for _, p := range pools {
		if !p.hasUpdatedNode() {
			continue
		}
		groups := 0
		for _, g := range c.Groups {
			if g.Pool != p.Name {
				continue
			}
			if !g.Selected {
				return p, true
			}
			groups++
		}
		if groups == 0 {
			return p, true
		}
	}
	return Pool{}, false
}

// summary says what the first nodes have pulled; empty when they were not asked.
func (c CanaryPulls) summary() string {
	if c.Disabled || len(c.Groups) == 0 {
		return ""
	}
	var proven, resolved int
	var skipped []string
	for _, g := range c.Groups {
		proven, resolved = proven+g.Proven, resolved+g.ManifestOnly
		skipped = append(skipped, g.Skipped...)
	}
	out := fmt.Sprintf("the first nodes with it have pulled %d critical images under their own names", proven+resolved)
	if resolved > 0 {
		out += fmt.Sprintf(", %d of which they had the layers of already", resolved)
	}
	return out + skippedSuffix("not asked for", skipped)
}

// cleanUpCanaryPulls takes away the pods that are left over when nothing is to be found out any
// more: the proof stands, the rollout rolls back, the user has turned it off, or the rollout is
// deleted. The end is not put on record before they are told to go.
func cleanUpCanaryPulls(o Observed, d Decision) Decision {
	if !unusedCanaryPods(o, d) {
		return d
	}
	ended := slices.ContainsFunc(d.Facts, func(f Fact) bool { _, ok := f.(RolloutCompleted); return ok })
	if ended {
		d.Facts = nil
	}
	d.Complete = false
	d.Actions = append([]Action{EnsureCanaryPulls{CleanUp: true}}, d.Actions...)
	return d
}

// unusedCanaryPods tells whether there are pods that the decision does not work with. Mirror sets
// that are half written come before them (I13).
func unusedCanaryPods(o Observed, d Decision) bool {
	pulls, ok := o.CanaryPulls.Get()
	return ok && pulls.PodsLeft > 0 && !finishesMirrorSets(d) &&
		!slices.ContainsFunc(d.Actions, func(a Action) bool { _, ok := a.(EnsureCanaryPulls); return ok })
}
