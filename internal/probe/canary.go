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

// A canary is a probe on a node that runs the new configuration already: the pod names the image as workloads do, so the kubelet goes the
// way that theirs will go, through the new registries.conf, to whatever mirror, with whatever credentials and under whatever policy. It is
// asked of one node of each pool and architecture, before any other node is released.
//
// An image that the node has already is not downloaded again: the mirror serves its manifest and nothing else. Such a pull shows less, and is
// told apart (Probe.Fresh). As soon as another node of the kind has the configuration and not the image, that one is asked as well.

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
	// Endpoint is where nodes find it under the planned configuration: the first place that they ask.
	Endpoint string
	// Digest is that of the image there, and Bytes what a node downloads for it at most; empty and 0 when they are not known.
	Digest string
	Bytes  int64
	// Platforms are those of an index; empty for a single image, which is taken to suit every node.
	Platforms []string
	// Moves is true when a pod that a drain moves may need it. Pods of a DaemonSet stay, and what a node is born with is there.
	Moves bool
}

// CanaryInput is everything that decides who is asked for what.
type CanaryInput struct {
	Rollout string
	// Nodes are those of all pools, and Configs the rendered MachineConfigs that are the new configuration, by pool.
	Nodes   []Node
	Configs map[string]string
	// Critical are the images that a node of this sort may have to pull, the most critical first.
	Critical func(Node) []CriticalImage
	// Outcomes are those of before.
	Outcomes []Outcome
	Limits   Limits
	Now      time.Time
}

// CanarySet is what one kind of node is asked for.
type CanarySet struct {
	Kind   Kind
	Nodes  []string
	Probes []Probe
	Gaps   []Gap
	// Seen is how many nodes of the pool had the configuration when this was chosen, whether they can be asked or not.
	Seen int
	// Settling says why no node of the kind can be asked yet; empty when one can, or when none ever will: that is a Gap.
	Settling string
}

// Canaries chooses, for every kind that has a node with the new configuration, which node pulls which image.
func Canaries(in CanaryInput) []CanarySet {
	own := poolTaints(in.Nodes)
	kinds, seen := map[Kind][]Node{}, map[string]int{}
	for _, n := range in.Nodes {
		if config := in.Configs[n.Pool]; config != "" && n.State.Current == config && n.State.Desired == config && n.State.State == "Done" {
			kind := Kind{Pool: n.Pool, Architecture: n.Object.Status.NodeInfo.Architecture}
			kinds[kind] = append(kinds[kind], n)
			seen[n.Pool]++
		}
	}
	var out []CanarySet
	for _, kind := range slices.SortedFunc(maps.Keys(kinds), Kind.compare) {
		r := canaryRound{CanaryInput: in, set: CanarySet{Kind: kind, Seen: seen[kind.Pool]}, bytes: map[string]int64{}}
		r.gather(kinds[kind], own[kind.Pool])
		r.choose()
		out = append(out, r.set)
	}
	return out
}

// canaryRound is the choice for one kind.
type canaryRound struct {
	CanaryInput
	set        CanarySet
	candidates []candidate
	bytes      map[string]int64
	// took and pulls are what a node that is preloaded has pulled for it before; its room is less by that already, its bounds are not.
	took  int64
	pulls int
}

// candidate is a node that can be asked.
type candidate struct {
	Target
	node Node
}

// gather finds the nodes that can be asked. One that cannot for a reason that passes is waited for: a release would not get by it either.
func (r *canaryRound) gather(nodes []Node, own []corev1.Taint) {
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Object.Name, b.Object.Name) })
	shunned := Shunned(r.Outcomes, r.Now, r.Limits)
	slices.SortStableFunc(nodes, func(a, b Node) int {
		return compareBool(shunned[a.Object.Name] != "", shunned[b.Object.Name] != "")
	})
	var reasons, passing []string
	for _, n := range nodes {
		why, room := unfit(n, own), int64(0)
		switch {
		case why != "" && settles(n):
			passing = append(passing, n.Object.Name+" "+why)
			continue
		case why == "":
			room, why = roomOn(n.Object, r.Limits.Headroom, r.Now)
		}
		if why != "" {
			reasons = append(reasons, n.Object.Name+" "+why)
			continue
		}
		r.candidates = append(r.candidates, candidate{node: n, Target: Target{
			Kind: r.set.Kind, Node: n.Object.Name, Room: room, Tolerations: tolerations(own), Present: present(n.Object),
		}})
	}
	switch {
	case len(r.candidates) > 0:
	case len(passing) > 0:
		r.set.Settling = strings.Join(passing[:min(3, len(passing))], "; ")
	default:
		r.gap("", "no node of this kind can be asked: "+strings.Join(reasons[:min(3, len(reasons))], "; "))
	}
}

// settles tells whether what is against the node is on its way out by itself, or holds every release anyway: a cordon, a condition.
func settles(n Node) bool {
	s := n.State
	return s.Unschedulable || n.Object.Spec.Unschedulable || !s.Ready || s.DrainWanted != s.DrainApplied ||
		slices.ContainsFunc(n.Object.Spec.Taints, func(t corev1.Taint) bool { return repels(t) && temporary(t) })
}

// choose finds a node for each image.
func (r *canaryRound) choose() {
	if len(r.candidates) == 0 {
		return
	}
	for _, i := range r.Critical(r.candidates[0].node) {
		image := Image{Platforms: i.Platforms}
		switch {
		case !image.suits(r.set.Kind.Architecture):
		case len(r.set.Probes) >= r.Limits.PodsPerNode:
			r.gap(i.Reference, fmt.Sprintf("at most %d critical images are asked of the first node of a kind", r.Limits.PodsPerNode))
		default:
			r.place(i)
		}
	}
	slices.Sort(r.set.Nodes)
	r.set.Nodes = slices.Compact(r.set.Nodes)
}

// place lets a proof stand that has shown the layers; otherwise it prefers a node that lacks the image, then one that has answered already.
func (r *canaryRound) place(i CriticalImage) {
	answered := ""
	for _, o := range r.Outcomes {
		if o.Verdict.State != Pulled || o.Kind != r.set.Kind || o.Config != r.Configs[r.set.Kind.Pool] || o.Image != i.Reference {
			continue
		}
		if o.Fresh {
			r.set.Probes, r.set.Nodes = append(r.set.Probes, o.Probe), append(r.set.Nodes, o.Node)
			return
		}
		answered = o.Node
	}
	best, why := -1, ""
	for c := range r.candidates {
		t := &r.candidates[c]
		lacks := lacksImage(t.node.Object, i)
		if full := r.full(t, i, lacks); full != "" {
			why = full
			continue
		}
		if lacks {
			r.ask(t, i, true)
			return
		}
		if best < 0 || t.Node == answered {
			best = c
		}
	}
	if best < 0 {
		r.gap(i.Reference, why)
		return
	}
	r.ask(&r.candidates[best], i, false)
}

// full says why the node is not to be burdened with the image. One that it has for sure costs nothing.
func (r *canaryRound) full(t *candidate, i CriticalImage, lacks bool) string {
	if has := slices.Contains(t.Present, i.Digest); has && !lacks {
		return ""
	}
	total := r.bytes[t.Node] + i.Bytes
	switch {
	case i.Bytes <= 0:
		return "its size is not known"
	case total+r.took > r.Limits.BytesPerNode:
		return fmt.Sprintf("node %s downloads at most %s for this, and with its %s there would be %s", t.Node, size(r.Limits.BytesPerNode), size(i.Bytes), size(total+r.took))
	case total > t.Room/unpacked:
		return fmt.Sprintf("node %s has room for %s beside its headroom, and unpacked that is not enough for %s", t.Node, size(t.Room), size(total))
	}
	return ""
}

func (r *canaryRound) ask(t *candidate, i CriticalImage, fresh bool) {
	if !slices.Contains(t.Present, i.Digest) {
		r.bytes[t.Node] += i.Bytes
	}
	config := r.Configs[r.set.Kind.Pool]
	r.set.Nodes = append(r.set.Nodes, t.Node)
	r.set.Probes = append(r.set.Probes, Probe{
		Name: canaryPodName(r.Rollout, config, t.Node, i.Reference), Kind: r.set.Kind, Node: t.Node, Tolerations: t.Tolerations,
		Image: i.Reference, Bytes: i.Bytes, Scope: i.Reference, Critical: true, Config: config, Endpoint: i.Endpoint, Fresh: fresh,
	})
}

func (r *canaryRound) gap(what, why string) {
	r.set.Gaps = append(r.set.Gaps, Gap{Kind: r.set.Kind, What: what, Why: why})
}

func canaryPodName(rollout, config, node, image string) string {
	return CanaryName + strings.TrimPrefix(podName(rollout+"\n"+config, node, image), AppName)
}

// reported is how many images a node reports at most (nodeStatusMaxImages of the kubelet), the largest first.
const reported = 50

// lacksImage tells whether the node surely does not have the image. It does not report it; and should it report as many as it ever does,
// then the smallest of them is smaller than the image, which would have come before it:
//
//	50 images reported, the smallest of 120 MiB; the image is 300 MiB on the wire: it is not there
//	50 images reported, the smallest of 120 MiB; the image is  40 MiB on the wire: nobody knows
func lacksImage(n *corev1.Node, i CriticalImage) bool {
	if i.Digest == "" || slices.Contains(present(n), i.Digest) {
		return false
	}
	if len(n.Status.Images) < reported {
		return true
	}
	smallest := slices.MinFunc(n.Status.Images, func(a, b corev1.ContainerImage) int { return cmp.Compare(a.SizeBytes, b.SizeBytes) })
	return i.Bytes > smallest.SizeBytes
}

// giveUp is how often a pull is tried to be asked for that cannot be (the pod is not admitted, finds no place) before the release goes on
// without: that is no failure of the mirror, and is said.
const giveUp = 3

func givenUp(o Outcome, far standing) bool { return far == unsure && o.Attempts >= giveUp }

// Sum says how far the kind is.
func (s CanarySet) Sum(outcomes []Outcome, notOlderThan time.Time) rollout.CanaryKind {
	out := rollout.CanaryKind{
		Pool: s.Kind.Pool, Architecture: s.Kind.Architecture, Nodes: s.Nodes, Chosen: s.Settling == "", Wanted: len(s.Probes), Seen: s.Seen,
	}
	for _, g := range s.Gaps {
		out.Skipped = appendText(out.Skipped, g.String())
	}
	for _, p := range s.Probes {
		o, far := standingOf(p, outcomes, notOlderThan)
		switch {
		case far == shown && o.Fresh:
			out.Proven++
		case far == shown:
			out.Resolved++
		case far == failed:
			out.Failed++
			out.Worst = appendNamed(out.Worst, canaryProblem(o))
		case givenUp(o, far):
			out.Wanted--
			out.Skipped = appendText(out.Skipped, o.Verdict.Message)
		}
	}
	return out
}

func appendText(list []string, s string) []string {
	if len(list) == maxNamed {
		return list
	}
	return append(list, s)
}

// canaryProblem says which image the node could not pull, where it should have come from, and what happens now.
func canaryProblem(o Outcome) rollout.Problem {
	out := problem(o)
	out.Message = fmt.Sprintf("%s; under the new configuration it should have come from %s, where it was proven before; no other node is released until "+
		"this one can pull it, and the pods that are there are not touched", out.Message, cmp.Or(o.Endpoint, "its source"))
	return out
}

// canary is the configuration under which the pod shows a pull; empty when it is no canary.
func canary(pod *corev1.Pod) string { return pod.Annotations[annotationConfig] }
