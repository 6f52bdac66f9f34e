package registriesconf

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// normaliseEntries restates c/image postProcessRegistries: it gives each entry its prefix,
// refuses impossible ones, and keeps the first of those with equal prefix.
func normaliseEntries(entries []sysregistriesv2.Registry) (map[string]sysregistriesv2.Registry, error) {
	out := map[string]sysregistriesv2.Registry{}
	var all []sysregistriesv2.Registry
	for _, entry := range entries {
		entry, err := normaliseEntry(entry)
		if err != nil {
			return nil, err
		}
		all = append(all, entry)
		if _, seen := out[entry.Prefix]; !seen {
			out[entry.Prefix] = entry
		}
	}
	return out, conflictingFlags(all)
}

func normaliseEntry(entry sysregistriesv2.Registry) (sysregistriesv2.Registry, error) {
	var err error
	if entry.Location, err = trimLocation(entry.Location); err != nil {
		return entry, err
	}
	if entry.Prefix == "" {
		entry.Prefix = entry.Location
		if entry.Prefix == "" {
			return entry, errors.New("a [[registry]] has neither location nor prefix: set location")
		}
	} else if entry.Prefix, err = trimLocation(entry.Prefix); err != nil {
		return entry, err
	}
	wildcard := strings.HasPrefix(entry.Prefix, "*.")
	switch {
	case entry.Location == "" && !wildcard:
		return entry, fmt.Errorf("registry %q has no location, which only a *.domain prefix may leave out: set location", entry.Prefix)
	case wildcard && strings.ContainsAny(entry.Prefix, "/@:"):
		return entry, fmt.Errorf("registry %q: a wildcard prefix is *.domain, without port and path", entry.Prefix)
	case entry.PullFromMirror != "":
		return entry, fmt.Errorf("registry %q: pull-from-mirror belongs into its [[registry.mirror]] tables",
			entry.Prefix)
	}
	entry.Mirrors = slices.Clone(entry.Mirrors)
	for i := range entry.Mirrors {
		if err := normaliseMirror(entry, &entry.Mirrors[i]); err != nil {
			return entry, err
		}
	}
	return entry, nil
}

func normaliseMirror(entry sysregistriesv2.Registry, mirror *sysregistriesv2.Endpoint) error {
	var err error
	if mirror.Location, err = trimLocation(mirror.Location); err != nil {
		return err
	}
	if mirror.Location == "" {
		return fmt.Errorf("registry %q has a mirror without location: set it", entry.Prefix)
	}
	if entry.MirrorByDigestOnly && mirror.PullFromMirror != "" {
		return fmt.Errorf("registry %q sets mirror-by-digest-only and its mirror %q pull-from-mirror: keep the latter",
			entry.Prefix, mirror.Location)
	}
	switch mirror.PullFromMirror {
	case "", sysregistriesv2.MirrorAll, sysregistriesv2.MirrorByDigestOnly, sysregistriesv2.MirrorByTagOnly:
		return nil
	}
	return fmt.Errorf("registry %q, mirror %q: pull-from-mirror %q is none of all, digest-only, tag-only", entry.Prefix,
		mirror.Location, mirror.PullFromMirror)
}

func trimLocation(location string) (string, error) {
	trimmed := strings.TrimRight(location, "/")
	if strings.HasPrefix(trimmed, "http://") || strings.HasPrefix(trimmed, "https://") {
		return "", fmt.Errorf("location %q: leave out the scheme", location)
	}
	return trimmed, nil
}

// conflictingFlags refuses two entries of one file that send to the same location but
// disagree on whether it is insecure or blocked.
//
// Example: prefix a.io/x and prefix a.io/y, both with location b.io, only one of them blocked.
func conflictingFlags(entries []sysregistriesv2.Registry) error {
	first := map[string]sysregistriesv2.Registry{}
	for _, entry := range entries {
		target := entry.Location
		if target == "" {
			target = entry.Prefix
		}
		other, seen := first[target]
		if !seen {
			first[target] = entry
			continue
		}
		if other.Insecure != entry.Insecure || other.Blocked != entry.Blocked {
			return fmt.Errorf("registry %q is defined several times, with different insecure or blocked: make them equal", target)
		}
	}
	return nil
}

var searchFormat = regexp.MustCompile("^" + reference.DomainRegexp.String() + "$")

func normaliseSearch(search []string) ([]string, error) {
	search = slices.Clone(search) // keeps nil nil
	for i := range search {
		var err error
		if search[i], err = trimLocation(search[i]); err != nil {
			return nil, err
		}
		if !searchFormat.MatchString(search[i]) {
			return nil, fmt.Errorf("unqualified-search-registries has %q: use host[:port]", search[i])
		}
	}
	return search, nil
}

// normaliseAliases checks the [aliases] table, which maps a short name to a full one, or to
// "" to take back an alias of an earlier file.
func normaliseAliases(aliases map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		if named, err := parseRepository(name); err != nil || hasHost(named) {
			return nil, fmt.Errorf("alias %q: use a name without registry, tag and digest", name)
		}
		target := aliases[name]
		if target != "" {
			if named, err := parseRepository(target); err != nil || !hasHost(named) {
				return nil, fmt.Errorf("alias %q = %q: use a name with a registry, without tag and digest",
					name, target)
			}
			named, err := reference.ParseNormalizedNamed(target)
			if err != nil {
				return nil, fmt.Errorf("alias %q = %q: %w", name, target, err)
			}
			target = named.Name()
		}
		out[name] = target
	}
	return out, nil
}

// parseRepository parses a name that must not carry a tag or digest.
func parseRepository(name string) (reference.Named, error) {
	parsed, err := reference.Parse(name)
	if err != nil {
		return nil, err
	}
	named, ok := parsed.(reference.Named)
	if !ok || !reference.IsNameOnly(named) {
		return nil, fmt.Errorf("%q is not a plain repository", name)
	}
	return named, nil
}
