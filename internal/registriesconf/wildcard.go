package registriesconf

import (
	"cmp"
	"slices"

	"github.com/openshift/runtime-utils/pkg/registries"
)

// wildcardNesting reports wildcard sources which the MCO cannot render.
//
// A node uses only the most specific entry for a reference, so the MCO copies the mirrors of
// a source into nested entries that have none. From a wildcard it cannot: it does not know
// what the path below the mirror would be. It gives up on the whole file then.
//
// Example: source *.example.com with mirror m.local/ex, and insecureRegistries lists
// a.example.com. The entry a.example.com has no mirrors, hence the error. With an
// ImageDigestMirrorSet for a.example.com there are some, and all is well.
//
// The order is that of runtime-utils EditRegistriesConfig: all digest sources by name, then
// all tag sources by name, and an entry that has been filled is left alone afterwards.
func wildcardNesting(items []mirrorItem, scopes scopeLists) []Problem {
	mirrored := map[string]bool{}
	for _, r := range items {
		if r.effective() {
			mirrored[r.source] = true
		}
	}
	var out []Problem
	for _, r := range inRenderOrder(items) {
		for _, entry := range scopes.entries() {
			if mirrored[entry.scope] || !r.effective() || !registries.ScopeIsNestedInsideScope(entry.scope, r.source) {
				continue
			}
			if r.wildcard() {
				out = append(out, r.problem("source",
					"wildcard source %q covers %q of Image/cluster %s, an entry without mirrors of its own, and the machine-config-operator cannot copy mirrors out of a wildcard: it renders nothing. Name the hosts one by one, or give %q a mirror set",
					r.source, entry.scope, entry.field, entry.scope))
				continue
			}
			mirrored[entry.scope] = true
		}
	}
	return out
}

func inRenderOrder(items []mirrorItem) []mirrorItem {
	return slices.SortedStableFunc(slices.Values(items), func(a, b mirrorItem) int {
		if a.byTag() != b.byTag() {
			return cmp.Compare(boolToInt(a.byTag()), boolToInt(b.byTag()))
		}
		return cmp.Compare(a.source, b.source)
	})
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
