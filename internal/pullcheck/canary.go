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

// A canary is a probe on a node that runs the new configuration already: the pod names the image as
// workloads do, so the kubelet goes the way that theirs will go, through the new registries.conf,
// to whatever mirror, with whatever credentials and under whatever policy. It is asked of one node
// of each pool and architecture, before any other node is released.
//
// An image that the node has already is not downloaded again: the mirror serves its manifest and
// nothing else. Such a pull shows less, and is told apart (Probe.Fresh). As soon as another node of
// the kind has the configuration and not the image, that one is asked as well.

// CanaryName is the label value of canaries; see AppName.
const CanaryName = "safe-mirror-canary"

const (
	annotationConfig   = "safemirror.io/probe-config"
	annotationEndpoint = "safemirror.io/probe-endpoint"
	annotationFresh    = "safemirror.io/probe-fresh"
)

// CriticalImage is a reference without which a drain may be unable to end, as the pods spell it.
type CriticalImage struct {
	Reference string
	// Endpoint is where nodes find it under the planned configuration: the first place that they
	// ask.
	Endpoint string
	// Digest is that of the image there, and Bytes what a node downloads for it at most; empty and
	// 0 when they are not known.
	Digest string
	Bytes  int64
	// Platforms are those of an index; empty for a single image, which is taken to suit every node.
	Platforms []string
	// EvictedPods is true when a pod that a drain moves may need it. Pods of a DaemonSet stay, and
	// what a node is born with is there.
	EvictedPods bool
}

// CanaryInput is everything that decides who is asked for what.
type CanaryInput struct {
	Rollout string
	// Nodes are those of all pools, and Configs the rendered MachineConfigs that are the new
	// configuration, by pool.
	Nodes   []Node
	Configs map[string]string
	// Critical are the images that a node of this sort may have to pull, the most critical first.
	Critical func(Node) []CriticalImage
	// Results are the previous ones.
	Results []CheckResult
	Limits  Limits
	Now     time.Time
}

// CanarySet is what one kind of node is asked for.
type CanarySet struct {
	Group   NodeGroup
	Nodes   []string
	Checks  []Check
	Skipped []SkippedNode
	// UpdatedNodes is how many nodes of the pool had the configuration when this was chosen,
	// whether they can be asked or not.
	UpdatedNodes int
	// WaitingFor says why no node of the kind can be asked yet; empty when one can, or when none
	// ever will: that is a Gap.
	WaitingFor string
}

// Canaries chooses, for every kind that has a node with the new configuration, which node pulls
// which image.
func Canaries(in CanaryInput) []CanarySet {
	allowedTaints := poolTaints(in.Nodes)
	groups, updatedNodes := map[NodeGroup][]Node{}, map[string]int{}
	for _, n := range in.Nodes {
		if config := in.Configs[n.Pool]; config != "" && n.State.CurrentConfig == config &&
			n.State.DesiredConfig == config && n.State.State == "Done" {
			group := NodeGroup{Pool: n.Pool, Architecture: n.Object.Status.NodeInfo.Architecture}
			groups[group] = append(groups[group], n)
			updatedNodes[n.Pool]++
		}
	}
	var out []CanarySet
	for _, group := range slices.SortedFunc(maps.Keys(groups), NodeGroup.compare) {
		r := canarySelection{CanaryInput: in, set: CanarySet{Group: group, UpdatedNodes: updatedNodes[group.Pool]},
			bytes: map[string]int64{}}
		r.findCandidates(groups[group], allowedTaints[group.Pool])
		r.choose()
		out = append(out, r.set)
	}
	return out
}

// canarySelection is the choice for one kind.
type canarySelection struct {
	CanaryInput
	set        CanarySet
	candidates []candidate
	bytes      map[string]int64
	// preloadedBytes and pulls are what a node that is preloaded has pulled for it before; its room
	// is less by that already, its bounds are not.
	preloadedBytes  int64
	preloadedImages int
}

// candidate is a node that can be asked.
type candidate struct {
	SelectedNode
	node Node
}

// findCandidates finds the nodes that can be asked. One that cannot for a reason that passes is
// waited for: a release would not get by it either.
func (r *canarySelection) findCandidates(nodes []Node, allowedTaints []corev1.Taint) {
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Object.Name, b.Object.Name) })
	excluded := ExcludedNodes(r.Results, r.Now, r.Limits)
	slices.SortStableFunc(nodes, func(a, b Node) int {
		return compareBools(excluded[a.Object.Name] != "", excluded[b.Object.Name] != "")
	})
	var reasons, transient []string
	for _, n := range nodes {
		reason, free := filterReason(n, allowedTaints), int64(0)
		switch {
		case reason != "" && isTransient(n):
			transient = append(transient, n.Object.Name+" "+reason)
			continue
		case reason == "":
			free, reason = freeDiskBytes(n.Object, r.Limits.Headroom, r.Now)
		}
		if reason != "" {
			reasons = append(reasons, n.Object.Name+" "+reason)
			continue
		}
		r.candidates = append(r.candidates, candidate{node: n, SelectedNode: SelectedNode{
			Group: r.set.Group, Node: n.Object.Name, FreeBytes: free, Tolerations: tolerations(allowedTaints),
			PresentDigests: presentDigests(n.Object),
		}})
	}
	switch {
	case len(r.candidates) > 0:
	case len(transient) > 0:
		r.set.WaitingFor = strings.Join(transient[:min(3, len(transient))], "; ")
	default:
		r.skip("", "no node of this kind can be asked: "+strings.Join(reasons[:min(3, len(reasons))], "; "))
	}
}

// isTransient tells whether what is against the node is on its way out by itself, or holds every
// release anyway: a cordon, a condition.
func isTransient(n Node) bool {
	s := n.State
	return s.Unschedulable || n.Object.Spec.Unschedulable || !s.Ready || s.DesiredDrain != s.LastAppliedDrain ||
		slices.ContainsFunc(n.Object.Spec.Taints,
			func(t corev1.Taint) bool { return repelsPods(t) && isConditionTaint(t) })
}

// choose finds a node for each image.
func (r *canarySelection) choose() {
	if len(r.candidates) == 0 {
		return
	}
	for _, i := range r.Critical(r.candidates[0].node) {
		image := Image{Platforms: i.Platforms}
		switch {
		case !image.runsOn(r.set.Group.Architecture):
		case len(r.set.Checks) >= r.Limits.PodsPerNode:
			r.skip(i.Reference, fmt.Sprintf("at most %d critical images are asked of the first node of a kind",
				r.Limits.PodsPerNode))
		default:
			r.selectNode(i)
		}
	}
	slices.Sort(r.set.Nodes)
	r.set.Nodes = slices.Compact(r.set.Nodes)
}

// selectNode lets a proof stand that has shown the layers; otherwise it prefers a node that lacks
// the image, then one that has answered already.
func (r *canarySelection) selectNode(i CriticalImage) {
	answered := ""
	for _, o := range r.Results {
		if o.Pull.State != Pulled || o.Group != r.set.Group || o.Config != r.Configs[r.set.Group.Pool] ||
			o.Image != i.Reference {
			continue
		}
		if o.ImageAbsent {
			r.set.Checks, r.set.Nodes = append(r.set.Checks, o.Check), append(r.set.Nodes, o.Node)
			return
		}
		answered = o.Node
	}
	best, reason := -1, ""
	for c := range r.candidates {
		t := &r.candidates[c]
		absent := lacksImage(t.node.Object, i)
		if full := r.limitReached(t, i, absent); full != "" {
			reason = full
			continue
		}
		if absent {
			r.add(t, i, true)
			return
		}
		if best < 0 || t.Node == answered {
			best = c
		}
	}
	if best < 0 {
		r.skip(i.Reference, reason)
		return
	}
	r.add(&r.candidates[best], i, false)
}

// limitReached says why the node is not to be burdened with the image. One that it has for sure
// costs nothing.
func (r *canarySelection) limitReached(t *candidate, i CriticalImage, absent bool) string {
	if has := slices.Contains(t.PresentDigests, i.Digest); has && !absent {
		return ""
	}
	total := r.bytes[t.Node] + i.Bytes
	switch {
	case i.Bytes <= 0:
		return "its size is not known"
	case total+r.preloadedBytes > r.Limits.BytesPerNode:
		return fmt.Sprintf("node %s downloads at most %s for this, and with its %s there would be %s", t.Node,
			formatBytes(r.Limits.BytesPerNode), formatBytes(i.Bytes), formatBytes(total+r.preloadedBytes))
	case total > t.FreeBytes/unpackFactor:
		return fmt.Sprintf("node %s has room for %s beside its headroom, and unpacked that is not enough for %s",
			t.Node, formatBytes(t.FreeBytes), formatBytes(total))
	}
	return ""
}

func (r *canarySelection) add(t *candidate, i CriticalImage, absent bool) {
	if !slices.Contains(t.PresentDigests, i.Digest) {
		r.bytes[t.Node] += i.Bytes
	}
	config := r.Configs[r.set.Group.Pool]
	r.set.Nodes = append(r.set.Nodes, t.Node)
	r.set.Checks = append(r.set.Checks, Check{
		Name: canaryPodName(r.Rollout, config, t.Node, i.Reference), Group: r.set.Group, Node: t.Node,
		Tolerations: t.Tolerations,
		Image:       i.Reference, Bytes: i.Bytes, Scope: i.Reference, Critical: true, Config: config,
		Endpoint:    i.Endpoint,
		ImageAbsent: absent,
	})
}

func (r *canarySelection) skip(subject, reason string) {
	r.set.Skipped = append(r.set.Skipped, SkippedNode{Group: r.set.Group, Subject: subject, Reason: reason})
}

func canaryPodName(rollout, config, node, image string) string {
	return CanaryName + strings.TrimPrefix(podName(rollout+"\n"+config, node, image), AppName)
}

// maxReportedImages is how many images a node reports at most (nodeStatusMaxImages of the kubelet),
// the largest first.
const maxReportedImages = 50

// lacksImage tells whether the node surely does not have the image. It does not report it; and
// should it report as many as it ever does, then the smallest of them is smaller than the image,
// which would have come before it:
//
//	50 images reported, the smallest of 120 MiB; the image is 300 MiB on the wire: it is not there
//	50 images reported, the smallest of 120 MiB; the image is  40 MiB on the wire: nobody knows
func lacksImage(n *corev1.Node, i CriticalImage) bool {
	if i.Digest == "" || slices.Contains(presentDigests(n), i.Digest) {
		return false
	}
	if len(n.Status.Images) < maxReportedImages {
		return true
	}
	smallest := slices.MinFunc(n.Status.Images,
		func(a, b corev1.ContainerImage) int { return cmp.Compare(a.SizeBytes, b.SizeBytes) })
	return i.Bytes > smallest.SizeBytes
}

// maxCanaryAttempts is how often a pull is tried to be asked for that cannot be (the pod is not
// admitted, finds no place) before the release goes on without: that is no failure of the mirror,
// and is said.
const maxCanaryAttempts = 3

func attemptsExhausted(o CheckResult, state checkState) bool {
	return state == checkInconclusive && o.Attempts >= maxCanaryAttempts
}

// Summarize says how far the kind is.
func (s CanarySet) Summarize(results []CheckResult, notOlderThan time.Time) rollout.CanaryGroup {
	out := rollout.CanaryGroup{
		Pool: s.Group.Pool, Architecture: s.Group.Architecture, Nodes: s.Nodes, Selected: s.WaitingFor == "",
		Wanted: len(s.Checks), UpdatedWhenSelected: s.UpdatedNodes,
	}
	for _, g := range s.Skipped {
		out.Skipped = appendText(out.Skipped, g.String())
	}
	for _, p := range s.Checks {
		o, state := checkStateOf(p, results, notOlderThan)
		switch {
		case state == checkProven && o.ImageAbsent:
			out.Proven++
		case state == checkProven:
			out.ManifestOnly++
		case state == checkFailed:
			out.Failed++
			out.Problems = appendProblem(out.Problems, canaryProblem(o))
		case attemptsExhausted(o, state):
			out.Wanted--
			out.Skipped = appendText(out.Skipped, o.Pull.Message)
		}
	}
	return out
}

func appendText(list []string, s string) []string {
	if len(list) == maxListed {
		return list
	}
	return append(list, s)
}

// canaryProblem says which image the node could not pull, where it should have come from, and what
// happens now.
func canaryProblem(o CheckResult) rollout.Problem {
	out := problem(o)
	out.Message = fmt.Sprintf("%s; under the new configuration it should have come from %s, where it was proven before; no other node is released until "+
		"this one can pull it, and the pods that are there are not touched", out.Message,
		cmp.Or(o.Endpoint, "its source"))
	return out
}

// canaryConfig is the configuration under which the pod shows a pull; empty when it is no canary.
func canaryConfig(pod *corev1.Pod) string { return pod.Annotations[annotationConfig] }
