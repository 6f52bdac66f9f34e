package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// summary is what a table compares of an item.
type summary struct {
	Name     string
	Pools    string
	Change   registriesconf.Change
	Fill     string
	After    string
	Accepted bool
	Shadow   string
}

func summaries(p Plan) []summary {
	var out []summary
	for _, i := range p.Items {
		out = append(out, summary{
			Name: short(i.Name), Pools: strings.Join(i.Pools, " "), Change: i.Change, Fill: short(i.Target),
			After: short(strings.Join(endpointReferences(i.After.Usable()), " ")), Accepted: i.Accepted != "",
			Shadow: i.ShadowedBy,
		})
	}
	return out
}

func short(s string) string { return strings.ReplaceAll(s, sha, "@sha") }

func TestBuild(t *testing.T) {
	cases := map[string]struct {
		b    *builder
		want []summary
	}{
		"(a) a tag, and the source is never contacted": {
			b: newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app:v1"),
			want: []summary{{Name: "quay.io/acme/app:v1", Pools: "worker", Change: registriesconf.NewlyBlocked,
				Fill: "m.local/acme/app:v1", After: "m.local/acme/app:v1"}},
		},
		"(b) a digest, and only tags are mirrored": {
			b:    newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app" + sha),
			want: []summary{{Name: "quay.io/acme/app@sha", Pools: "worker", Change: registriesconf.NewlyBlocked}},
		},
		"(b) a digest, and digests are mirrored, too": {
			b: newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).digests(item("quay.io/acme", block,
				"m.local/acme")).
				uses("quay.io/acme/app" + sha),
			want: []summary{{Name: "quay.io/acme/app@sha", Pools: "worker", Change: registriesconf.NewlyBlocked,
				Fill: "m.local/acme/app@sha", After: "m.local/acme/app@sha"}},
		},
		"(c) a tag, and the source may be contacted": {
			b: newBuilder().tags(item("quay.io/acme", allow, "m.local/acme")).uses("quay.io/acme/app:v1"),
			want: []summary{{Name: "quay.io/acme/app:v1", Pools: "worker", Change: registriesconf.GainsMirror,
				Fill: "m.local/acme/app:v1", After: "m.local/acme/app:v1 quay.io/acme/app:v1"}},
		},
		"(d) a narrower scope takes the digest mirrors away": {
			b: newBuilder().existingDigests("quay.io/acme",
				"m.local/acme").tags(item("quay.io/acme/shop", "", "m.local/shop")).
				uses("quay.io/acme/shop/app" + sha),
			want: []summary{{Name: "quay.io/acme/shop/app@sha", Pools: "worker", Change: registriesconf.LosesMirror,
				After: "quay.io/acme/shop/app@sha", Shadow: "ImageTagMirrorSet/shop"}},
		},
		"(e) two pools, two applications": {
			b: newBuilder().inPools("custom", "worker").tags(item("quay.io/acme", block, "m.local/acme")).
				uses("quay.io/acme/one:v1", "quay.io/acme/two:v1"),
			want: []summary{
				{Name: "quay.io/acme/one:v1", Pools: "custom worker", Change: registriesconf.NewlyBlocked,
					Fill: "m.local/acme/one:v1", After: "m.local/acme/one:v1"},
				{Name: "quay.io/acme/two:v1", Pools: "custom worker", Change: registriesconf.NewlyBlocked,
					Fill: "m.local/acme/two:v1", After: "m.local/acme/two:v1"},
			},
		},
		"what is elsewhere does not change": {
			b: newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/other/app:v1",
				"docker.io/library/nginx"),
		},
		"the mirror itself does not change": {
			b: newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("m.local/acme/app:v1"),
		},
		"the first mirror is filled": {
			b: newBuilder().tags(item("quay.io/acme", block, "m.local/acme",
				"n.local/acme")).uses("quay.io/acme/app:v1"),
			want: []summary{{Name: "quay.io/acme/app:v1", Pools: "worker", Change: registriesconf.NewlyBlocked,
				Fill:  "m.local/acme/app:v1",
				After: "m.local/acme/app:v1 n.local/acme/app:v1"}},
		},
		"a mirror that is blocked is not": {
			b: newBuilder().blocks("m.local").tags(item("quay.io/acme", block, "m.local/acme",
				"n.local/acme")).uses("quay.io/acme/app:v1"),
			want: []summary{{Name: "quay.io/acme/app:v1", Pools: "worker", Change: registriesconf.NewlyBlocked,
				Fill:  "n.local/acme/app:v1",
				After: "n.local/acme/app:v1"}},
		},
		"a source among its own mirrors is not filled": {
			b: newBuilder().tags(item("quay.io/acme", "", "quay.io/acme", "m.local/acme")).uses("quay.io/acme/app:v1"),
			want: []summary{{Name: "quay.io/acme/app:v1", Pools: "worker", Change: registriesconf.GainsMirror,
				Fill:  "m.local/acme/app:v1",
				After: "quay.io/acme/app:v1 m.local/acme/app:v1 quay.io/acme/app:v1"}},
		},
		"somebody else's mirror is not filled": {
			b: newBuilder().existingDigests("quay.io/acme",
				"m.local/acme").digests(item("quay.io/acme", "", "n.local/acme")).uses("quay.io/acme/app" + sha),
			want: []summary{{Name: "quay.io/acme/app@sha", Pools: "worker", Change: registriesconf.GainsMirror,
				Fill:  "n.local/acme/app@sha",
				After: "m.local/acme/app@sha n.local/acme/app@sha quay.io/acme/app@sha"}},
		},
		"a short name stands for one reference per search registry": {
			b: newBuilder().tags(item("docker.io", block, "m.local/docker")).uses("nginx"),
			want: []summary{{Name: "docker.io/library/nginx:latest", Pools: "worker",
				Change: registriesconf.NewlyBlocked,
				Fill:   "m.local/docker/library/nginx:latest", After: "m.local/docker/library/nginx:latest"}},
		},
		"spellings of one reference are one item": {
			b: newBuilder().tags(item("docker.io", block, "m.local/docker")).uses("nginx", "docker.io/nginx",
				"docker.io/library/nginx:latest"),
			want: []summary{{Name: "docker.io/library/nginx:latest", Pools: "worker",
				Change: registriesconf.NewlyBlocked,
				Fill:   "m.local/docker/library/nginx:latest", After: "m.local/docker/library/nginx:latest"}},
		},
		"a tag with a digest is a digest": {
			b: newBuilder().digests(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app:v1" + sha),
			want: []summary{{Name: "quay.io/acme/app@sha", Pools: "worker", Change: registriesconf.NewlyBlocked,
				Fill: "m.local/acme/app@sha", After: "m.local/acme/app@sha"}},
		},
		"pools that differ are told apart": {
			b: newBuilder().inPools("custom", "worker").withDropIn("custom",
				"[[registry]]\nprefix = \"m.local\"\nlocation = \"n.local\"\nblocked = true\n").
				tags(item("quay.io/acme", allow, "m.local/acme")).uses("quay.io/acme/app:v1"),
			want: []summary{
				{Name: "quay.io/acme/app:v1", Pools: "custom", Change: registriesconf.Unchanged,
					After: "quay.io/acme/app:v1"},
				{Name: "quay.io/acme/app:v1", Pools: "worker", Change: registriesconf.GainsMirror,
					Fill:  "m.local/acme/app:v1",
					After: "m.local/acme/app:v1 quay.io/acme/app:v1"},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := c.b.build(t)
			if diff := cmp.Diff(c.want, summaries(p), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if p.Total != len(c.b.refs) {
				t.Errorf("%d references, want %d", p.Total, len(c.b.refs))
			}
		})
	}
}

func TestInvalidReferences(t *testing.T) {
	p := newBuilder().inPools("custom", "worker").tags(item("quay.io/acme", block, "m.local/acme")).
		uses("quay.io/acme/App:v1", "quay.io/acme/App:v1", "quay.io/acme/app:v1", "UPPER").build(t)
	if diff := cmp.Diff([]string{"quay.io/acme/App:v1", "UPPER"}, p.InvalidReferences); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
	if len(p.Items) != 1 {
		t.Errorf("%d items, want 1", len(p.Items))
	}
}

// The plan does not depend on the order in which references and pools are listed, but for the order
// of the pools' own names.
func TestBuildIsSorted(t *testing.T) {
	one := newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/a:v1", "quay.io/acme/b:v1",
		"quay.io/acme/c:v1").build(t)
	two := newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/c:v1", "quay.io/acme/a:v1",
		"quay.io/acme/b:v1").build(t)
	if diff := cmp.Diff(summaries(one), summaries(two)); diff != "" {
		t.Errorf("items (-one +two):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, one.Platforms); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

// The owner that matters is one that can pull now.
func TestBlockingOwnersComeFirst(t *testing.T) {
	p := newBuilder().tags(item("docker.io", block,
		"m.local/docker")).knowsAdvisory("docker.io/library/nginx:latest").uses("docker.io/nginx").build(t)
	if got := p.Items[0].Reference; !got.Blocking() || got.Image != "docker.io/nginx" {
		t.Errorf("the item is about %+v", got)
	}
}

func TestMatchesPattern(t *testing.T) {
	cases := map[string]struct {
		pattern, reference string
		want               bool
	}{
		"the same":                   {"quay.io/acme/app:v1", "quay.io/acme/app:v1", true},
		"another":                    {"quay.io/acme/app:v1", "quay.io/acme/app:v2", false},
		"a part is not enough":       {"quay.io/acme", "quay.io/acme/app:v1", false},
		"a star":                     {"quay.io/acme/*", "quay.io/acme/app:v1", true},
		"a star covers slashes":      {"quay.io/acme/*", "quay.io/acme/team/shop:v1", true},
		"a star in the middle":       {"quay.io/*/app:v1", "quay.io/acme/team/app:v1", true},
		"a star is nothing, too":     {"quay.io/acme/app*", "quay.io/acme/app", true},
		"two stars":                  {"*/legacy-*", "quay.io/acme/legacy-app:v1", true},
		"a star alone":               {"*", "quay.io/acme/app" + sha, true},
		"digests":                    {"quay.io/acme/app@sha256:*", "quay.io/acme/app" + sha, true},
		"a bracket is a bracket":     {"quay.io/[ab]/app", "quay.io/a/app", false},
		"a question mark is itself":  {"quay.io/?/app", "quay.io/a/app", false},
		"a backslash matches nobody": {`quay.io\acme`, "quay.io/acme", false},
		"a trailing backslash":       {`quay.io\`, `quay.io\`, false},
		"it ends where it ends":      {"quay.io/acme/*:v1", "quay.io/acme/app:v12", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := matchesPattern(c.pattern, c.reference); got != c.want {
				t.Errorf("%q matches %q: %t, want %t", c.pattern, c.reference, got, c.want)
			}
		})
	}
}

func TestAcceptedRisks(t *testing.T) {
	base := func() *builder { return newBuilder().tags(item("docker.io", block, "m.local/docker")) }
	cases := map[string]struct {
		b    *builder
		want string
	}{
		"nothing is accepted": {base().uses("nginx"), ""},
		"as it is normalised": {base().uses("nginx").accepts("docker.io/library/*"),
			"nobody needs docker.io/library/*"},
		"as it is spelt":           {base().uses("nginx").accepts("nginx"), "nobody needs nginx"},
		"the first pattern counts": {base().uses("nginx").accepts("*").accepts("nginx"), "nobody needs *"},
		"of two spellings both": {base().uses("nginx", "docker.io/nginx").accepts("*nginx*"),
			"nobody needs *nginx*"},
		"of two spellings only one": {base().uses("docker.io/nginx", "nginx").accepts("nginx"), ""},
		"the other way round":       {base().uses("nginx", "docker.io/nginx").accepts("nginx"), ""},
		"one that nothing can start now": {base().uses("nginx").knowsAdvisory("docker.io/nginx").accepts("nginx"),
			"nobody needs nginx"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.b.build(t).Items[0].Accepted; got != c.want {
				t.Errorf("accepted because %q, want %q", got, c.want)
			}
		})
	}
}

func TestIsWithin(t *testing.T) {
	cases := map[string]struct {
		reference, location string
		want                bool
	}{
		"the location itself": {"m.local/acme", "m.local/acme", true},
		"a path":              {"m.local/acme/app:v1", "m.local/acme", true},
		"a tag":               {"m.local/acme:v1", "m.local/acme", true},
		"a digest":            {"m.local/acme" + sha, "m.local/acme", true},
		"a longer name":       {"m.local/acme2/app:v1", "m.local/acme", false},
		"another place":       {"n.local/acme/app:v1", "m.local/acme", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isWithin(c.reference, c.location); got != c.want {
				t.Errorf("%q under %q: %t, want %t", c.reference, c.location, got, c.want)
			}
		})
	}
}

// The digest is about the mirror sets and the configuration predicted from them: references come
// and go without changing it.
func TestDigest(t *testing.T) {
	base := func() *builder { return newBuilder().tags(item("quay.io/acme", block, "m.local/acme", "n.local/acme")) }
	first := base().uses("quay.io/acme/app:v1").build(t).Digest
	same := map[string]*builder{
		"the same again":        base().uses("quay.io/acme/app:v1"),
		"another reference":     base().uses("quay.io/acme/app:v1", "quay.io/acme/new:v1"),
		"no reference":          base(),
		"an accepted risk":      base().accepts("*"),
		"another mode":          base().verifyOnly(),
		"an unusable reference": base().uses("UPPER"),
	}
	for name, b := range same {
		if got := b.build(t).Digest; got != first {
			t.Errorf("%s changes the digest", name)
		}
	}
	other := map[string]*builder{
		"another mirror":          newBuilder().tags(item("quay.io/acme", block, "m.local/acme", "o.local/acme")),
		"another order":           newBuilder().tags(item("quay.io/acme", block, "n.local/acme", "m.local/acme")),
		"another policy":          newBuilder().tags(item("quay.io/acme", allow, "m.local/acme", "n.local/acme")),
		"another source":          newBuilder().tags(item("quay.io/acme2", block, "m.local/acme", "n.local/acme")),
		"digests, and not tags":   newBuilder().digests(item("quay.io/acme", block, "m.local/acme", "n.local/acme")),
		"another set":             base().existingDigests("docker.io", "m.local/docker"),
		"another pool":            base().inPools("custom", "worker"),
		"one item more":           base().tags(item("docker.io", block, "m.local/docker")),
		"a registry that is shut": base().blocks("bad.local"),
	}
	seen := map[string]string{first: "the first"}
	for name, b := range other {
		got := b.build(t).Digest
		if with, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", name, with)
		}
		seen[got] = name
	}
	if !strings.HasPrefix(first, "sha256:") || len(first) > 128 {
		t.Errorf("digest %q", first)
	}
}
