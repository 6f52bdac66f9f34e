package registriesconf

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEffectiveDifferences(t *testing.T) {
	const r, m = "[[registry]]\n", "[[registry.mirror]]\n"
	cases := map[string]struct {
		a, b string
		want []string
	}{
		"order of entries and of kinds, text": {
			a: "# comment\n" + r + "location='a.io'\n" + m + "location='t.io'\npull-from-mirror='tag-only'\n" + m +
				"location='d.io'\npull-from-mirror='digest-only'\n" + r + "location='b.io'\nblocked=true",
			b: "short-name-mode=''\n" + r + "prefix=''\nlocation='b.io'\nblocked=true\n" + r + "location='a.io/'\n" +
				m + "location='d.io'\ninsecure=false\npull-from-mirror='digest-only'\n" + m +
				"location='t.io'\npull-from-mirror='tag-only'",
		},
		"two ways to say digests only": {
			a: r + "location='a.io'\nmirror-by-digest-only=true\n" + m + "location='d.io'",
			b: r + "location='a.io'\n" + m + "location='d.io'\npull-from-mirror='digest-only'",
		},
		"two ways to say all": {
			a: r + "location='a.io'\n" + m + "location='d.io'",
			b: r + "location='a.io'\n" + m + "location='d.io'\npull-from-mirror='all'",
		},
		"one mirror for all, or twice": {
			a: r + "location='a.io'\n" + m + "location='d.io'",
			b: r + "location='a.io'\n" + m + "location='d.io'\npull-from-mirror='tag-only'\n" + m +
				"location='d.io'\npull-from-mirror='digest-only'",
		},
		"an entry that says nothing": {a: r + "location='a.io'", b: ""},
		"an entry that hides another": {
			a:    r + "location='a.io'\nblocked=true\n" + r + "location='a.io/b'",
			b:    r + "location='a.io'\nblocked=true\n",
			want: []string{"a.io/b: an entry without mirrors -> no entry"},
		},
		"missing entries": {
			a: r + "location='a.io'\nblocked=true\ninsecure=true\n",
			b: r + "prefix='b.io'\nlocation='c.io'\n" + m + "location='m.io'\ninsecure=true",
			want: []string{
				"a.io: blocked, insecure -> no entry",
				"b.io: no entry -> location c.io, digest mirrors [m.io (insecure)], tag mirrors [m.io (insecure)]",
			},
		},
		"every field": {
			a: r + "location='a.io'\n" + m + "location='m.io'\npull-from-mirror='tag-only'\n" + m +
				"location='n.io'\npull-from-mirror='tag-only'",
			b: r + "prefix='a.io'\nlocation='z.io'\nblocked=true\ninsecure=true\n" + m +
				"location='n.io'\npull-from-mirror='tag-only'\n" + m +
				"location='m.io'\ninsecure=true\npull-from-mirror='tag-only'\n" + m +
				"location='d.io'\npull-from-mirror='digest-only'",
			want: []string{
				"a.io location: a.io -> z.io",
				"a.io blocked: no -> yes",
				"a.io insecure: no -> yes",
				"a.io digest mirrors: [] -> [d.io]",
				"a.io tag mirrors: [m.io, n.io] -> [n.io, m.io (insecure)]",
			},
		},
		"search, aliases, mode": {
			a: "unqualified-search-registries=['a.io','b.io']\n[aliases]\nx='a.io/x'\n",
			b: "unqualified-search-registries=['b.io','a.io']\nshort-name-mode='enforcing'\n[aliases]\nx=''\n",
			want: []string{"unqualified-search-registries: [a.io, b.io] -> [b.io, a.io]", `alias x: "a.io/x" -> ""`,
				`short-name-mode: "" -> "enforcing"`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, EffectiveDifferences(parsed(t, tc.a), parsed(t, tc.b))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if got := EffectiveDifferences(parsed(t, tc.a), parsed(t, tc.a)); len(got) > 0 {
				t.Errorf("different from itself: %q", got)
			}
			if got := EffectiveDifferences(parsed(t, tc.b), parsed(t, tc.a)); len(got) != len(tc.want) {
				t.Errorf("the other way round: %q", got)
			}
		})
	}
}
