package registriesconf

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// EffectiveDifferences returns one line for each way in which two configurations differ in effect,
// written as "what: in a -> in b"; none means that they send every pull to the same places.
//
// It ignores what nodes ignore: the text, the order of entries, how an entry says that a
// mirror is for digests only, how mirrors for digests and for tags are interleaved, and
// entries that say nothing. It is what tells whether a pool will get what was planned;
// bytes are not, since the encoders of two releases differ.
func EffectiveDifferences(a, b Config) []string {
	var out []string
	inA, inB := a.semantics(), b.semantics()
	for _, scope := range slices.Sorted(maps.Keys(mergeKeys(inA, inB))) {
		ma, okA := inA[scope]
		mb, okB := inB[scope]
		switch {
		case !okA:
			out = append(out, fmt.Sprintf("%s: no entry -> %s", scope, mb))
		case !okB:
			out = append(out, fmt.Sprintf("%s: %s -> no entry", scope, ma))
		default:
			out = append(out, ma.differences(scope, mb)...)
		}
	}
	if !slices.Equal(a.search, b.search) {
		out = append(out, fmt.Sprintf("unqualified-search-registries: %s -> %s", bracketed(a.search),
			bracketed(b.search)))
	}
	for _, name := range slices.Sorted(maps.Keys(mergeKeys(a.aliases, b.aliases))) {
		if a.aliases[name] != b.aliases[name] {
			out = append(out, fmt.Sprintf("alias %s: %q -> %q", name, a.aliases[name], b.aliases[name]))
		}
	}
	if a.shortNameMode != b.shortNameMode {
		out = append(out, fmt.Sprintf("short-name-mode: %q -> %q", a.shortNameMode, b.shortNameMode))
	}
	return out
}

// entrySemantics is an entry reduced to its effect.
type entrySemantics struct {
	location          string // "" when references keep their name
	blocked, insecure bool
	digest, tag       []string // mirrors in order
}

func (c Config) semantics() map[string]entrySemantics {
	out := map[string]entrySemantics{}
	for _, entry := range c.entries {
		m := semanticsOf(entry)
		if m.empty() && c.findOther(entry.Prefix, entry.Prefix) == nil && !strings.HasPrefix(entry.Prefix, "*.") {
			continue // without it a node would do the same: there is no broader entry for it to hide
		}
		out[entry.Prefix] = m
	}
	return out
}

func semanticsOf(entry sysregistriesv2.Registry) entrySemantics {
	m := entrySemantics{blocked: entry.Blocked, insecure: entry.Insecure}
	if entry.Location != entry.Prefix {
		m.location = entry.Location
	}
	for _, mirror := range entry.Mirrors {
		location := mirror.Location
		if mirror.Insecure {
			location += " (insecure)"
		}
		if mirror.PullFromMirror != sysregistriesv2.MirrorByTagOnly {
			m.digest = append(m.digest, location)
		}
		if mirror.PullFromMirror != sysregistriesv2.MirrorByDigestOnly && !entry.MirrorByDigestOnly {
			m.tag = append(m.tag, location)
		}
	}
	return m
}

func (m entrySemantics) empty() bool {
	return m.location == "" && !m.blocked && !m.insecure && len(m.digest)+len(m.tag) == 0
}

func (m entrySemantics) differences(scope string, o entrySemantics) []string {
	var out []string
	add := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s %s: %s -> %s", scope, what, a, b))
		}
	}
	add("location", cmp.Or(m.location, scope), cmp.Or(o.location, scope))
	add("blocked", yesNo(m.blocked), yesNo(o.blocked))
	add("insecure", yesNo(m.insecure), yesNo(o.insecure))
	add("digest mirrors", bracketed(m.digest), bracketed(o.digest))
	add("tag mirrors", bracketed(m.tag), bracketed(o.tag))
	return out
}

// String describes an entry that only one of the configurations has.
func (m entrySemantics) String() string {
	var parts []string
	if m.location != "" {
		parts = append(parts, "location "+m.location)
	}
	if m.blocked {
		parts = append(parts, "blocked")
	}
	if m.insecure {
		parts = append(parts, "insecure")
	}
	if len(m.digest) > 0 {
		parts = append(parts, "digest mirrors "+bracketed(m.digest))
	}
	if len(m.tag) > 0 {
		parts = append(parts, "tag mirrors "+bracketed(m.tag))
	}
	return cmp.Or(strings.Join(parts, ", "), "an entry without mirrors")
}

func bracketed(items []string) string { return "[" + strings.Join(items, ", ") + "]" }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func mergeKeys[V any](a, b map[string]V) map[string]struct{} {
	out := map[string]struct{}{}
	for key := range a {
		out[key] = struct{}{}
	}
	for key := range b {
		out[key] = struct{}{}
	}
	return out
}
