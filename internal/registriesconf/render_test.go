package registriesconf

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
)

func TestRenderText(t *testing.T) {
	got, err := Render([]byte(base), union(
		idms("d", from("quay.io/acme", "m.local/acme")),
		itms("i", from("quay.io/acme", "m.local/acme-tags").with(allow), from("*.example.com", "m.local/ex")),
	).insecure("m.local"))
	if err != nil {
		t.Fatal(err)
	}
	want := `unqualified-search-registries = ["registry.access.redhat.com", "docker.io"]
short-name-mode = ""
additional-layer-store-auth-helper = ""

[[registry]]
  prefix = ""
  location = "quay.io/acme"

  [[registry.mirror]]
    location = "m.local/acme"
    insecure = true
    pull-from-mirror = "digest-only"

  [[registry.mirror]]
    location = "m.local/acme-tags"
    insecure = true
    pull-from-mirror = "tag-only"

[[registry]]
  prefix = "*.example.com"

  [[registry.mirror]]
    location = "m.local/ex"
    insecure = true
    pull-from-mirror = "tag-only"

[[registry]]
  prefix = ""
  location = "m.local"
  insecure = true
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

// TestRenderLeavesBase covers when the MCO writes no file of its own: only when none of the
// lists is there. A list that is present but empty is there.
func TestRenderLeavesBase(t *testing.T) {
	cases := map[string]struct {
		sets     Sets
		wantBase bool
	}{
		"no image config":        {Sets{}, true},
		"empty image config":     {union(), true},
		"only allowedRegistries": {union().allowed("quay.io"), true},
		"all blocks guarded":     {union().blocked("quay.io").release("quay.io/ocp/release:4.20"), true},
		"insecure list absent":   {union().insecure(), true},
		"insecure list empty":    {union().insecure([]string{}...), false},
		"ignored mirror set":     {union(itms("i", from("quay.io"))), false},
		"mirror set alone": {Sets{ITMSs: []configv1.ImageTagMirrorSet{itms("i",
			from("quay.io", "m.local"))}}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Render([]byte(base), tc.sets)
			if err != nil {
				t.Fatal(err)
			}
			if isBase := string(got) == base; isBase != tc.wantBase {
				t.Errorf("base returned: %t, want %t; text:\n%s", isBase, tc.wantBase, got)
			}
		})
	}
}

func TestRenderIgnoresObjectOrder(t *testing.T) {
	sets := []configv1.ImageTagMirrorSet{
		itms("a", from("quay.io", "a.io", "b.io")), itms("b", from("quay.io", "c.io")),
		itms("c", from("quay.io/x", "z.io"), from("docker.io", "m.io")), itms("d", from("docker.io", "k.io")),
	}
	want, err := Render([]byte(base), Sets{ITMSs: sets})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		shuffled := slices.Clone(sets)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got, err := Render([]byte(base), Sets{ITMSs: shuffled})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("text depends on the order of objects:\n%s", diff)
		}
	}
}

func TestRenderErrors(t *testing.T) {
	if _, err := Render([]byte("= nonsense"), union(itms("i", from("quay.io", "m.io")))); err == nil ||
		!strings.Contains(err.Error(), RegistriesPath) {
		t.Errorf("a base that is not TOML: got %v, want an error naming %s", err, RegistriesPath)
	}
	nested := "[[registry]]\nlocation = 'a.x.io'\n" // in the base, of which the objects know nothing
	if _, err := Render([]byte(nested), union(itms("i", from("*.x.io", "m.io")))); err == nil ||
		!strings.Contains(err.Error(), "wildcard") {
		t.Errorf("a wildcard above an entry of the base: got %v", err)
	}
	_, err := Render([]byte(base), union(itms("i", from("quay.io:v1", "m.io"), from("docker.io", "m:io/x:y"))))
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 2 {
		t.Errorf("two malformed names: got %v, want an InvalidError with two problems", err)
	}
}

// TestMerge is about several sets for one source: what order comes out.
func TestMerge(t *testing.T) {
	const s = "s.io"
	cases := map[string]struct {
		sets Sets
		want []string // mirrors of the entry, in order
	}{
		"chain": {union(itms("1", from(s, "a.io", "b.io")), itms("2", from(s, "b.io", "c.io"))),
			[]string{"a.io", "b.io", "c.io"}},
		"chain the other way round": {union(itms("1", from(s, "b.io", "c.io")), itms("2", from(s, "a.io", "b.io"))),
			[]string{"a.io", "b.io", "c.io"}},
		"unrelated": {union(itms("1", from(s, "a.io", "b.io")), itms("2", from(s, "c.io"))),
			[]string{"a.io", "c.io", "b.io"}},
		"equal": {union(itms("1", from(s, "a.io", "b.io")), itms("2", from(s, "a.io", "b.io"))),
			[]string{"a.io", "b.io"}},
		"loop, source sorts last": {union(itms("1", from(s, "a.io", "b.io")), itms("2", from(s, "b.io", "a.io"))),
			[]string{"a.io", "b.io"}},
		"loop, source sorts first": {union(itms("1", from(s, "x.io", "y.io")), itms("2", from(s, "y.io", "x.io"))),
			[]string{s, "x.io", "y.io"}},
		"source listed in the middle": {union(itms("1", from(s, "a.io", s, "b.io"))), []string{"a.io", s, "b.io"}},
		"source listed last":          {union(itms("1", from(s, "a.io", s))), []string{"a.io"}},
		"digest sets and policies": {union(idms("1", from(s, "a.io", "b.io")), icsp("2", from(s, "b.io", "c.io"))),
			[]string{"a.io", "b.io", "c.io"}},
		"kinds do not mix": {union(idms("1", from(s, "x.io")), itms("2", from(s, "a.io"))),
			[]string{"x.io", "a.io"}},
		"one set dropped, one kept": {union(itms("1", from(s).with(allow)), itms("2", from(s, "a.io"))),
			[]string{"a.io"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			entry := configOf(t, tc.sets).find(s)
			if entry == nil {
				t.Fatalf("no entry for %s", s)
			}
			var got []string
			for _, m := range entry.Mirrors {
				got = append(got, m.Location)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNesting is about what an entry inherits from a broader one, beyond the rows of
// TestPullSources.
func TestNesting(t *testing.T) {
	cases := map[string]struct {
		sets Sets
		ref  string
		want []string
	}{
		"insecure reaches nested entries": {
			union(itms("i", from("q.io/app", "m.io/a"))).insecure("q.io"),
			"q.io/app/x:1", []string{"m.io/a/x:1", "q.io/app/x:1 (I)"},
		},
		"insecure reaches mirrors": {
			union(itms("i", from("q.io/app", "m.io/a"))).insecure("m.io"),
			"q.io/app/x:1", []string{"m.io/a/x:1 (I)", "q.io/app/x:1"},
		},
		"a wildcard covers hosts": {
			union(itms("i", from("a.q.io/app", "m.io/a"))).blocked("*.q.io"),
			"a.q.io/app/x:1", []string{"m.io/a/x:1", "a.q.io/app/x:1 (B)"},
		},
		"the least specific parent fills an empty entry": {
			union(itms("i", from("a.io", "m1.io"), from("a.io/b", "m2.io"))).insecure("a.io/b/c"),
			"a.io/b/c/x:1", []string{"m1.io/b/c/x:1", "a.io/b/c/x:1 (I)"},
		},
		"a port is not nested in its host when rendering": {
			union(itms("i", from("h.io", "m.io"))).insecure("h.io:5000"),
			"h.io:5000/x:1", []string{"h.io:5000/x:1 (I)"},
		},
		"a digest set inherits nothing for tags": {
			union(itms("i", from("a.io", "m.io").with(never)), idms("d", from("a.io/b", "d.io"))),
			"a.io/b/x:1", []string{"a.io/b/x:1"},
		},
		"a rewrite that is no reference fails the pull": {
			union(itms("i", from("h.io", "m.io/path"))),
			"h.io:5000/x:1", []string{"error: rewriting h.io:5000/x:1 by the rules of h.io: rewriting reference: invalid reference format"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, attempts(resolved(t, configOf(t, tc.sets), tc.ref))); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPayloadGuard is about blockedRegistries that would cut the cluster off its own release.
func TestPayloadGuard(t *testing.T) {
	const release = "quay.io/ocp/release" + digest
	cases := map[string]struct {
		sets        Sets
		wantBlocked []string // of the references below
	}{
		"an unrelated block stands": {union().blocked("docker.io").release(release),
			[]string{"docker.io/x/y:1"}},
		"a covering block is left out": {union().blocked("quay.io", "docker.io").release(release),
			[]string{"docker.io/x/y:1"}},
		"the repository itself as well": {union().blocked("quay.io/ocp/release").release(release), nil},
		"unless digests are mirrored": {union(idms("d",
			from("quay.io/ocp", "m.io"))).blocked("quay.io").release(release), []string{"quay.io/ocp/release:1",
			"quay.io/other:1"}},
		"an old digest set will do": {union(icsp("d",
			from("quay.io/ocp", "m.io"))).blocked("quay.io").release(release), []string{"quay.io/ocp/release:1",
			"quay.io/other:1"}},
		"tag mirrors do not help": {union(itms("i",
			from("quay.io/ocp", "m.io"))).blocked("quay.io").release(release), nil},
		"nor do mirrors that are blocked": {union(idms("d", from("quay.io/ocp", "docker.io/m"))).blocked("quay.io",
			"docker.io").release(release), []string{"docker.io/x/y:1"}},
		"nor digest mirrors for a tag": {union(idms("d",
			from("quay.io/ocp", "m.io"))).blocked("quay.io").release("quay.io/ocp/release:1"), nil},
		"an unknown release guards nothing": {union().blocked("quay.io"),
			[]string{"quay.io/ocp/release:1", "quay.io/other:1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			config := configOf(t, tc.sets)
			var got []string
			for _, ref := range []string{"docker.io/x/y:1", "quay.io/ocp/release:1", "quay.io/other:1"} {
				if len(resolved(t, config, ref).Usable()) == 0 {
					got = append(got, ref)
				}
			}
			if diff := cmp.Diff(tc.wantBlocked, got); diff != "" {
				t.Errorf("blocked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithAndWithout(t *testing.T) {
	original := union(itms("a", from("a.io", "m.io")), itms("b", from("b.io", "m.io")), idms("d", from("d.io", "m.io")))
	names := func(s Sets) (out []string) {
		for _, r := range s.mirrorItems() {
			out = append(out, r.id()+" "+r.source)
		}
		return out
	}
	before := names(original)
	replaced, added := itms("a", from("new.io", "m.io")), idms("e", from("e.io", "m.io"))
	cases := map[string]struct {
		sets Sets
		want []string
	}{
		"replace and add": {original.With(&added, &replaced), []string{
			"ImageDigestMirrorSet/d d.io", "ImageDigestMirrorSet/e e.io", "ImageTagMirrorSet/a new.io",
			"ImageTagMirrorSet/b b.io"}},
		"nothing":          {original.With(nil, nil), before},
		"remove":           {original.Without("d", "a"), []string{"ImageTagMirrorSet/b b.io"}},
		"remove no such":   {original.Without("", "zzz"), before},
		"there and back":   {original.With(&added, nil).Without("e", ""), before},
		"into empty lists": {Sets{}.With(&added, nil), []string{"ImageDigestMirrorSet/e e.io"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, names(tc.sets)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, names(original)); diff != "" {
				t.Errorf("the original changed:\n%s", diff)
			}
		})
	}
}
