package registriesconf

import (
	"maps"
	"slices"
	"strings"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// Config is a node's effective registries configuration: the main file with its drop-ins
// laid over it. The zero Config is that of a node without any, and every node falls back to
// it: each reference is pulled from where it says.
//
// A Config does not change once made, so it may be used by several goroutines.
type Config struct {
	entries       []sysregistriesv2.Registry // one per prefix, sorted by it
	search        []string                   // unqualified-search-registries
	aliases       map[string]string          // short name -> full name, "" when taken back
	shortNameMode string

	// The index over entries: a cluster has hundreds of entries and thousands of references,
	// each looked up in two configurations, once for itself and once per pull source.
	literal       map[string]int // by prefix
	wildcard      map[string]int // by what follows the star, e.g. .example.com
	locationKinds map[string]locationKind
}

// config builds the index over what the files say.
func (f fileContent) config() Config {
	c := Config{
		search:        f.search,
		aliases:       f.aliases,
		shortNameMode: f.shortNameMode,
		literal:       map[string]int{},
		wildcard:      map[string]int{},
		locationKinds: map[string]locationKind{},
	}
	judge := func(location string) {
		if _, known := c.locationKinds[location]; !known {
			c.locationKinds[location] = classifyLocation(location)
		}
	}
	for i, prefix := range slices.Sorted(maps.Keys(f.entries)) {
		c.entries = append(c.entries, f.entries[prefix])
		judge(f.entries[prefix].Location)
		for _, m := range f.entries[prefix].Mirrors {
			judge(m.Location)
		}
		if domain, ok := strings.CutPrefix(prefix, "*."); ok {
			c.wildcard["."+domain] = i
		} else {
			c.literal[prefix] = i
		}
	}
	return c
}

// newConfig is Parse for a configuration that was never text.
func newConfig(conf sysregistriesv2.V2RegistriesConf) (Config, error) {
	content, err := normalise(conf)
	if err != nil {
		return Config{}, err
	}
	return content.config(), nil
}

// find returns the one entry a node uses for name (a reference without tag and digest), or
// nil. It is the entry with the longest prefix; no other entry, however close, plays a role.
//
// It gives the answer of c/image FindRegistry, oddities included:
//   - a prefix ends at /, : or @ of the name, hence the prefix h also matches h:5000/x;
//   - *.d matches only if the first ".d" of the name is the one at the end of its host:
//     a.d.io.d.io/x is not matched by *.d.io;
//   - of equal lengths the first in sort order wins, and * sorts first: *.d.io (6) beats
//     a.d.io (6).
func (c Config) find(name string) *sysregistriesv2.Registry {
	return c.findOther(name, "")
}

// findOther is find without regard to the entry with prefix except.
func (c Config) findOther(name, except string) *sysregistriesv2.Registry {
	var best *sysregistriesv2.Registry
	consider := func(i int, ok bool) {
		if !ok || c.entries[i].Prefix == except {
			return
		}
		entry := &c.entries[i]
		if best == nil || len(entry.Prefix) > len(best.Prefix) ||
			len(entry.Prefix) == len(best.Prefix) && entry.Prefix < best.Prefix {
			best = entry
		}
	}
	for end := range prefixEnds(name) {
		i, ok := c.literal[name[:end]]
		consider(i, ok && end > 0)
	}
	if len(c.wildcard) == 0 {
		return best
	}
	host, _, _ := strings.Cut(name, "/")
	for dot := range len(host) {
		if host[dot] != '.' {
			continue
		}
		domain := host[dot:]
		if end := strings.IndexAny(domain, ":@"); end >= 0 {
			domain = domain[:end]
		}
		i, ok := c.wildcard[domain]
		consider(i, ok && strings.Index(name, domain) == dot)
	}
	return best
}

// prefixEnds yields the positions at which a prefix of name may end.
func prefixEnds(name string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range len(name) {
			switch name[i] {
			case '/', ':', '@':
				if !yield(i) {
					return
				}
			}
		}
		yield(len(name))
	}
}
