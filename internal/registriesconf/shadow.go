package registriesconf

import (
	"slices"
	"strings"
)

// ShadowedBy names the object whose source took a reference over from a broader scope, if
// the reference lost something by that: a mirror it had, or a block that protected it. It is
// "" when nothing of the kind happened. s are the Sets that after was made from.
//
// Only one entry applies to a reference, and the MCO passes nothing down to an entry that
// has mirrors of its own, not even mirrors of the other kind.
//
// Example: ImageDigestMirrorSet/site mirrors quay.io to m.local. Then
// ImageTagMirrorSet/acme mirrors quay.io/acme by tag. From then on
// quay.io/acme/app@sha256:… is pulled from quay.io only: ShadowedBy is
// "ImageTagMirrorSet/acme". The remedy is to give that scope both kinds of mirrors.
//
// Several objects with the same source are all named, separated by ", ". Source:
// runtime-utils EditRegistriesConfig, the loop guarded by len(reg.Mirrors) == 0.
func ShadowedBy(s Sets, before, after Resolution) string {
	if before.Scope == "" || before.Scope == after.Scope || len(after.Scope) < len(before.Scope) {
		return ""
	}
	if !lostToNarrowerScope(before, after) {
		return ""
	}
	var owners []string
	for _, r := range s.mirrorItems() {
		if r.source == after.Scope && r.effective() && !slices.Contains(owners, r.id()) {
			owners = append(owners, r.id())
		}
	}
	if len(owners) > 0 {
		return strings.Join(owners, ", ")
	}
	for _, entry := range s.scopes().entries() {
		if entry.scope == after.Scope {
			return KindImage + "/cluster"
		}
	}
	return ""
}

func lostToNarrowerScope(before, after Resolution) bool {
	return slices.ContainsFunc(before.Endpoints, func(e Endpoint) bool {
		i := index(after.Endpoints, e.Reference)
		unblocked := e.Blocked && i >= 0 && !after.Endpoints[i].Blocked
		lostMirror := e.Mirror && !e.Blocked && i < 0
		return unblocked || lostMirror
	})
}
