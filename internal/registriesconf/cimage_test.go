package registriesconf

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"github.com/google/go-cmp/cmp"
)

// The tests of this file hold Parse, Resolve and the lookup against c/image itself, which is
// what a node runs. It reads files only, so each configuration is written to a directory.

// TestMatchesCImage compares on a couple of thousand random configurations.
func TestMatchesCImage(t *testing.T) {
	random := rand.New(rand.NewPCG(20, 26))
	dir := t.TempDir()
	valid, matched, failed := 0, 0, 0
	for n := range 2000 {
		g := generator{random.IntN}
		main, dropIns := g.file(true), g.dropIns()
		config, ok := requireSameParse(t, dir, main, dropIns)
		if t.Failed() {
			t.Fatalf("configuration %d:\n%s\ndrop-ins: %q", n, main, dropIns)
		}
		if !ok {
			continue
		}
		valid++
		for range 10 {
			r := requireSameResolution(t, dir, config, g.ref())
			if r.Scope != "" {
				matched++
			}
			if r.Err != "" {
				failed++
			}
		}
		if t.Failed() {
			t.Fatalf("configuration %d:\n%s\ndrop-ins: %q", n, main, dropIns)
		}
	}
	t.Logf("%d valid configurations, %d references matched, %d rewrites failed", valid, matched, failed)
	if valid < 1000 || matched < 4000 || failed < 100 {
		t.Error("the random configurations are too tame to prove anything")
	}
}

// FuzzResolve lets the fuzzer choose: first the shape of a configuration, then a reference,
// and, independently, any text as a drop-in.
func FuzzResolve(f *testing.F) {
	f.Add([]byte{}, "quay.io/acme/app:v1", "")
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, "a.example.com/app"+digest,
		"[[registry]]\nlocation = 'a.example.com'\nblocked = true")
	f.Add([]byte("\x05\x01\x00\x02\x07\x03\x00\x01\x04"), "docker.io/nginx", "unqualified-search-registries = []")
	f.Add([]byte{200, 17, 3, 99, 42, 1, 0, 0, 8}, "h.io:5000/x:1", "[aliases]\nnginx = 'quay.io/nginx'")
	f.Add([]byte{9, 9, 9}, "localhost/x@sha256:00", "[registries.search]\nregistries = ['a.io']")
	f.Add([]byte{0}, "nginx", "short-name-mode = 'loud'")
	f.Fuzz(func(t *testing.T, choices []byte, ref, dropIn string) {
		g := generator{func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			c := int(choices[0])
			choices = choices[1:]
			return c % n
		}}
		dir := t.TempDir()
		config, ok := requireSameParse(t, dir, g.file(true), map[string]string{"50-fuzz.conf": dropIn})
		if !ok {
			return
		}
		requireSameResolution(t, dir, config, ref)
		requireSameResolution(t, dir, config, g.ref())
	})
}

// requireSameParse writes a configuration into dir and checks that Parse accepts it exactly if a
// node does, with the same entries and search list.
func requireSameParse(t *testing.T, dir, main string, dropIns map[string]string) (Config, bool) {
	t.Helper()
	sys := writeConfig(t, dir, main, dropIns)
	contents := map[string][]byte{}
	for name, text := range dropIns {
		contents[name] = []byte(text)
	}
	got, gotErr := Parse([]byte(main), contents)
	want, wantErr := sysregistriesv2.TryUpdatingCache(sys)
	if (gotErr != nil) != (wantErr != nil) {
		t.Errorf("Parse: %v, a node: %v", gotErr, wantErr)
	}
	if gotErr != nil || wantErr != nil {
		return Config{}, false
	}
	if diff := cmp.Diff(nilIfEmpty(want.Registries), nilIfEmpty(got.entries)); diff != "" {
		t.Errorf("entries (-node +Parse):\n%s", diff)
	}
	if diff := cmp.Diff(nilIfEmpty(want.UnqualifiedSearchRegistries), nilIfEmpty(got.search)); diff != "" {
		t.Errorf("search registries (-node +Parse):\n%s", diff)
	}
	return got, true
}

// requireSameResolution resolves ref both ways. The configuration must be the one written last.
func requireSameResolution(t *testing.T, dir string, config Config, ref string) Resolution {
	t.Helper()
	got, err := config.Resolve(ref)
	if err != nil {
		return Resolution{}
	}
	want, err := resolveAsNode(paths(dir), got.Reference)
	if err != nil {
		t.Fatalf("a node cannot resolve %q: %v", ref, err)
	}
	got.Err = strings.Repeat("failed", min(1, len(got.Err))) // the text is ours
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-node +Resolve):\n%s", ref, diff)
	}
	return got
}

// resolveAsNode is c/image newImageSource up to the point where it contacts somebody.
func resolveAsNode(sys *types.SystemContext, ref string) (Resolution, error) {
	named, err := reference.ParseNamed(ref)
	if err != nil {
		return Resolution{}, err
	}
	out := Resolution{Reference: ref}
	_, out.ByDigest = named.(reference.Canonical)
	entry, err := sysregistriesv2.FindRegistry(sys, named.Name())
	if err != nil {
		return Resolution{}, err
	}
	if entry == nil {
		entry = &sysregistriesv2.Registry{Prefix: ref, Endpoint: sysregistriesv2.Endpoint{Location: ref}}
	} else {
		out.Scope = entry.Prefix
	}
	sources, err := entry.PullSourcesFromReference(named)
	if err != nil {
		out.Err = "failed"
		return out, nil
	}
	for i, source := range sources {
		e := Endpoint{Reference: source.Reference.String(), Mirror: i < len(sources)-1,
			Insecure: source.Endpoint.Insecure}
		own, err := sysregistriesv2.FindRegistry(sys, source.Reference.Name())
		if err != nil {
			return Resolution{}, err
		}
		if own != nil && own.Blocked {
			e.Blocked, e.BlockedBy = true, own.Prefix
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out, nil
}

func paths(dir string) *types.SystemContext {
	return &types.SystemContext{
		SystemRegistriesConfPath:    filepath.Join(dir, "registries.conf"),
		SystemRegistriesConfDirPath: filepath.Join(dir, "registries.conf.d"),
	}
}

func writeConfig(t *testing.T, dir, main string, dropIns map[string]string) *types.SystemContext {
	t.Helper()
	sys := paths(dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stale, err := filepath.Glob(filepath.Join(sys.SystemRegistriesConfDirPath, "*"))
	must(err)
	for _, file := range stale {
		must(os.Remove(file))
	}
	must(os.MkdirAll(sys.SystemRegistriesConfDirPath, 0o755))
	must(os.WriteFile(sys.SystemRegistriesConfPath, []byte(main), 0o600))
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		must(os.WriteFile(filepath.Join(sys.SystemRegistriesConfDirPath, name), []byte(dropIns[name]), 0o600))
	}
	return sys
}

func nilIfEmpty[T any](items []T) []T {
	if len(items) == 0 {
		return nil
	}
	return items
}

// generator makes configurations and references out of choices; choose(n) gives one of 0..n-1.
// Its names are few and alike, so that prefixes nest, tie and miss each other narrowly.
type generator struct{ choose func(n int) int }

func (g generator) pick(from ...string) string { return from[g.choose(len(from))] }

// oneIn is true once in n times.
func (g generator) oneIn(n int) bool { return g.choose(n) == n-1 }

func (g generator) host() string {
	if g.oneIn(4) {
		return g.pick("localhost", "a.com", "aa.com", "a.example.com.example.com", "example.com:5000", "[::1]:5000",
			"[fe80::1]", "b.example.com")
	}
	return g.pick("quay.io", "a.example.com", "a.b.example.com", "example.com", "docker.io", "h.io:5000", "h.io")
}

func (g generator) path() string {
	return g.pick("", "", "/acme", "/acme", "/acme/app", "/acme/app/x", "/library", "/library/nginx", "/app", "/acme-x",
		strings.Repeat("/long-path", 22))
}

func (g generator) scope() string {
	if g.oneIn(5) {
		if g.oneIn(40) {
			return g.pick("*.", "*", "*.example.com/app", "*.io:5000")
		}
		return g.pick("*.example.com", "*.com", "*.b.example.com", "*.io", "*.a.example.com")
	}
	scope := g.host() + g.path()
	if g.oneIn(100) {
		return g.pick("https://"+scope, scope+"/", scope+"//", "/", "", scope+":v1", "UPPER.io/x")
	}
	return scope
}

func (g generator) ref() string {
	suffix := g.pick("", ":v1", digest, ":v1"+digest)
	path := g.pick("/acme", "/acme/app", "/acme/app/x/y", "/nginx", "/library/nginx", "/app", "/acme-x/app",
		strings.Repeat("/long-path", 12))
	return g.host() + path + suffix
}

// file makes the text of one file. Most are valid; each mistake comes rarely.
func (g generator) file(main bool) string {
	var b strings.Builder
	if main && g.oneIn(30) {
		fmt.Fprintf(&b, "[registries.search]\nregistries = ['%s']\n[registries.block]\nregistries = ['%s']\n[registries.insecure]\nregistries = ['%s']\n", g.host(), g.scope(), g.scope())
		return b.String()
	}
	if g.oneIn(3) {
		fmt.Fprintf(&b, "unqualified-search-registries = [%s]\n",
			g.pick("", "'docker.io'", "'quay.io', 'docker.io'", "'a.io/'", "'docker.io', '[::1]:5000'"))
		if g.oneIn(20) {
			b.Reset()
			b.WriteString("unqualified-search-registries = ['quay.io/acme']\n")
		}
	}
	if g.oneIn(4) {
		fmt.Fprintf(&b, "short-name-mode = '%s'\n",
			g.pick("disabled", "enforcing", "permissive", "disabled", "", strings.Repeat("loud", g.choose(8)/7)))
	}
	for range g.choose(12) {
		g.entry(&b)
	}
	if g.oneIn(20) {
		fmt.Fprintf(&b, "[aliases]\n'%s' = '%s'\n",
			g.pick("nginx", "acme/app", "nginx", "quay.io/x", "nginx:1", "Nginx"),
			g.pick("quay.io/nginx", "docker.io/nginx", "", "nginx", "quay.io/nginx:1", "quay.io/UP"))
	}
	return b.String()
}

func (g generator) entry(b *strings.Builder) {
	b.WriteString("[[registry]]\n")
	scope := g.scope()
	switch {
	case strings.HasPrefix(scope, "*"):
		fmt.Fprintf(b, "prefix = '%s'\n", scope)
		if g.oneIn(4) {
			fmt.Fprintf(b, "location = '%s'\n", g.host())
		}
	case g.oneIn(5):
		fmt.Fprintf(b, "prefix = '%s'\nlocation = '%s'\n", scope, g.scope())
	default:
		fmt.Fprintf(b, "location = '%s'\n", scope)
	}
	if g.oneIn(15) {
		b.WriteString("blocked = true\n")
	}
	if g.oneIn(20) {
		b.WriteString("insecure = true\n")
	}
	byDigestOnly := g.oneIn(6)
	if byDigestOnly {
		b.WriteString("mirror-by-digest-only = true\n")
	}
	if g.oneIn(100) {
		b.WriteString("pull-from-mirror = 'all'\n")
	}
	for range g.choose(4) {
		fmt.Fprintf(b, "[[registry.mirror]]\nlocation = '%s%s'\n", g.host(), g.path())
		if g.oneIn(5) {
			b.WriteString("insecure = true\n")
		}
		if !byDigestOnly && g.oneIn(2) || g.oneIn(200) {
			usage := g.pick("all", "digest-only", "tag-only", "tag-only", "")
			if g.oneIn(200) {
				usage = "never"
			}
			fmt.Fprintf(b, "pull-from-mirror = '%s'\n", usage)
		}
	}
}

func (g generator) dropIns() map[string]string {
	out := map[string]string{}
	for range g.choose(3) {
		out[g.pick("01-a.conf", "02-b.conf", "99-z.conf", "README", "10.conf.bak")] = g.file(false)
	}
	return out
}
