package registriesconf

import (
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	inherits := union(itms("acme", from("quay.io", "m.local"))).insecure("quay.io/acme")
	both := union(idms("site", from("quay.io/acme", "d.local/acme")),
		itms("acme", from("quay.io/acme", "m.local/acme", "n.local/acme")))
	two := union(itms("a", from("quay.io/acme", "m.local/acme")), itms("b", from("quay.io/acme", "n.local/acme")))
	wild := union(itms("wild", from("*.example.com", "m.local/ex")))
	cases := map[string]struct {
		sets Sets
		ref  string
		// scope are the objects of the entry, mirrors those of each endpoint, the source's being
		// none.
		scope, mirrors string
	}{
		"no entry": {union(), "quay.io/acme/app:v1", "", ""},
		"both kinds, by tag": {both, "quay.io/acme/app:v1",
			"ImageDigestMirrorSet/site ImageTagMirrorSet/acme", "ImageTagMirrorSet/acme, ImageTagMirrorSet/acme, "},
		"both kinds, by digest": {both, "quay.io/acme/app" + digest,
			"ImageDigestMirrorSet/site ImageTagMirrorSet/acme", "ImageDigestMirrorSet/site, "},
		"two objects": {two, "quay.io/acme/app:v1", "ImageTagMirrorSet/a ImageTagMirrorSet/b",
			"ImageTagMirrorSet/a, ImageTagMirrorSet/b, "},
		"a mirror that is inherited": {inherits, "quay.io/acme/app:v1", "Image/cluster", "ImageTagMirrorSet/acme, "},
		"a wildcard": {wild, "a.example.com/app:v1", "ImageTagMirrorSet/wild",
			"ImageTagMirrorSet/wild, "},
		"a set that is ignored is none": {union(itms("self", from("quay.io", "quay.io"))).insecure("quay.io"),
			"quay.io/app:v1", "Image/cluster", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := configOf(t, c.sets).Resolve(c.ref)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.sets.Origins(r.Scope), " "); got != c.scope {
				t.Errorf("the entry for %q is by %q, want %q", r.Scope, got, c.scope)
			}
			var got []string
			for _, e := range r.Endpoints {
				if !e.Mirror {
					got = append(got, "")
					continue
				}
				got = append(got, strings.Join(c.sets.MirrorOrigins(r, e), " "))
			}
			if strings.Join(got, ", ") != c.mirrors {
				t.Errorf("endpoints of %s are by %q, want %q", c.ref, got, c.mirrors)
			}
		})
	}
}
