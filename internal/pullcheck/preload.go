package pullcheck

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

// A preload is a canary for each node instead of one for each kind of node: once it has succeeded
// the image is there, under the name that workloads use, and the pod of a drain that comes to the
// node starts without a pull. A node that reports the image under that name with the mirror's
// digest is not asked at all.

// PreloadSet is what the nodes of one pool are given.
type PreloadSet struct {
	Pool string
	// Nodes are the nodes that were looked at, by name. One that has only just been uncordoned is
	// not among them yet.
	Nodes []NodePreload
}

// NodePreload is what one node is given.
type NodePreload struct {
	Node string
	// Present is how many of the images are there already.
	Present int
	// Checks are for the others, Gaps what is not asked for.
	Checks  []Check
	Skipped []SkippedNode
}

// Preloads chooses, for every node that has the new configuration and can take pods, which images
// it still has to pull. loaded are the pods, by name, whose pulls have succeeded, and when; one
// that is older than the bound is done again.
func Preloads(in CanaryInput, loaded map[string]time.Time, notOlderThan time.Time) []PreloadSet {
	allowedTaints := poolTaints(in.Nodes)
	pools := map[string][]NodePreload{}
	for _, n := range in.Nodes {
		if config := in.Configs[n.Pool]; config == "" || n.State.CurrentConfig != config || !takesPods(n) ||
			uncordoning(n.Object) {
			continue
		}
		group := NodeGroup{Pool: n.Pool, Architecture: n.Object.Status.NodeInfo.Architecture}
		r := canarySelection{CanaryInput: in, set: CanarySet{Group: group}, bytes: map[string]int64{}}
		pools[n.Pool] = append(pools[n.Pool], r.preload(n, allowedTaints[n.Pool], func(name string, absent bool) bool {
			// The node reports what it has some time after a pull, and what it no longer has:
			// garbage is collected where disks are full.
			at, ok := loaded[name]
			return ok && !at.Before(notOlderThan) && (!absent || in.Now.Sub(at) < maxHeartbeatAge)
		}))
	}
	var out []PreloadSet
	for _, pool := range slices.Sorted(maps.Keys(pools)) {
		slices.SortFunc(pools[pool], func(a, b NodePreload) int { return cmp.Compare(a.Node, b.Node) })
		out = append(out, PreloadSet{Pool: pool, Nodes: pools[pool]})
	}
	return out
}

// MergeChecks are the probes of both, each once: what a canary asks of a node and what that node is
// given may be the same pod.
func MergeChecks(sets []CanarySet, loads []PreloadSet) []Check {
	var out []Check
	at := map[string]int{}
	for _, s := range sets {
		for _, p := range s.Checks {
			at[p.Name] = len(out)
			out = append(out, p)
		}
	}
	for _, s := range loads {
		for _, l := range s.Nodes {
			for _, p := range l.Checks {
				if i, known := at[p.Name]; known {
					out[i].NodeSpecific = true
					continue
				}
				out = append(out, p)
			}
		}
	}
	return out
}

// takesPods tells whether the scheduler may put pods on the node and nothing is on its way there;
// the rollout waits for no other ones.
func takesPods(n Node) bool {
	s := n.State
	return s.Ready && !s.Unschedulable && s.DesiredConfig == s.CurrentConfig && s.State == "Done"
}

// uncordoning tells of the moment in which a node is schedulable again and still has the taint of
// its cordon.
func uncordoning(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints,
		func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
}

// preload finds what one node lacks.
func (r *canarySelection) preload(n Node, allowedTaints []corev1.Taint,
	loaded func(name string, absent bool) bool) NodePreload {
	out := NodePreload{Node: n.Object.Name}
	images := slices.DeleteFunc(r.Critical(n), func(i CriticalImage) bool {
		return !i.EvictedPods || !Image{Platforms: i.Platforms}.runsOn(r.set.Group.Architecture)
	})
	reason, free := filterReason(n, allowedTaints), int64(0)
	if reason == "" {
		free, reason = freeDiskBytes(n.Object, r.Limits.Headroom, r.Now)
	}
	t := candidate{node: n, SelectedNode: SelectedNode{Group: r.set.Group, Node: n.Object.Name, FreeBytes: free,
		Tolerations: tolerations(allowedTaints), PresentDigests: presentDigests(n.Object)}}
	for _, i := range images {
		absent := lacksImage(n.Object, i)
		ours := loaded(canaryPodName(r.Rollout, r.Configs[n.Pool], n.Object.Name, i.Reference), absent)
		switch {
		case ours:
			out.Present++
			r.preloadedBytes += i.Bytes
			r.preloadedImages++
		case hasImage(n.Object, i):
			out.Present++
		case reason != "":
			r.skip("node "+n.Object.Name, reason) // whatever it lacks: once is enough
			out.Skipped = r.set.Skipped
			return out
		case r.preloadedImages+len(r.set.Checks) >= r.Limits.PodsPerNode:
			r.skip(i.Reference, fmt.Sprintf("node %s is given at most %d images", n.Object.Name, r.Limits.PodsPerNode))
		default:
			if full := r.limitReached(&t, i, absent); full != "" {
				r.skip(i.Reference, full)
				continue
			}
			r.add(&t, i, absent)
		}
	}
	for i := range r.set.Checks {
		r.set.Checks[i].NodeSpecific = true
	}
	out.Checks, out.Skipped = r.set.Checks, r.set.Skipped
	return out
}

// hasImage tells whether the node reports the image under the name that workloads use, and as the
// mirror has it: then a pod that does not insist on a pull starts without one.
func hasImage(n *corev1.Node, i CriticalImage) bool {
	for _, image := range n.Status.Images {
		if !slices.Contains(image.Names, i.Reference) {
			continue
		}
		if strings.Contains(i.Reference, "@") {
			return true
		}
		return i.Digest != "" && slices.ContainsFunc(image.Names,
			func(name string) bool { return strings.HasSuffix(name, "@"+i.Digest) })
	}
	return false
}

// Summarize says how far the pool is.
func (s PreloadSet) Summarize(results []CheckResult, notOlderThan time.Time) rollout.PreloadPool {
	out := rollout.PreloadPool{Pool: s.Pool}
	for _, l := range s.Nodes {
		out.Nodes = append(out.Nodes, l.Node)
		before := out.Wanted - out.Loaded
		out.Wanted, out.Loaded = out.Wanted+l.Present, out.Loaded+l.Present
		for _, g := range l.Skipped {
			out.Skipped = appendText(out.Skipped, g.String())
		}
		for _, p := range l.Checks {
			summarizePreload(&out, p, results, notOlderThan)
		}
		switch {
		case out.Wanted-out.Loaded > before:
			out.Waiting = appendText(out.Waiting, l.Node)
		case len(l.Skipped) == 0:
			out.Ready++
		}
	}
	return out
}

func summarizePreload(out *rollout.PreloadPool, p Check, results []CheckResult, notOlderThan time.Time) {
	out.Wanted++
	o, state := checkStateOf(p, results, notOlderThan)
	switch {
	case state == checkProven:
		out.Loaded++
	case state == checkFailed:
		out.Failed++
		out.Problems = appendProblem(out.Problems, canaryProblem(o))
	case attemptsExhausted(o, state):
		out.Wanted--
		out.Skipped = appendText(out.Skipped, o.Pull.Message)
	}
}
