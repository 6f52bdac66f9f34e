package registries

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
func wildcardNesting(rules []rule, scopes scopeLists) []Problem {
	mirrored := map[string]bool{}
	for _, r := range rules {
		if r.effective() {
			mirrored[r.source] = true
		}
	}
	var out []Problem
	for _, r := range inRenderOrder(rules) {
		for _, bare := range scopes.rendered() {
			if mirrored[bare.scope] || !r.effective() || !registries.ScopeIsNestedInsideScope(bare.scope, r.source) {
				continue
			}
			if r.wildcard() {
				out = append(out, r.problem("source", "wildcard source %q covers %q of Image/cluster %s, an entry without mirrors of its own, and the machine-config-operator cannot copy mirrors out of a wildcard: it renders nothing. Name the hosts one by one, or give %q a mirror set",
					r.source, bare.scope, bare.field, bare.scope))
				continue
			}
			mirrored[bare.scope] = true
		}
	}
	return out
}

func inRenderOrder(rules []rule) []rule {
	return slices.SortedStableFunc(slices.Values(rules), func(a, b rule) int {
		if a.byTag() != b.byTag() {
			return cmp.Compare(b2i(a.byTag()), b2i(b.byTag()))
		}
		return cmp.Compare(a.source, b.source)
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
