package registriesconf

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPullSources is the map from mirror configuration to the places a node tries, from the
// objects through the rendered text to the resolution.
func TestPullSources(t *testing.T) {
	const (
		src  = "s.io/team"
		tag  = src + "/app:v1"
		byID = src + "/app" + digest
	)
	one := func(refs ...string) []string { return refs }
	cases := map[string]struct {
		sets        Sets
		want        map[string][]string // reference -> attempts
		wantInvalid string              // a part of the error instead
	}{
		"01 nothing configured": {
			sets: union(),
			want: map[string][]string{tag: one("s.io/team/app:v1"), byID: one("s.io/team/app@d")},
		},
		"02 03 tag mirrors, source allowed": {
			sets: union(itms("i", from(src, "m1.io/t", "m2.io/t"))),
			want: map[string][]string{
				tag:  one("m1.io/t/app:v1", "m2.io/t/app:v1", "s.io/team/app:v1"),
				byID: one("s.io/team/app@d"),
			},
		},
		"04 05 tag mirror, source never contacted: digests fail": {
			sets: union(itms("i", from(src, "m1.io/t").with(never))),
			want: map[string][]string{
				tag:  one("m1.io/t/app:v1", "s.io/team/app:v1 (B)"),
				byID: one("s.io/team/app@d (B)"),
			},
		},
		"06 digest mirror does not serve tags": {
			sets: union(idms("d", from(src, "d1.io/t").with(allow))),
			want: map[string][]string{tag: one("s.io/team/app:v1"), byID: one("d1.io/t/app@d", "s.io/team/app@d")},
		},
		"07 digest mirror, source never contacted: tags fail": {
			sets: union(idms("d", from(src, "d1.io/t").with(never))),
			want: map[string][]string{tag: one("s.io/team/app:v1 (B)")},
		},
		"08 both kinds, source never contacted": {
			sets: union(idms("d", from(src, "d1.io/t").with(never)), itms("i", from(src, "m1.io/t").with(never))),
			want: map[string][]string{
				byID: one("d1.io/t/app@d", "s.io/team/app@d (B)"),
				tag:  one("m1.io/t/app:v1", "s.io/team/app:v1 (B)"),
			},
		},
		"09 policies contradict": {
			sets: union(idms("d", from(src, "d1.io/t").with(allow)),
				itms("i", from(src, "m1.io/t").with(never))),
			wantInvalid: "ImageDigestMirrorSet/d",
		},
		"10 same location for both kinds": {
			sets: union(idms("d", from(src, "m1.io/t")), itms("i", from(src, "m1.io/t"))),
			want: map[string][]string{
				byID: one("m1.io/t/app@d", "s.io/team/app@d"),
				tag:  one("m1.io/t/app:v1", "s.io/team/app:v1"),
			},
		},
		"11 12 13 tag set below a digest set": {
			sets: union(idms("d", from("q.io", "d.io/q")), itms("i", from("q.io/app", "m.io/a"))),
			want: map[string][]string{
				"q.io/app/x" + digest: one("q.io/app/x@d"),
				"q.io/app/x:v1":       one("m.io/a/x:v1", "q.io/app/x:v1"),
				"q.io/other" + digest: one("d.io/q/other@d", "q.io/other@d"),
			},
		},
		"14 digest set below a tag set": {
			sets: union(itms("i", from("q.io", "m.io/q")), idms("d", from("q.io/app", "d.io/a"))),
			want: map[string][]string{"q.io/app/x:v1": one("q.io/app/x:v1")},
		},
		"15 a narrower set lifts the block": {
			sets: union(idms("d", from("q.io", "d.io/q").with(never)),
				itms("i", from("q.io/app", "m.io/a").with(allow))),
			want: map[string][]string{"q.io/app/x" + digest: one("q.io/app/x@d")},
		},
		"16 overlapping orders are joined": {
			sets: union(itms("i", from(src, "a.io", "b.io")), itms("j", from(src, "b.io", "c.io"))),
			want: map[string][]string{tag: one("a.io/app:v1", "b.io/app:v1", "c.io/app:v1", "s.io/team/app:v1")},
		},
		"17 unrelated orders are interleaved": {
			sets: union(itms("i", from(src, "a.io", "b.io")), itms("j", from(src, "c.io"))),
			want: map[string][]string{tag: one("a.io/app:v1", "c.io/app:v1", "b.io/app:v1", "s.io/team/app:v1")},
		},
		"18 contradicting orders put the source first": {
			sets: union(itms("i", from("docker.io", "m1.io", "m2.io")), itms("j", from("docker.io", "m2.io", "m1.io"))),
			want: map[string][]string{"docker.io/x/y:1": one("docker.io/x/y:1", "m1.io/x/y:1", "m2.io/x/y:1",
				"docker.io/x/y:1")},
		},
		"19 a wildcard source drops the host": {
			sets: union(itms("i", from("*.redhat.io", "m.local/rh"))),
			want: map[string][]string{"a.redhat.io/ubi9:1": one("m.local/rh/ubi9:1", "a.redhat.io/ubi9:1")},
		},
		"20 a wildcard source above an insecure host": {
			sets:        union(itms("i", from("*.redhat.io", "m.local/rh"))).insecure("a.redhat.io"),
			wantInvalid: "wildcard",
		},
		"21 a blocked registry above a mirrored scope": {
			sets: union(itms("i", from("q.io/app", "m.io/a"))).blocked("q.io"),
			want: map[string][]string{"q.io/app/x:v1": one("m.io/a/x:v1", "q.io/app/x:v1 (B)")},
		},
		"22 an insecure scope below a mirrored one": {
			sets: union(itms("i", from("q.io", "m.io/q").with(allow))).insecure("q.io/dev"),
			want: map[string][]string{"q.io/dev/x:1": one("m.io/q/dev/x:1", "q.io/dev/x:1 (I)")},
		},
		"23 the same, and the block is not inherited": {
			sets: union(itms("i", from("q.io", "m.io/q").with(never))).insecure("q.io/dev"),
			want: map[string][]string{
				"q.io/dev/x:1": one("m.io/q/dev/x:1", "q.io/dev/x:1 (I)"),
				"q.io/prod:1":  one("m.io/q/prod:1", "q.io/prod:1 (B)"),
			},
		},
		"24 the source as its only mirror": {
			sets: union(itms("i", from(src, src).with(allow))),
			want: map[string][]string{tag: one("s.io/team/app:v1")},
		},
		"24 no mirrors at all": {
			sets: union(itms("i", from(src).with(never))),
			want: map[string][]string{tag: one("s.io/team/app:v1")},
		},
		"24 the source as its only mirror, never contacted": {
			sets:        union(itms("i", from(src, src).with(never))),
			wantInvalid: "one of its own mirrors",
		},
		"25 the mirror is below its own blocked source": {
			sets: union(itms("i", from("q.io", "q.io/cache").with(never))),
			want: map[string][]string{"q.io/x:1": one("q.io/cache/x:1 (B)", "q.io/x:1 (B)")},
		},
		"26 Docker Hub names are completed before matching": {
			sets: union(itms("i", from("docker.io/library", "m.io/lib"))),
			want: map[string][]string{"docker.io/nginx:1": one("m.io/lib/nginx:1", "docker.io/library/nginx:1")},
		},
		"27 a host matches its own ports": {
			sets: union(itms("i", from("h.io", "m.io"))),
			want: map[string][]string{"h.io:5000/x:1": one("m.io:5000/x:1", "h.io:5000/x:1")},
		},
		"28 the mirror's host is blocked": {
			sets: union(itms("i", from(src, "m1.io/t"))).blocked("m1.io"),
			want: map[string][]string{tag: one("m1.io/t/app:v1 (B)", "s.io/team/app:v1")},
		},
		"29 a tag beside a digest does not count": {
			sets: union(idms("d", from(src, "d1.io/t").with(never))),
			want: map[string][]string{src + "/app:v1" + digest: one("d1.io/t/app@d", "s.io/team/app@d (B)")},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.wantInvalid != "" {
				wantInvalid(t, tc.sets, tc.wantInvalid)
				return
			}
			config := configOf(t, tc.sets)
			got := map[string][]string{}
			for ref := range tc.want {
				got[ref] = attempts(resolved(t, config, ref))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
}

func wantInvalid(t *testing.T, s Sets, part string) {
	t.Helper()
	_, err := Render([]byte(base), s)
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("Render: want an InvalidError, got %v", err)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("the error %q does not mention %q", err, part)
	}
}
