package pullcheck

import (
	"fmt"
	"math/rand"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func chosen(checks []Check) []string {
	var out []string
	for _, p := range checks {
		out = append(out, p.Node+" "+p.Image)
	}
	return out
}

func TestSelectChecks(t *testing.T) {
	const m, n = "mirror.local/acme", "mirror.local/base"
	ref := func(repository string, n int) string { return "w0 " + repository + "@" + digestOf(n) }
	cases := map[string]struct {
		images  []Image
		free    int64
		has     []string
		want    []string
		skipped []string
	}{
		"nothing to prove": {},
		"the smallest of a scope": {
			images: []Image{image(m+"/big", 1, 90*mib), image(m+"/small", 2, 3*mib), image(m+"/middle", 3, 9*mib)},
			want:   []string{ref(m+"/small", 2)},
		},
		"one of each scope, smallest first": {
			images: []Image{image(m+"/a", 1, 9*mib), image(n+"/b", 2, 3*mib),
				image("mirror.local:5000/acme/c", 3, 5*mib), image("flat.local", 4, mib)},
			want: []string{ref("flat.local", 4), ref(n+"/b", 2), ref("mirror.local:5000/acme/c", 3), ref(m+"/a", 1)},
		},
		"equal sizes, by name": {
			images: []Image{image(m+"/b", 1, mib), image(m+"/a", 1, mib)},
			want:   []string{ref(m+"/a", 1)},
		},
		"what the node has comes last": {
			images: []Image{image(m+"/small", 2, 3*mib), image(m+"/middle", 3, 9*mib)},
			has:    []string{digestOf(2)},
			want:   []string{ref(m+"/middle", 3)},
		},
		"what the node has is better than nothing": {
			images: []Image{image(m+"/small", 2, 3*mib)}, has: []string{digestOf(2)},
			want: []string{ref(m+"/small", 2)},
		},
		"a critical one stands for its scope, too": {
			images: []Image{image(m+"/small", 1, mib), image(m+"/router", 2, 80*mib, critical),
				image(m+"/other", 3, 2*mib)},
			want: []string{ref(m+"/router", 2)},
		},
		"scopes with a critical one come first": {
			images: []Image{image(m+"/small", 1, mib), image(n+"/router", 2, 80*mib, critical)},
			want:   []string{ref(n+"/router", 2), ref(m+"/small", 1)},
		},
		"a critical one that would take the share of another scope comes after": {
			images: []Image{image(m+"/small", 1, mib), image(m+"/router", 2, 160*mib, critical),
				image(n+"/b", 3, 100*mib)},
			want: []string{ref(m+"/small", 1), ref(n+"/b", 3), ref(m+"/router", 2)},
		},
		"a critical one that the node has shows less than a small one that it has not": {
			images: []Image{image(m+"/small", 1, mib), image(m+"/router", 2, 2*mib, critical)},
			has:    []string{digestOf(2)},
			want:   []string{ref(m+"/small", 1), ref(m+"/router", 2)},
		},
		"a critical one that is the smallest, once": {
			images: []Image{image(m+"/router", 2, mib, critical), image(m+"/other", 3, 2*mib)},
			want:   []string{ref(m+"/router", 2)},
		},
		"critical under one of two names": {
			images: []Image{image(m+"/small", 1, mib), image(m+"/router", 2, 2*mib),
				image(m+"/router", 2, 0, critical)},
			want: []string{ref(m+"/router", 2)},
		},
		"too many bytes": {
			images: []Image{image(m+"/a", 1, 200*mib), image(n+"/b", 2, 101*mib),
				image(m+"/router", 3, 300*mib, critical)},
			want: []string{ref(n+"/b", 2)},
			skipped: []string{
				"mirror.local/acme: node w0 downloads at most 300", "mirror.local/acme/router@" + digestOf(3) +
					": node w0 downloads at most 300",
			},
		},
		"exactly the bytes": {
			images: []Image{image(m+"/a", 1, 200*mib), image(n+"/b", 2, 100*mib)},
			want:   []string{ref(n+"/b", 2), ref(m+"/a", 1)},
		},
		"too many images": {
			images: []Image{image("a.local/a/a", 1, 1), image("b.local/a/a", 1, 2), image("c.local/a/a", 1, 3),
				image("d.local/a/a", 1, 4), image("e.local/a/a", 1, 5)},
			want: []string{ref("a.local/a/a", 1), ref("b.local/a/a", 1), ref("c.local/a/a", 1),
				ref("d.local/a/a", 1)},
			skipped: []string{"e.local/a: node w0 pulls at most 4 images"},
		},
		"too little room when unpacked": {
			images: []Image{image(m+"/a", 1, 30*mib), image(n+"/b", 2, 21*mib)}, free: 100 * mib,
			want:    []string{ref(n+"/b", 2)},
			skipped: []string{"mirror.local/acme: node w0 has room for 100"},
		},
		"another architecture": {
			images: []Image{image(m+"/arm", 1, mib, platforms("linux/arm64/v8", "linux/s390x")),
				image(m+"/both", 2, 2*mib, platforms("linux/arm64", "linux/amd64/v2"))},
			want: []string{ref(m+"/both", 2)},
		},
		"another architecture, says one of two": {
			images: []Image{image(m+"/arm", 1, mib), image(m+"/arm", 1, mib, platforms("linux/arm64"))},
		},
		"sizes that nobody knows": {
			images:  []Image{image(m+"/a", 1, 0)},
			skipped: []string{"mirror.local/acme/a@" + digestOf(1) + ": its size is not known"},
		},
		"a tag": {
			images:  []Image{{Reference: m + "/a:v1", Bytes: mib}},
			skipped: []string{"mirror.local/acme/a:v1: it is not a reference by digest"},
		},
		"a cloud's own registry": {
			images:  []Image{image("123.dkr.ecr.eu-west-1.amazonaws.com/acme/a", 1, mib)},
			want:    []string{ref("123.dkr.ecr.eu-west-1.amazonaws.com/acme/a", 1)},
			skipped: []string{"123.dkr.ecr.eu-west-1.amazonaws.com/acme: whether nodes have credentials there"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			free := c.free
			if free == 0 {
				free = 1 << 40
			}
			checks, skipped := SelectChecks("shop", c.images, []SelectedNode{target("w0", free, c.has...)},
				DefaultLimits())
			if diff := cmp.Diff(c.want, chosen(checks)); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
			begins := func(want string, g SkippedNode) bool {
				return strings.HasPrefix(g.String(), "pool worker, amd64, zone a: "+want)
			}
			if !slices.EqualFunc(c.skipped, skipped, begins) {
				t.Errorf("gaps %v, want %v", skipped, c.skipped)
			}
		})
	}
}

// Whatever the images and nodes are: the caps hold, each scope is sampled at most once beside its
// critical images, every probe fits its node, and the order in which images come does not matter.
func TestSelectChecksKeepsItsLimits(t *testing.T) {
	limits := DefaultLimits()
	dns := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		images, targets := randomImages(r), randomTargets(r)
		checks, skipped := SelectChecks("shop", images, targets, limits)
		shuffled := slices.Clone(images)
		r.Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		if again, gapsAgain := SelectChecks("shop", shuffled, targets, limits); !reflect.DeepEqual(checks, again) ||
			!reflect.DeepEqual(skipped, gapsAgain) {
			t.Fatalf("seed %d: another choice for another order:\n%s", seed, cmp.Diff(checks, again))
		}
		seen := map[string]bool{}
		for _, target := range targets {
			bytes, pods := int64(0), 0
			for _, p := range checks {
				if p.Node == target.Node {
					bytes, pods = bytes+p.Bytes, pods+1
				}
			}
			if bytes > limits.BytesPerNode || bytes*unpackFactor > target.FreeBytes || pods > limits.PodsPerNode {
				t.Fatalf("seed %d: node %s gets %d bytes in %d pods with room for %d", seed, target.Node, bytes, pods,
					target.FreeBytes)
			}
		}
		for _, p := range checks {
			if seen[p.Name] || !dns.MatchString(p.Name) {
				t.Fatalf("seed %d: the name %q is taken, or no name", seed, p.Name)
			}
			seen[p.Name] = true
		}
	}
}

func randomImages(r *rand.Rand) []Image {
	var out []Image
	for i := range r.Intn(30) {
		out = append(out, Image{
			Reference: fmt.Sprintf("m%d.local/org%d/app%d@%s", r.Intn(3), r.Intn(2), r.Intn(5), digestOf(i)),
			Bytes:     r.Int63n(150 * mib), Critical: r.Intn(6) == 0,
			Platforms: [][]string{nil, {"linux/amd64"}, {"linux/arm64"}, {"linux/amd64", "linux/arm64"}}[r.Intn(4)],
		})
	}
	return out
}

func randomTargets(r *rand.Rand) []SelectedNode {
	var out []SelectedNode
	for i := range 1 + r.Intn(4) {
		t := target(fmt.Sprintf("w%d", i), r.Int63n(1<<30))
		t.Group.Architecture, t.Group.Zone = []string{"amd64", "arm64"}[r.Intn(2)], fmt.Sprint(i)
		for range r.Intn(5) {
			t.PresentDigests = append(t.PresentDigests, digestOf(r.Intn(30)))
		}
		slices.Sort(t.PresentDigests)
		out = append(out, t)
	}
	return out
}

// The patterns are those of the kubelet's credential providers, in which * stays within one part of
// the host's name.
func TestCloudRegistries(t *testing.T) {
	cases := map[string]bool{
		"123.dkr.ecr.eu-west-1.amazonaws.com/acme": true, "acme.azurecr.io/base": true, "gcr.io/acme": true,
		"eu.gcr.io/acme":             true,
		"europe-docker.pkg.dev/acme": true, "quay.io/acme": false, "mirror.local:5000/acme": false,
		"a.b.azurecr.io/acme": false, "amazonaws.com/acme": false,
	}
	for scope, want := range cases {
		if got := cloudRegistry(scope); got != want {
			t.Errorf("%s: %t, want %t", scope, got, want)
		}
	}
}
