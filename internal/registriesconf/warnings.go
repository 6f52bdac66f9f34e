package registriesconf

import (
	"fmt"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
)

// Warnings reports what the MCO accepts and users still do not want, in a fixed order. None of
// it stops rendering. What depends on the reference being pulled, such as one scope
// shadowing another, is not here: Compare and ShadowedBy find it.
func Warnings(s Sets) []Problem {
	items := s.mirrorItems()
	var out []Problem
	out = append(out, imageWarnings(s, items)...)
	out = append(out, ignoredItems(items)...)
	out = append(out, wildcardSources(items)...)
	out = append(out, orderConflicts(items)...)
	out = append(out, blockedMirrors(s, items)...)
	return out
}

// imageWarnings reports what images.config/cluster makes of the rest.
func imageWarnings(s Sets, items []mirrorItem) []Problem {
	if s.Image == nil {
		if len(items) == 0 {
			return nil
		}
		return []Problem{{KindImage, "cluster", "metadata.name",
			"the object does not exist, and without it the machine-config-operator ignores every mirror set: create it, an empty spec will do"}}
	}
	scopes := s.scopes()
	if scopes.payloadGuardErr != nil {
		return []Problem{imageProblem("blockedRegistries",
			"blocked and allowed registries are all ignored, because the machine-config-operator failed in %v: repair that object or unblock the payload", scopes.payloadGuardErr)}
	}
	var out []Problem
	for _, i := range scopes.payloadProtected {
		out = append(out, imageProblem(fmt.Sprintf("blockedRegistries[%d]", i),
			"%q is ignored: it covers the release payload %s, which no ImageDigestMirrorSet makes reachable elsewhere. Add one for the payload, or block narrower scopes",
			s.Image.Spec.RegistrySources.BlockedRegistries[i], scopes.payload))
	}
	return out
}

// ignoredItems reports items that are dropped: those without a mirror other than the source.
func ignoredItems(items []mirrorItem) []Problem {
	var out []Problem
	for _, r := range items {
		if r.effective() {
			continue
		}
		also := ""
		if r.policy == configv1.NeverContactSource {
			also = ", and its NeverContactSource with it: the source is not blocked"
		}
		out = append(out, r.problem("mirrors",
			"the item for %q is ignored, it has no mirror other than its source%s. Add a mirror, or block the source in images.config/cluster", r.source, also))
	}
	return out
}

// wildcardSources reports that all hosts of a wildcard share one place at the mirror: the
// whole host is replaced.
//
// Example: *.example.com -> m.local/ex sends a.example.com/app:1 and b.example.com/app:1,
// two different images, both to m.local/ex/app:1. (c/image Endpoint.rewriteReference.)
func wildcardSources(items []mirrorItem) []Problem {
	var out []Problem
	for _, r := range items {
		if !r.wildcard() || !r.effective() {
			continue
		}
		domain := r.source[len("*."):]
		out = append(out, r.problem("source",
			"with the wildcard %q the host is lost: a.%s/app and b.%s/app are both pulled from %s/app. Name the hosts one by one, each with a mirror path of its own", r.source, domain, domain, r.mirrors[0]))
	}
	return out
}

// blockedMirrors reports mirrors which nodes refuse to contact because an entry that covers
// them is blocked: nodes look the block up for each endpoint, not for the source alone.
//
// Example: quay.io -> quay.io/cache with NeverContactSource blocks quay.io, and quay.io/cache
// along with it: nothing below quay.io can be pulled by tag any more.
func blockedMirrors(s Sets, items []mirrorItem) []Problem {
	text, err := Render(nil, s)
	if err != nil {
		return nil // Validate reports it
	}
	config, err := Parse(text, nil)
	if err != nil {
		return nil
	}
	var out []Problem
	for _, r := range items {
		for i, mirror := range r.mirrors {
			entry := config.find(mirror)
			if entry == nil || !entry.Blocked || mirror == r.source {
				continue
			}
			by := "the block of " + entry.Prefix
			if blockers := neverContacted(items, entry.Prefix); blockers != "" {
				by = fmt.Sprintf("NeverContactSource for %s in %s", entry.Prefix, blockers)
			}
			out = append(out, r.problem(fmt.Sprintf("mirrors[%d]", i),
				"nodes refuse to contact mirror %q, it is covered by %s. Use a mirror outside of that scope, or narrow the scope", mirror, by))
		}
	}
	return out
}

// neverContacted names the objects that block a scope by their policy.
func neverContacted(items []mirrorItem, scope string) string {
	var out []string
	for _, r := range items {
		if r.source == scope && r.effective() && r.policy == configv1.NeverContactSource {
			out = append(out, r.id())
		}
	}
	return strings.Join(out, ", ")
}
