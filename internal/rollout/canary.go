package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Canary summarises what the nodes that have the new configuration have pulled under it. Everything that is proven before is proven beside
// the new configuration: the operator asks registries by itself, and the pods of the phase Prove name the mirror. What a kubelet makes of
// the source's own name with the new registries.conf, credentials and policy is seen on the first node that has them, and on no other
// before. There one pod is looked at in peace; after the second drain it is a pod that somebody's budget waits for.
type Canary struct {
	// Disabled is true when the user does not want it.
	Disabled bool `json:"disabled,omitempty"`
	// Kinds are those kinds of nodes of which one runs the configuration that its pool is rendered to; bounded.
	Kinds []CanaryKind `json:"kinds,omitempty"`
	// Preload is what the other nodes have.
	Preload Preload `json:"preload,omitzero"`
	// Left is the number of pods that are still there and were not told to go.
	Left int `json:"left,omitempty"`
	// Until is when time alone changes something; zero when only a pod can.
	Until time.Time `json:"until,omitzero"`
}

// CanaryKind is a sort of node: those of one pool and architecture.
type CanaryKind struct {
	Pool         string `json:"pool"`
	Architecture string `json:"architecture,omitempty"`
	// Nodes are those that are asked, as a rule the first that has the configuration.
	Nodes []string `json:"nodes,omitempty"`
	// Chosen is true once it is known which references are asked for, under the plan and the configuration of now.
	Chosen bool `json:"chosen,omitempty"`
	// Seen is how many nodes of the pool had the configuration when it was chosen. Once there are more, one of them may lack what the
	// nodes of then had the layers of already.
	Seen int `json:"seen,omitempty"`
	// Wanted is the number of references. Proven are those of which the node has downloaded the layers, Resolved those of which it was
	// served the manifest and had the layers already. The rest is Failed or open.
	Wanted   int `json:"wanted,omitempty"`
	Proven   int `json:"proven,omitempty"`
	Resolved int `json:"resolved,omitempty"`
	Failed   int `json:"failed,omitempty"`
	// Worst are the first failures; bounded.
	Worst []Problem `json:"worst,omitempty"`
	// Skipped says what could not be asked, and why; bounded.
	Skipped []string `json:"skipped,omitempty"`
}

// name is what the kind is called in messages.
func (k CanaryKind) name() string {
	out := "pool " + k.Pool
	if k.Architecture != "" {
		out += ", " + k.Architecture
	}
	if len(k.Nodes) > 0 {
		out += ", node " + strings.Join(k.Nodes, ", ")
	}
	return out
}

// passed tells whether the kind holds no release any more.
func (k CanaryKind) passed() bool { return k.Chosen && k.Proven+k.Resolved >= k.Wanted }

// outgrown tells whether the choice is to be made again: a node that has the layers already has shown the manifest and no more, and there are
// nodes with the configuration now that were not there to be asked. It is asked once for each node that is done, and of a node that lacks
// the image; should all of them have it, the answer of before stands.
//
//	worker-0 had the router's image: resolved; worker-1 is done and lacks it: it is asked before worker-2 is released
func (k CanaryKind) outgrown(p Pool) bool { return k.Resolved > 0 && p.Updated() > k.Seen }

// byFirstNodes is what the critical references lack that the first node of each kind has to pull, under the names that pods spell.
func (c Canary) byFirstNodes(pools []Pool) (failed, open []Blocker) {
	if c.Disabled {
		return nil, nil
	}
	if p, missing := unasked(c, pools); missing {
		return nil, []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
			"has %d of %d nodes with the new configuration, and none of them has been asked yet to pull with it; no other node is released until one has", p.Updated(), len(p.Nodes)))}
	}
	for _, k := range c.Kinds {
		i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == k.Pool && p.hasCanary() })
		switch {
		case i < 0:
		case k.Failed > 0:
			failed = append(failed, orCount(k.Worst, v1alpha1.ReasonNodesCannotPull, k.name()+": %d critical images cannot be pulled under the new configuration", k.Failed)...)
		case !k.passed():
			open = append(open, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: cmp.Or(strings.Join(k.Nodes, ","), k.Pool), Message: fmt.Sprintf(
				"%s: %d of %d critical images pulled under the new configuration; no other node is released until all are", k.name(), k.Proven+k.Resolved, k.Wanted)})
		case k.outgrown(pools[i]):
			open = append(open, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "MachineConfigPool", Name: k.Pool, Message: fmt.Sprintf(
				"%s had the layers of %d critical images already, and pool %s has %d nodes with the new configuration by now, %d when it was chosen who is asked; one that lacks them is asked before another node is released",
				k.name(), k.Resolved, k.Pool, pools[i].Updated(), k.Seen)})
		}
	}
	return failed, open
}

// hasCanary tells whether a node of the pool runs the planned configuration.
func (p Pool) hasCanary() bool { return p.Meaning == MeansPlanned && p.Updated() > 0 }

// unasked is the first pool that has a node with the new configuration of which nothing is chosen. What was chosen for an earlier plan, or
// by a process that is gone, does not count.
func unasked(c Canary, pools []Pool) (Pool, bool) {
	for _, p := range pools {
		if !p.hasCanary() {
			continue
		}
		kinds := 0
		for _, k := range c.Kinds {
			if k.Pool != p.Name {
				continue
			}
			if !k.Chosen {
				return p, true
			}
			kinds++
		}
		if kinds == 0 {
			return p, true
		}
	}
	return Pool{}, false
}

// shown says what the first nodes have pulled; empty when they were not asked.
func (c Canary) shown() string {
	if c.Disabled || len(c.Kinds) == 0 {
		return ""
	}
	var proven, resolved int
	var skipped []string
	for _, k := range c.Kinds {
		proven, resolved = proven+k.Proven, resolved+k.Resolved
		skipped = append(skipped, k.Skipped...)
	}
	out := fmt.Sprintf("the first nodes with it have pulled %d critical images under their own names", proven+resolved)
	if resolved > 0 {
		out += fmt.Sprintf(", %d of which they had the layers of already", resolved)
	}
	return out + lacking("not asked for", skipped)
}

// sweepCanary takes away the pods that are left over when nothing is to be found out any more: the proof stands, the rollout goes back,
// the user has turned it off, or the rollout is deleted. The end is not put on record before they are told to go.
func sweepCanary(o Observed, d Decision) Decision {
	if !leftOver(o, d) {
		return d
	}
	ended := slices.ContainsFunc(d.Facts, func(f Fact) bool { _, is := f.(Completed); return is })
	if ended {
		d.Facts = nil
	}
	d.Complete = false
	d.Actions = append([]Action{EnsureCanary{Sweep: true}}, d.Actions...)
	return d
}

// leftOver tells whether there are pods that the decision does not work with. Mirror sets that are half written come before them (I13).
func leftOver(o Observed, d Decision) bool {
	canary, ok := o.Canary.Get()
	return ok && canary.Left > 0 && !finishes(d) && !slices.ContainsFunc(d.Actions, func(a Action) bool { _, is := a.(EnsureCanary); return is })
}
