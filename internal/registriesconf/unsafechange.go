package registriesconf

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/BurntSushi/toml"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// unsafeChange tells why the MCD would drain a node before it goes from one registries.conf
// to the other, or "" if it would only reload crio. Idea of the MCO: adding digest mirrors
// cannot change which image a reference means, anything else might.
//
// It restates MCO pkg/daemon/drain.go isSafeContainerRegistryConfChanges, and agrees with it
// in what that does not look at: mirror-by-digest-only of the entry, insecure of a mirror,
// the order of mirrors, and blocked in an entry that is new. Like the original it works on
// the text of the file, not on the effective configuration: drop-ins play no role.
//
// The rules are numbered in the messages; testdata/drain_vectors.json has cases for each.
func unsafeChange(oldText, newText []byte) (string, error) {
	var was, is sysregistriesv2.V2RegistriesConf
	if _, err := toml.Decode(string(oldText), &was); err != nil {
		return "", fmt.Errorf("%s before the change is not TOML: %w", RegistriesPath, err)
	}
	if _, err := toml.Decode(string(newText), &is); err != nil {
		return "", fmt.Errorf("%s after the change is not TOML: %w", RegistriesPath, err)
	}
	if why := unsafeSearch(was.UnqualifiedSearchRegistries, is.UnqualifiedSearchRegistries); why != "" {
		return why, nil
	}
	before, after := byScope(was.Registries), byScope(is.Registries)
	for _, scope := range slices.Sorted(maps.Keys(before)) {
		if _, kept := after[scope]; !kept {
			return fmt.Sprintf("rule 2: the entry for %s is removed", scope), nil
		}
	}
	for _, scope := range slices.Sorted(maps.Keys(after)) {
		why := ""
		if old, existed := before[scope]; existed {
			why = unsafeEdit(scope, old, after[scope])
		} else {
			why = unsafeNew(scope, after[scope])
		}
		if why != "" {
			return why, nil
		}
	}
	return "", nil
}

// byScope keys the entries as the MCD does; of two with the same scope the last counts.
func byScope(entries []sysregistriesv2.Registry) map[string]sysregistriesv2.Registry {
	out := map[string]sysregistriesv2.Registry{}
	for _, entry := range entries {
		scope := entry.Prefix
		if scope == "" {
			scope = entry.Location
		}
		out[scope] = entry
	}
	return out
}

// unsafeSearch: short names are tried in the order of the list, so only its end may grow.
func unsafeSearch(old, new []string) string {
	if len(new) < len(old) || !slices.Equal(old, new[:len(old)]) {
		return fmt.Sprintf("rule 1: unqualified-search-registries changes from %s to %s, not only at its end",
			bracketed(old), bracketed(new))
	}
	return ""
}

// unsafeEdit judges an entry that stays.
func unsafeEdit(scope string, old, new sysregistriesv2.Registry) string {
	if reflect.DeepEqual(old, new) {
		return ""
	}
	for _, field := range []struct {
		name    string
		was, is any
	}{
		{"prefix", old.Prefix, new.Prefix},
		{"location", old.Location, new.Location},
		{"blocked", old.Blocked, new.Blocked},
		{"insecure", old.Insecure, new.Insecure},
	} {
		if field.was != field.is {
			return fmt.Sprintf("rule 3: %s of %s changes from %#v to %#v", field.name, scope, field.was, field.is)
		}
	}
	return unsafeMirrors(scope, old, new)
}

// unsafeMirrors judges the mirrors of an entry that stays.
func unsafeMirrors(scope string, old, new sysregistriesv2.Registry) string {
	for _, mirror := range old.Mirrors {
		if _, kept := mirrorAt(mirror.Location, new.Mirrors); !kept {
			return fmt.Sprintf("rule 4: mirror %s of %s is removed", mirror.Location, scope)
		}
	}
	for _, mirror := range new.Mirrors {
		was, existed := mirrorAt(mirror.Location, old.Mirrors)
		digestOnly := mirror.PullFromMirror == sysregistriesv2.MirrorByDigestOnly
		switch {
		case existed && mirror.PullFromMirror != was.PullFromMirror && !digestOnly:
			return fmt.Sprintf("rule 5: mirror %s of %s, so far %s, serves %s", mirror.Location, scope, usage(was),
				usage(mirror))
		case !existed && !digestOnly && !new.MirrorByDigestOnly:
			return fmt.Sprintf("rule 6: mirror %s is added to %s and serves %s", mirror.Location, scope, usage(mirror))
		}
	}
	return ""
}

// unsafeNew judges an entry that appears. That it may be blocked is not looked at: a new
// digest mirror set with NeverContactSource is taken as safe although tags of its source can
// no longer be pulled.
func unsafeNew(scope string, entry sysregistriesv2.Registry) string {
	if len(entry.Mirrors) == 0 && !entry.MirrorByDigestOnly {
		return fmt.Sprintf("rule 7: the entry for %s is new and has no mirrors", scope)
	}
	for _, mirror := range entry.Mirrors {
		if mirror.PullFromMirror != sysregistriesv2.MirrorByDigestOnly {
			return fmt.Sprintf("rule 7: the entry for %s is new and its mirror %s serves %s", scope, mirror.Location,
				usage(mirror))
		}
	}
	return ""
}

// mirrorAt finds the first mirror with a location. One location can be there twice, for
// digests and for tags, and the first is then taken for both.
func mirrorAt(location string, mirrors []sysregistriesv2.Endpoint) (sysregistriesv2.Endpoint, bool) {
	for _, m := range mirrors {
		if m.Location == location {
			return m, true
		}
	}
	return sysregistriesv2.Endpoint{}, false
}

func usage(mirror sysregistriesv2.Endpoint) string {
	switch mirror.PullFromMirror {
	case sysregistriesv2.MirrorByDigestOnly:
		return "digests only"
	case sysregistriesv2.MirrorByTagOnly:
		return "tags only"
	}
	return "tags and digests"
}
