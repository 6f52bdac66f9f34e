package pullcheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

const planned = "rendered-1"

// updated brings the node to the planned configuration.
func updated(n *Node) {
	n.State.CurrentConfig, n.State.DesiredConfig = planned, planned
}

// router is a critical image of so many bytes, at the mirror with the digest.
func router(n int, bytes int64) CriticalImage {
	return CriticalImage{
		Reference: fmt.Sprintf("quay.io/acme/router:v%d", n), Endpoint: fmt.Sprintf("mirror.local/acme/router:v%d", n),
		Digest: digestOf(100 + n), Bytes: bytes,
	}
}

// has puts images on the node.
func has(digests ...string) func(*Node) {
	return func(n *Node) {
		for _, d := range digests {
			n.Object.Status.Images = append(n.Object.Status.Images,
				corev1.ContainerImage{Names: []string{"quay.io/acme/router@" + d}, SizeBytes: mib})
		}
	}
}

// crowded fills the list of images that the node reports.
func crowded(smallest int64) func(*Node) {
	return func(n *Node) {
		n.Object.Status.Images = nil
		for i := range maxReportedImages {
			n.Object.Status.Images = append(n.Object.Status.Images,
				corev1.ContainerImage{Names: []string{"x@" + digestOf(1000+i)}, SizeBytes: smallest + int64(i)*mib})
		}
	}
}

// pulledBefore is what a node has pulled before.
func pulledBefore(node string, i CriticalImage, fresh bool) CheckResult {
	p := Check{Name: canaryPodName("shop", planned, node, i.Reference),
		Group: NodeGroup{Pool: "worker", Architecture: "amd64"}, Node: node, Image: i.Reference,
		Scope: i.Reference, Critical: true, Config: planned, ImageAbsent: fresh}
	return outcome(p, Pulled, time.Minute, 0)
}

// selectionSummary is a CanarySet in short.
type selectionSummary struct {
	Kind     string
	Asks     []string // "node image", with + where the layers will be shown
	Gaps     []string
	Settling string
}

func TestCanaries(t *testing.T) {
	one, two := router(1, 40*mib), router(2, 300*mib)
	workers := func(edits ...func(*Node)) []Node {
		return []Node{node("w0", "worker", append([]func(*Node){updated}, edits...)...), node("w1", "worker")}
	}
	amd := func(asks ...string) []selectionSummary {
		return []selectionSummary{{Kind: "pool worker, amd64", Asks: asks}}
	}
	cases := map[string]struct {
		nodes   []Node
		images  []CriticalImage
		results []CheckResult
		limits  func(*Limits)
		want    []selectionSummary
	}{
		"no node has the configuration": {nodes: []Node{node("w0", "worker")}, images: []CriticalImage{one}},
		"the first has it": {nodes: workers(), images: []CriticalImage{two, one},
			want: amd("w0 quay.io/acme/router:v2+", "w0 quay.io/acme/router:v1+")},
		"one on its way does not have it": {
			nodes:  []Node{node("w0", "worker", updated, func(n *Node) { n.State.State = "Working" })},
			images: []CriticalImage{one},
		},
		"it has the image: the manifest is all that it can show": {
			nodes: workers(has(digestOf(101))), images: []CriticalImage{one}, want: amd("w0 quay.io/acme/router:v1"),
		},
		"another node with the configuration lacks it": {
			nodes:  append(workers(has(digestOf(101))), node("w2", "worker", updated)),
			images: []CriticalImage{one}, want: amd("w2 quay.io/acme/router:v1+"),
		},
		"one that has shown the manifest is not enough once another lacks it": {
			nodes:  append(workers(has(digestOf(101))), node("w2", "worker", updated)),
			images: []CriticalImage{one}, results: []CheckResult{pulledBefore("w0", one, false)},
			want: amd("w2 quay.io/acme/router:v1+"),
		},
		"layers that were shown stand, although the node has them now": {
			nodes:  append(workers(has(digestOf(101))), node("w2", "worker", updated)),
			images: []CriticalImage{one}, results: []CheckResult{pulledBefore("w0", one, true)},
			want: amd("w0 quay.io/acme/router:v1+"),
		},
		"a node reports its largest images only, and a large one would be among them": {
			nodes: workers(crowded(120 * mib)), images: []CriticalImage{two}, want: amd("w0 quay.io/acme/router:v2+"),
		},
		"a small one may be there all the same": {
			nodes: workers(crowded(120 * mib)), images: []CriticalImage{one}, want: amd("w0 quay.io/acme/router:v1"),
		},
		"each architecture is a kind": {
			nodes: append(workers(), node("a0", "worker", updated,
				func(n *Node) { n.Object.Status.NodeInfo.Architecture = "arm64" })),
			images: []CriticalImage{{Reference: "r:v1", Digest: digestOf(101), Bytes: mib,
				Platforms: []string{"linux/amd64"}}},
			want: []selectionSummary{{Kind: "pool worker, amd64", Asks: []string{"w0 r:v1+"}},
				{Kind: "pool worker, arm64"}},
		},
		"zones are not": {nodes: append(workers(), node("w2", "worker", updated, zone("b"))),
			images: []CriticalImage{one}, want: amd("w0 quay.io/acme/router:v1+")},
		"a cordon is waited for": {
			nodes: workers(func(n *Node) { n.State.Unschedulable = true }), images: []CriticalImage{one},
			want: []selectionSummary{{Kind: "pool worker, amd64", Settling: "w0 is cordoned"}},
		},
		"a taint of the node's state is waited for": {
			nodes:  workers(taint("node.kubernetes.io/unschedulable", "", corev1.TaintEffectNoSchedule)),
			images: []CriticalImage{one},
			want: []selectionSummary{{Kind: "pool worker, amd64",
				Settling: "w0 carries the taint node.kubernetes.io/unschedulable:NoSchedule, which not all nodes of its pool carry for good"}},
		},
		"a user's taint on that node is not": {
			nodes: workers(taint("maintenance", "true", corev1.TaintEffectNoSchedule)), images: []CriticalImage{one},
			want: []selectionSummary{{Kind: "pool worker, amd64",
				Gaps: []string{"pool worker, amd64: no node of this kind can be asked: w0 carries the taint maintenance=true:NoSchedule, which not all nodes of its pool carry for good"}}},
		},
		"the most critical come first, the others are gaps": {
			nodes: workers(), images: []CriticalImage{two, one}, limits: func(l *Limits) { l.PodsPerNode = 1 },
			want: []selectionSummary{{Kind: "pool worker, amd64", Asks: []string{"w0 quay.io/acme/router:v2+"},
				Gaps: []string{"pool worker, amd64: quay.io/acme/router:v1: at most 1 critical images are asked of the first node of a kind"}}},
		},
		"bytes are bounded": {
			nodes: workers(), images: []CriticalImage{two, one}, limits: func(l *Limits) { l.BytesPerNode = 320 * mib },
			want: []selectionSummary{{Kind: "pool worker, amd64", Asks: []string{"w0 quay.io/acme/router:v2+"},
				Gaps: []string{"pool worker, amd64: quay.io/acme/router:v1: node w0 downloads at most 320 MiB for this, and with its 40 MiB there would be 340 MiB"}}},
		},
		"the room on the disk is, too": {
			nodes:  workers(func(n *Node) { n.Object.Status.Images[0].SizeBytes = 90<<30 - 15<<30 - 100*mib }),
			images: []CriticalImage{one, two},
			want: []selectionSummary{{Kind: "pool worker, amd64", Asks: []string{"w0 quay.io/acme/router:v1+"},
				Gaps: []string{"pool worker, amd64: quay.io/acme/router:v2: node w0 has room for 100 MiB beside its headroom, and unpacked that is not enough for 340 MiB"}}},
		},
		"what the node has takes no room": {
			nodes: workers(has(digestOf(102))), images: []CriticalImage{two},
			limits: func(l *Limits) { l.BytesPerNode = mib },
			want:   amd("w0 quay.io/acme/router:v2"),
		},
		"nothing is known of its size": {
			nodes: workers(), images: []CriticalImage{router(1, 0)},
			want: []selectionSummary{{Kind: "pool worker, amd64",
				Gaps: []string{"pool worker, amd64: quay.io/acme/router:v1: its size is not known"}}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			limits := CanaryLimits()
			if c.limits != nil {
				c.limits(&limits)
			}
			var got []selectionSummary
			for _, s := range Canaries(CanaryInput{
				Rollout: "shop", Nodes: c.nodes, Configs: map[string]string{"worker": planned}, Results: c.results,
				Limits: limits, Now: now,
				Critical: func(Node) []CriticalImage { return c.images },
			}) {
				short := selectionSummary{Kind: s.Group.String(), Settling: s.WaitingFor}
				for _, p := range s.Checks {
					ask := p.Node + " " + p.Image
					if p.ImageAbsent {
						ask += "+"
					}
					short.Asks = append(short.Asks, ask)
				}
				for _, g := range s.Skipped {
					short.Gaps = append(short.Gaps, g.String())
				}
				got = append(got, short)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

// canaryOf is what the first worker is asked for.
func canaryOf(images ...CriticalImage) CanarySet {
	return Canaries(CanaryInput{
		Rollout: "shop", Nodes: []Node{node("w0", "worker", updated)}, Configs: map[string]string{"worker": planned},
		Limits: CanaryLimits(), Now: now,
		Critical: func(Node) []CriticalImage { return images },
	})[0]
}

// The choice says how many nodes it was made among: those of the pool that have the configuration,
// of whatever architecture and whether they can be asked or not, so that the same number later
// means the same nodes.
func TestCanariesCountUpdatedNodes(t *testing.T) {
	arm := func(n *Node) { n.Object.Status.NodeInfo.Architecture = "arm64" }
	cordoned := func(n *Node) { n.State.Unschedulable = true }
	working := func(n *Node) { n.State.State = "Working" }
	got := map[string]int{}
	for _, s := range Canaries(CanaryInput{
		Rollout: "shop", Configs: map[string]string{"worker": planned, "infra": planned}, Limits: CanaryLimits(),
		Now: now,
		Nodes: []Node{node("w0", "worker", updated), node("w1", "worker", updated, cordoned), node("w2", "worker"),
			node("w3", "worker", updated, working),
			node("a0", "worker", updated, arm), node("i0", "infra", updated), node("m0", "master", updated)},
		Critical: func(Node) []CriticalImage { return nil },
	}) {
		got[s.Group.String()] = s.Summarize(nil, now).UpdatedWhenSelected
	}
	want := map[string]int{"pool worker, amd64": 3, "pool worker, arm64": 3, "pool infra, amd64": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes seen (-want +got):\n%s", diff)
	}
}

// A node that had the layers already has shown the manifest; the next one that is done and lacks
// them is asked, and then it is enough.
func TestAnotherNodePullsTheLayers(t *testing.T) {
	image := router(1, mib)
	first := node("w0", "worker", updated, has(image.Digest))
	choose := func(results []CheckResult, more ...Node) CanarySet {
		return Canaries(CanaryInput{
			Rollout: "shop", Nodes: append([]Node{first}, more...), Configs: map[string]string{"worker": planned},
			Results: results, Limits: CanaryLimits(), Now: now,
			Critical: func(Node) []CriticalImage { return []CriticalImage{image} },
		})[0]
	}
	set := choose(nil)
	results := []CheckResult{outcome(set.Checks[0], Pulled, time.Minute, 0)}
	if sum := set.Summarize(results, now.Add(-time.Hour)); sum.ManifestOnly != 1 || sum.UpdatedWhenSelected != 1 {
		t.Fatalf("the first: %+v", sum)
	}
	same := choose(results, node("w1", "worker", updated, has(image.Digest)))
	if sum := same.Summarize(results, now.Add(-time.Hour)); sum.ManifestOnly != 1 || sum.Wanted != 1 ||
		sum.UpdatedWhenSelected != 2 || same.Nodes[0] != "w0" {
		t.Errorf("one that has it as well: %+v", sum)
	}
	set = choose(results, node("w1", "worker", updated))
	if sum := set.Summarize(results, now.Add(-time.Hour)); sum.ManifestOnly+sum.Proven != 0 || sum.Wanted != 1 ||
		!slices.Equal(sum.Nodes, []string{"w1"}) {
		t.Errorf("one that lacks it: %+v", sum)
	}
	results = append(results, outcome(set.Checks[0], Pulled, time.Second, 0))
	set = choose(results, node("w1", "worker", updated, has(image.Digest)), node("w2", "worker", updated))
	if sum := set.Summarize(results, now.Add(-time.Hour)); sum.Proven != 1 || sum.ManifestOnly != 0 ||
		!slices.Equal(sum.Nodes, []string{"w1"}) {
		t.Errorf("once the layers were shown: %+v", sum)
	}
}

func TestCanaryPod(t *testing.T) {
	p := canaryOf(router(1, mib)).Checks[0]
	pod := NewPod(p, shop, namespace, time.Minute)
	if !IsCheckPod(pod) || !strings.HasPrefix(pod.Name, CanaryName+"-") || pod.Labels[LabelName] != CanaryName {
		t.Errorf("pod %s has labels %v", pod.Name, pod.Labels)
	}
	if c := pod.Spec.Containers[0]; c.Image != "quay.io/acme/router:v1" || c.ImagePullPolicy != corev1.PullAlways {
		t.Errorf("it pulls %s with the policy %s", c.Image, c.ImagePullPolicy)
	}
	if about := pod.Annotations["safemirror.io/about"]; !strings.Contains(about, "rendered-1") ||
		!strings.Contains(about, "oc delete pod") {
		t.Errorf("it says of itself: %s", about)
	}
	other := p
	other.Config = "rendered-2"
	if canaryPodName("shop", "rendered-2", p.Node, p.Image) == p.Name {
		t.Error("the pod of another configuration has the same name")
	}
}

func TestEvaluateCanary(t *testing.T) {
	p := canaryOf(router(1, mib)).Checks[0]
	present := corev1.Event{Reason: "Pulled",
		Message: `Container image "quay.io/acme/router:v1" already present on machine`}
	present.InvolvedObject.UID = podOf(p).UID
	cases := map[string]struct {
		pod    *corev1.Pod
		events []corev1.Event
		want   State
		class  mirror.ErrorClass
		says   string
	}{
		"pulled": {pod: podOf(p, completed), want: Pulled, says: "pulled quay.io/acme/router:v1"},
		"the node did not ask anybody": {pod: podOf(p, completed), events: []corev1.Event{present}, want: Inconclusive,
			says: "did not ask any registry"},
		"a policy under the image's own name refuses it to workloads too": {
			pod:  podOf(p, waiting("SignatureValidationFailed", "a signature was required, but no signature exists")),
			want: Failed, says: "policy"},
		"a layer is missing beneath a manifest": {
			pod: podOf(p, waiting("ErrImagePull",
				"copying system image from manifest list: reading blob sha256:0a: fetching blob: blob unknown to registry")), want: Failed, class: mirror.Incomplete},
		"the mirror's name is no word of an error": {
			pod: podOf(p, waiting("ErrImagePull",
				"(Mirrors also failed: [mirror.local/acme/router:v1: reading manifest v1 in mirror.local/acme/router: manifest unknown]): quay.io/acme/router:v1: registry quay.io is blocked in /etc/containers/registries.conf")),
			want: Failed, class: mirror.Missing, says: "mirror.local/acme/router:v1: reading manifest"},
		"a registry that does not answer is given time": {pod: podOf(p,
			waiting("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout")), want: Pulling, class: mirror.Timeout},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Evaluate(c.pod, c.events, now, CanaryLimits())
			if got.State != c.want || got.Class != c.class || !strings.Contains(got.Message, c.says) {
				t.Errorf("judged %s %q: %s; want %s %q: %s", got.State, got.Class, got.Message, c.want, c.class, c.says)
			}
		})
	}
}

func TestCanarySummary(t *testing.T) {
	set := canaryOf(router(1, mib), router(2, mib), router(3, mib), router(4, mib), router(5, mib))
	set.Checks[1].ImageAbsent = false
	failed := outcome(set.Checks[2], Failed, time.Second, 1)
	failed.Pull.Message = "node w0: cannot pull quay.io/acme/router:v3: blob unknown"
	got := set.Summarize([]CheckResult{
		outcome(set.Checks[0], Pulled, time.Minute, 0), outcome(set.Checks[1], Pulled, time.Minute, 0), failed,
		outcome(set.Checks[3], Unschedulable, time.Second, maxCanaryAttempts),
		outcome(set.Checks[4], Evicted, time.Second, maxCanaryAttempts-1),
	}, now.Add(-time.Hour))
	if got.Wanted != 4 || got.Proven != 1 || got.ManifestOnly != 1 || got.Failed != 1 || !got.Selected ||
		len(got.Skipped) != 1 {
		t.Errorf("%+v", got)
	}
	for _, part := range []string{"w0", "quay.io/acme/router:v3", "mirror.local/acme/router:v3",
		"no other node is released"} {
		if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Message, part) {
			t.Errorf("nothing says %q: %v", part, got.Problems)
		}
	}
	if stale := set.Summarize([]CheckResult{outcome(set.Checks[0], Pulled, 2*time.Hour, 0)},
		now.Add(-time.Hour)); stale.Proven != 0 {
		t.Errorf("a proof that is too old counts: %+v", stale)
	}
}

// A manifest that one node was served does not stand for the layers that another can show, and not
// for another configuration.
func TestWhatProvesACanary(t *testing.T) {
	want := canaryOf(router(1, mib)).Checks[0]
	cases := map[string]struct {
		edit func(*CheckResult)
		want bool
	}{
		"itself":                {func(*CheckResult) {}, true},
		"on another node":       {func(o *CheckResult) { o.Node, o.Name = "w5", "x" }, true},
		"by manifest only":      {func(o *CheckResult) { o.ImageAbsent = false }, false},
		"another configuration": {func(o *CheckResult) { o.Config = "rendered-2" }, false},
		"another architecture":  {func(o *CheckResult) { o.Group.Architecture = "arm64" }, false},
		"another image":         {func(o *CheckResult) { o.Image = "quay.io/acme/router:v9" }, false},
		"a failure":             {func(o *CheckResult) { o.Pull.State = Failed }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := outcome(want, Pulled, time.Minute, 0)
			c.edit(&o)
			if got := o.proves(want, now.Add(-time.Hour)); got != c.want {
				t.Errorf("proves: %t", got)
			}
		})
	}
}
