package probe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// A preload is a canary for each node instead of one for each kind of node: once it has succeeded the image is there, under the name that
// workloads use, and the pod of a drain that comes to the node starts without a pull. A node that reports the image under that name
// with the mirror's digest is not asked at all.

// PreloadSet is what the nodes of one pool are given.
type PreloadSet struct {
	Pool string
	// Loads are the nodes that were looked at, by name. One that has only just been uncordoned is not among them yet.
	Loads []NodeLoad
}

// NodeLoad is what one node is given.
type NodeLoad struct {
	Node string
	// Present is how many of the images are there already.
	Present int
	// Probes are for the others, Gaps what is not asked for.
	Probes []Probe
	Gaps   []Gap
}

// Preloads chooses, for every node that has the new configuration and can take pods, which images it still has to pull. loaded are the pods,
// by name, whose pulls have succeeded, and when; one that is older than the bound is done again.
func Preloads(in CanaryInput, loaded map[string]time.Time, notOlderThan time.Time) []PreloadSet {
	own := poolTaints(in.Nodes)
	pools := map[string][]NodeLoad{}
	for _, n := range in.Nodes {
		if config := in.Configs[n.Pool]; config == "" || n.State.Current != config || !takesPods(n) || uncordoning(n.Object) {
			continue
		}
		kind := Kind{Pool: n.Pool, Architecture: n.Object.Status.NodeInfo.Architecture}
		r := canaryRound{CanaryInput: in, set: CanarySet{Kind: kind}, bytes: map[string]int64{}}
		pools[n.Pool] = append(pools[n.Pool], r.load(n, own[n.Pool], func(name string, lacks bool) bool {
			// The node reports what it has some time after a pull, and what it no longer has: garbage is collected where disks are full.
			at, ok := loaded[name]
			return ok && !at.Before(notOlderThan) && (!lacks || in.Now.Sub(at) < heartbeat)
		}))
	}
	var out []PreloadSet
	for _, pool := range slices.Sorted(maps.Keys(pools)) {
		slices.SortFunc(pools[pool], func(a, b NodeLoad) int { return cmp.Compare(a.Node, b.Node) })
		out = append(out, PreloadSet{Pool: pool, Loads: pools[pool]})
	}
	return out
}

// Wanted are the probes of both, each once: what a canary asks of a node and what that node is given may be the same pod.
func Wanted(sets []CanarySet, loads []PreloadSet) []Probe {
	var out []Probe
	at := map[string]int{}
	for _, s := range sets {
		for _, p := range s.Probes {
			at[p.Name] = len(out)
			out = append(out, p)
		}
	}
	for _, s := range loads {
		for _, l := range s.Loads {
			for _, p := range l.Probes {
				if i, known := at[p.Name]; known {
					out[i].OnNode = true
					continue
				}
				out = append(out, p)
			}
		}
	}
	return out
}

// takesPods tells whether the scheduler may put pods on the node and nothing is on its way there; the rollout waits for no other ones.
func takesPods(n Node) bool {
	s := n.State
	return s.Ready && !s.Unschedulable && s.Desired == s.Current && s.State == "Done"
}

// uncordoning tells of the moment in which a node is schedulable again and still has the taint of its cordon.
func uncordoning(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
}

// load finds what one node lacks.
func (r *canaryRound) load(n Node, own []corev1.Taint, loaded func(name string, lacks bool) bool) NodeLoad {
	out := NodeLoad{Node: n.Object.Name}
	images := slices.DeleteFunc(r.Critical(n), func(i CriticalImage) bool {
		return !i.Moves || !Image{Platforms: i.Platforms}.suits(r.set.Kind.Architecture)
	})
	why, room := unfit(n, own), int64(0)
	if why == "" {
		room, why = roomOn(n.Object, r.Limits.Headroom, r.Now)
	}
	t := candidate{node: n, Target: Target{Kind: r.set.Kind, Node: n.Object.Name, Room: room, Tolerations: tolerations(own), Present: present(n.Object)}}
	for _, i := range images {
		lacks := lacksImage(n.Object, i)
		ours := loaded(canaryPodName(r.Rollout, r.Configs[n.Pool], n.Object.Name, i.Reference), lacks)
		switch {
		case ours:
			out.Present++
			r.took += i.Bytes
			r.pulls++
		case hasImage(n.Object, i):
			out.Present++
		case why != "":
			r.gap("node "+n.Object.Name, why) // whatever it lacks: once is enough
			out.Gaps = r.set.Gaps
			return out
		case r.pulls+len(r.set.Probes) >= r.Limits.PodsPerNode:
			r.gap(i.Reference, fmt.Sprintf("node %s is given at most %d images", n.Object.Name, r.Limits.PodsPerNode))
		default:
			if full := r.full(&t, i, lacks); full != "" {
				r.gap(i.Reference, full)
				continue
			}
			r.ask(&t, i, lacks)
		}
	}
	for i := range r.set.Probes {
		r.set.Probes[i].OnNode = true
	}
	out.Probes, out.Gaps = r.set.Probes, r.set.Gaps
	return out
}

// hasImage tells whether the node reports the image under the name that workloads use, and as the mirror has it: then a pod that does not
// insist on a pull starts without one.
func hasImage(n *corev1.Node, i CriticalImage) bool {
	for _, image := range n.Status.Images {
		if !slices.Contains(image.Names, i.Reference) {
			continue
		}
		if strings.Contains(i.Reference, "@") {
			return true
		}
		return i.Digest != "" && slices.ContainsFunc(image.Names, func(name string) bool { return strings.HasSuffix(name, "@"+i.Digest) })
	}
	return false
}

// Sum says how far the pool is.
func (s PreloadSet) Sum(outcomes []Outcome, notOlderThan time.Time) rollout.PreloadPool {
	out := rollout.PreloadPool{Pool: s.Pool}
	for _, l := range s.Loads {
		out.Nodes = append(out.Nodes, l.Node)
		before := out.Wanted - out.Loaded
		out.Wanted, out.Loaded = out.Wanted+l.Present, out.Loaded+l.Present
		for _, g := range l.Gaps {
			out.Skipped = appendText(out.Skipped, g.String())
		}
		for _, p := range l.Probes {
			sumPreload(&out, p, outcomes, notOlderThan)
		}
		switch {
		case out.Wanted-out.Loaded > before:
			out.Waiting = appendText(out.Waiting, l.Node)
		case len(l.Gaps) == 0:
			out.Ready++
		}
	}
	return out
}

func sumPreload(out *rollout.PreloadPool, p Probe, outcomes []Outcome, notOlderThan time.Time) {
	out.Wanted++
	o, far := standingOf(p, outcomes, notOlderThan)
	switch {
	case far == shown:
		out.Loaded++
	case far == failed:
		out.Failed++
		out.Worst = appendNamed(out.Worst, canaryProblem(o))
	case givenUp(o, far):
		out.Wanted--
		out.Skipped = appendText(out.Skipped, o.Verdict.Message)
	}
}
