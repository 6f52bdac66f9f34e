package registriesconf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDropIns(t *testing.T) {
	const main = `unqualified-search-registries = ["docker.io"]
[[registry]]
location = "quay.io/acme"
[[registry.mirror]]
location = "m.local/acme"
`
	cases := map[string]struct {
		dropIns    map[string]string
		ref        string
		want       []string
		wantSearch []string
	}{
		"none": {nil, "quay.io/acme/x:1", []string{"m.local/acme/x:1", "quay.io/acme/x:1"}, []string{"docker.io"}},
		"an entry with the same prefix replaces, mirrors included": {
			map[string]string{"50-admin.conf": "[[registry]]\nlocation = 'quay.io/acme'"},
			"quay.io/acme/x:1", []string{"quay.io/acme/x:1"}, []string{"docker.io"}},
		"a narrower entry takes over": {
			map[string]string{"50-admin.conf": "[[registry]]\nlocation = 'quay.io/acme/x'\ninsecure = true"},
			"quay.io/acme/x:1", []string{"quay.io/acme/x:1 (I)"}, []string{"docker.io"}},
		"other entries stay": {
			map[string]string{"50-admin.conf": "[[registry]]\nlocation = 'quay.io/other'\nblocked = true"},
			"quay.io/acme/x:1", []string{"m.local/acme/x:1", "quay.io/acme/x:1"}, []string{"docker.io"}},
		"the last in lexical order wins": {
			map[string]string{
				"20.conf": "[[registry]]\nlocation = 'quay.io/acme'\nblocked = true",
				"9.conf":  "unqualified-search-registries = ['z.io']\n[[registry]]\nlocation = 'quay.io/acme'\ninsecure = true",
			},
			"quay.io/acme/x:1", []string{"quay.io/acme/x:1 (I)"}, []string{"z.io"}},
		"other file names do not count": {
			map[string]string{"50-admin.conf.bak": "[[registry]]\nlocation = 'quay.io/acme'\nblocked = true",
				"README": "hello"},
			"quay.io/acme/x:1", []string{"m.local/acme/x:1", "quay.io/acme/x:1"}, []string{"docker.io"}},
		"the search list of image.config replaces": {
			map[string]string{"01-image-searchRegistries.conf": "unqualified-search-registries = ['a.io', 'b.io']"},
			"quay.io/acme/x:1", []string{"m.local/acme/x:1", "quay.io/acme/x:1"}, []string{"a.io", "b.io"}},
		"an empty search list clears": {
			map[string]string{"99.conf": "unqualified-search-registries = []"},
			"quay.io/acme/x:1", []string{"m.local/acme/x:1", "quay.io/acme/x:1"}, []string{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			contents := map[string][]byte{}
			for file, text := range tc.dropIns {
				contents[file] = []byte(text)
			}
			config, err := Parse([]byte(main), contents)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, attempts(resolved(t, config, tc.ref))); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantSearch, config.search); diff != "" {
				t.Errorf("search registries (-want +got):\n%s", diff)
			}
		})
	}
}

// TestParseErrors checks that each mistake is refused and named; that exactly these are
// mistakes is for TestMatchesCImage to show.
func TestParseErrors(t *testing.T) {
	const r = "[[registry]]\n"
	cases := map[string]struct{ main, dropIn, want string }{
		"not TOML":                {main: "registry", want: RegistriesPath + ": not TOML"},
		"not TOML, drop-in":       {dropIn: "x y", want: DropInDir + "/50.conf: not TOML"},
		"no location":             {main: r + "insecure = true", want: "neither location nor prefix"},
		"prefix without location": {main: r + "prefix = 'a.io'", want: `"a.io" has no location`},
		"scheme":                  {main: r + "location = 'https://a.io'", want: "leave out the scheme"},
		"scheme in a prefix": {main: r + "prefix = 'http://a.io'\nlocation = 'a.io'",
			want: "leave out the scheme"},
		"scheme in a mirror": {main: r + "location = 'a.io'\n[[registry.mirror]]\nlocation='https://m.io'",
			want: "leave out the scheme"},
		"scheme in a search list": {main: "unqualified-search-registries = ['https://a.io']",
			want: "leave out the scheme"},
		"wildcard with a path": {main: r + "prefix = '*.a.io/x'", want: "wildcard prefix"},
		"usage on the entry":   {main: r + "location = 'a.io'\npull-from-mirror = 'all'", want: "belongs into"},
		"mirror without location": {main: r + "location = 'a.io'\n[[registry.mirror]]\ninsecure = true",
			want: "mirror without location"},
		"usage set twice": {main: r +
			"location = 'a.io'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation='m.io'\npull-from-mirror='all'", want: "keep the latter"},
		"unknown usage": {main: r +
			"location = 'a.io'\n[[registry.mirror]]\nlocation='m.io'\npull-from-mirror='never'", want: `"never"`},
		"flags contradict": {main: r + "location = 'a.io'\nblocked = true\n" + r +
			"prefix = 'b.io'\nlocation = 'a.io'", want: "make them equal"},
		"search list with a path": {main: "unqualified-search-registries = ['a.io/x']", want: `"a.io/x"`},
		"alias with a registry":   {main: "[aliases]\n'a.io/x' = 'b.io/x'", want: `alias "a.io/x"`},
		"alias to a short name":   {main: "[aliases]\nx = 'y'", want: `"x" = "y"`},
		"alias to a tag":          {main: "[aliases]\nx = 'b.io/y:1'", want: `"b.io/y:1"`},
		"alias to a nameless hub": {main: "[aliases]\nx = 'docker.io/" + strings.Repeat("0", 64) + "x!'",
			want: "alias"},
		"unknown mode":           {main: "short-name-mode = 'loud'", want: `"loud"`},
		"version 1 in a drop-in": {dropIn: "[registries.search]\nregistries = ['a.io']", want: "version 1"},
		"versions mixed":         {main: "unqualified-search-registries = ['a.io']\n[registries.search]\nregistries = ['a.io']", want: "mixes version 1"},
		"version 1 with a scheme": {main: "[registries.block]\nregistries = ['https://a.io']",
			want: "not supported"},
		"a mistake beside a drop-in": {main: "short-name-mode = 'loud'", dropIn: "short-name-mode = 'disabled'",
			want: RegistriesPath + ":"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.main), map[string][]byte{"50.conf": []byte(tc.dropIn)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestVersion1(t *testing.T) {
	config := parsed(t, "[registries.search]\nregistries = ['a.io']\n[registries.block]\nregistries = ['b.io']\n[registries.insecure]\nregistries = ['c.io/x']\n")
	want := map[string][]string{"b.io/y:1": {"b.io/y:1 (B)"}, "c.io/x/y:1": {"c.io/x/y:1 (I)"},
		"d.io/y:1": {"d.io/y:1"}}
	got := map[string][]string{}
	for ref := range want {
		got[ref] = attempts(resolved(t, config, ref))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a.io/z:latest"}, config.Candidates("z")); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
}

// TestFindOddities pins down the corners that find documents.
func TestFindOddities(t *testing.T) {
	config := parsed(t, `
[[registry]]
prefix = "*.d.io"
[[registry]]
location = "a.d.io"
[[registry]]
location = "bb.d.io"
[[registry]]
location = "h.io"
[[registry]]
location = "h.io/ns"
`)
	cases := map[string]string{ // name -> prefix of its entry
		"a.d.io/x":         "*.d.io", // a tie, and * sorts first
		"bb.d.io/x":        "bb.d.io",
		"c.b.d.io:5000/x":  "*.d.io",
		"d.io/x":           "",
		"a.d.io.d.io/x":    "", // the first .d.io is not at the end of the host
		"x.io/a.d.io":      "", // not in the host
		"h.io/x":           "h.io",
		"h.io:5000/x":      "h.io",
		"h.io/ns/x":        "h.io/ns",
		"h.io/nsx":         "h.io",
		"h.iox/x":          "",
		"bb.d.io":          "bb.d.io",
		"bb.d.io:443":      "bb.d.io",
		"":                 "",
		"/":                "",
		"[::1].d.io:50/ab": "*.d.io",
	}
	got := map[string]string{}
	for name := range cases {
		got[name] = ""
		if entry := config.find(name); entry != nil {
			got[name] = entry.Prefix
		}
	}
	if diff := cmp.Diff(cases, got); diff != "" {
		t.Errorf("prefixes (-want +got):\n%s", diff)
	}
}

func TestZeroConfig(t *testing.T) {
	if diff := cmp.Diff([]string{"a.io/x:latest"}, attempts(resolved(t, Config{}, "a.io/x"))); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if got := (Config{}).Candidates("nginx"); got != nil {
		t.Errorf("a short name without a search list has candidates %q", got)
	}
}
