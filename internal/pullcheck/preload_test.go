package pullcheck

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
)

// evictedImage is an image that a pod needs which a drain moves.
func evictedImage(n int, bytes int64) CriticalImage {
	i := router(n, bytes)
	i.EvictedPods = true
	return i
}

// named puts the image on the node under its own name.
func named(i CriticalImage, digest string) func(*Node) {
	return func(n *Node) {
		n.Object.Status.Images = append(n.Object.Status.Images,
			corev1.ContainerImage{Names: []string{"quay.io/acme/router@" + digest, i.Reference}, SizeBytes: mib})
	}
}

func TestPreloads(t *testing.T) {
	one, two := evictedImage(1, 40*mib), evictedImage(2, 300*mib)
	bySum := CriticalImage{Reference: "quay.io/acme/router@" + digestOf(109), Digest: digestOf(109), Bytes: mib,
		EvictedPods: true}
	name := func(node string, i CriticalImage) string { return canaryPodName("shop", planned, node, i.Reference) }
	cases := map[string]struct {
		nodes  []Node
		images []CriticalImage
		loaded map[string]time.Time
		limits func(*Limits)
		want   []string // node: how many are present, what is asked for with + where it is lacking for sure, and gaps
	}{
		"nodes without the configuration are given nothing": {nodes: []Node{node("w0", "worker")},
			images: []CriticalImage{one}},
		"every other one is": {
			nodes:  []Node{node("w1", "worker", updated), node("w0", "worker", updated), node("w2", "worker")},
			images: []CriticalImage{two, one},
			want:   []string{"w0: 0 present, router:v2+ router:v1+", "w1: 0 present, router:v2+ router:v1+"},
		},
		"one that has it is not asked": {nodes: []Node{node("w0", "worker", updated, named(one, one.Digest))},
			images: []CriticalImage{one}, want: []string{"w0: 1 present,"}},
		"nor by digest": {nodes: []Node{node("w0", "worker", updated, named(one, bySum.Digest))},
			images: []CriticalImage{bySum}, want: []string{"w0: 1 present,"}},
		"the tag is an older image": {nodes: []Node{node("w0", "worker", updated, named(one, digestOf(77)))},
			images: []CriticalImage{one}, want: []string{"w0: 0 present, router:v1+"}},
		"the layers under another name do not start a pod that names a tag": {
			nodes: []Node{node("w0", "worker", updated, has(one.Digest))}, images: []CriticalImage{one},
			want: []string{"w0: 0 present, router:v1"},
		},
		"what was pulled is not pulled again": {
			nodes: []Node{node("w0", "worker", updated)}, images: []CriticalImage{one, two},
			loaded: map[string]time.Time{name("w0", one): now.Add(-time.Minute)},
			want:   []string{"w0: 1 present, router:v2+"},
		},
		"unless it is gone again": {nodes: []Node{node("w0", "worker", updated)},
			images: []CriticalImage{one}, loaded: map[string]time.Time{name("w0", one): now.Add(-time.Hour)},
			want: []string{"w0: 0 present, router:v1+"}},
		"nobody knows whether it is there still": {nodes: []Node{node("w0", "worker", updated, crowded(120*mib))},
			images: []CriticalImage{one}, loaded: map[string]time.Time{name("w0", one): now.Add(-time.Hour)},
			want: []string{"w0: 1 present,"}},
		"pods that stay need nothing anew": {nodes: []Node{node("w0", "worker", updated)},
			images: []CriticalImage{router(1, mib)}, want: []string{"w0: 0 present,"}},
		"a cordoned node takes no pods": {nodes: []Node{node("w0", "worker", updated,
			func(n *Node) { n.State.Unschedulable = true })}, images: []CriticalImage{one}},
		"one that is being uncordoned is looked at later": {
			nodes: []Node{node("w0", "worker", updated,
				taint("node.kubernetes.io/unschedulable", "", corev1.TaintEffectNoSchedule))},
			images: []CriticalImage{one},
		},
		"a taint of the user's is a gap, where something is wanted": {
			nodes: []Node{node("w0", "worker", updated, taint("maintenance", "true", corev1.TaintEffectNoSchedule)),
				node("w1", "worker")},
			images: []CriticalImage{one, two},
			want:   []string{"w0: 0 present, | pool worker, amd64: node w0: carries the taint maintenance=true:NoSchedule, which not all nodes of its pool carry for good"},
		},
		"bytes are bounded, with the previous ones": {
			nodes: []Node{node("w0", "worker", updated)}, images: []CriticalImage{one, two},
			loaded: map[string]time.Time{name("w0", one): now.Add(-time.Minute)},
			limits: func(l *Limits) { l.BytesPerNode = 320 * mib },
			want:   []string{"w0: 1 present, | pool worker, amd64: quay.io/acme/router:v2: node w0 downloads at most 320 MiB for this, and with its 300 MiB there would be 340 MiB"},
		},
		"so are pods": {
			nodes: []Node{node("w0", "worker", updated)}, images: []CriticalImage{one, two},
			loaded: map[string]time.Time{name("w0", one): now.Add(-time.Minute)},
			limits: func(l *Limits) { l.PodsPerNode = 1 },
			want:   []string{"w0: 1 present, | pool worker, amd64: quay.io/acme/router:v2: node w0 is given at most 1 images"},
		},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			limits := CanaryLimits()
			if c.limits != nil {
				c.limits(&limits)
			}
			var got []string
			for _, s := range Preloads(CanaryInput{
				Rollout: "shop", Nodes: c.nodes, Configs: map[string]string{"worker": planned}, Limits: limits,
				Now:      now,
				Critical: func(Node) []CriticalImage { return append([]CriticalImage(nil), c.images...) },
			}, c.loaded, now.Add(-24*time.Hour)) {
				for _, l := range s.Nodes {
					got = append(got, l.text(t))
				}
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

// text is a NodePreload in short.
func (l NodePreload) text(t *testing.T) string {
	t.Helper()
	out := l.Node + ": " + string(rune('0'+l.Present)) + " present,"
	for _, p := range l.Checks {
		if !p.NodeSpecific || p.Node != l.Node || p.Config != planned {
			t.Errorf("%+v is not about the node", p)
		}
		out += " " + strings.TrimPrefix(p.Image, "quay.io/acme/")
		if p.ImageAbsent {
			out += "+"
		}
	}
	for _, g := range l.Skipped {
		out += " | " + g.String()
	}
	return out
}

func TestPreloadSummary(t *testing.T) {
	in := CanaryInput{
		Rollout: "shop", Nodes: []Node{node("w0", "worker", updated)}, Configs: map[string]string{"worker": planned},
		Limits: CanaryLimits(), Now: now,
		Critical: func(Node) []CriticalImage {
			return []CriticalImage{evictedImage(1, mib), evictedImage(2, mib), evictedImage(3, mib)}
		},
	}
	set := Preloads(in, nil, now.Add(-time.Hour))[0]
	p := set.Nodes[0].Checks
	failed := outcome(p[0], Failed, time.Second, 1)
	failed.Pull.Message = "node w0: cannot pull quay.io/acme/router:v1: blob unknown"
	got := set.Summarize([]CheckResult{failed, outcome(p[1], Unschedulable, time.Second, maxCanaryAttempts),
		outcome(p[2], Evicted, time.Second, maxCanaryAttempts-1)}, now.Add(-time.Hour))
	if got.Wanted != 2 || got.Loaded != 0 || got.Failed != 1 || got.Ready != 0 || len(got.Skipped) != 1 {
		t.Errorf("%+v", got)
	}
	for _, part := range []string{"w0", "quay.io/acme/router:v1", "mirror.local/acme/router:v1",
		"no other node is released"} {
		if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Message, part) {
			t.Errorf("nothing says %q: %v", part, got.Problems)
		}
	}
}
