package registriesconf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	"github.com/openshift/runtime-utils/pkg/registries"
)

// Validate reports every rule of the MCO that the union of the Sets breaks, in a fixed
// order; empty means the MCO will render it.
//
// Checking the union matters: each object may be fine alone. The MCO finds such a conflict
// only while rendering, logs it, and stops rendering registries.conf for the whole cluster;
// the custom resource definitions catch none of it (except malformed names).
// Source: MCO pkg/controller/container-runtime-config/helpers.go validateRegistriesConfScopes
// and updatePolicyJSON; runtime-utils mirrorsAdjustedForNestedScope.
func Validate(s Sets) []Problem {
	items := s.mirrorItems()
	scopes := s.scopes()
	var out []Problem
	out = append(out, scopeProblems(s, scopes)...)
	out = append(out, nameProblems(items)...)
	out = append(out, policyConflicts(items)...)
	out = append(out, ownSourceProblems(items)...)
	out = append(out, wildcardNesting(items, scopes)...)
	return out
}

// The names that a source and a mirror may have, composed from the same parts as the pattern
// of the custom resource definitions (openshift/api config/v1 types_image_tag_mirror_set.go).
// The MCO repeats the check because an ImageContentSourcePolicy has no such pattern.
var (
	sourceFormat, mirrorFormat = func() (source, mirror *regexp.Regexp) {
		const (
			label     = `(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])`
			host      = label + `(?:\.` + label + `)*(?::[0-9]+)?`
			component = `[a-z0-9]+(?:(?:[._]|__|-*)[a-z0-9]+)*`
			location  = host + `(?:/` + component + `)*`
			wildcard  = `\*(?:\.` + label + `)+`
		)
		return regexp.MustCompile(`^(?:` + wildcard + `|` + location + `)$`), regexp.MustCompile(`^` + location + `$`)
	}()
)

// nameProblems reports sources and mirrors that are not names of a registry or repository,
// e.g. one with a tag or an upper-case path.
func nameProblems(items []mirrorItem) []Problem {
	var out []Problem
	for _, r := range items {
		if !sourceFormat.MatchString(r.source) {
			out = append(out, r.problem("source",
				"%q is not host[:port][/path] or *.domain: write it without scheme, tag and digest, the path in lower case", r.source))
		}
		for i, m := range r.mirrors {
			if !mirrorFormat.MatchString(m) {
				out = append(out, r.problem(fmt.Sprintf("mirrors[%d]", i),
					"%q is not host[:port][/path]: write it without scheme, wildcard, tag and digest, the path in lower case", m))
			}
		}
	}
	return out
}

// policyConflicts reports sources for which two items disagree on mirrorSourcePolicy. The
// comparison is between equal source strings of all three kinds, an omitted policy counting
// as AllowContactingSource; parent and child scopes may disagree.
//
// Example: ImageDigestMirrorSet/site allows quay.io/acme (policy omitted), and
// ImageTagMirrorSet/acme says NeverContactSource for quay.io/acme: nothing is rendered.
func policyConflicts(items []mirrorItem) []Problem {
	bySource := map[string][]mirrorItem{}
	var out []Problem
	for _, r := range items {
		earlier := bySource[r.source]
		bySource[r.source] = append(earlier, r)
		var against []string
		for _, e := range earlier {
			if e.policy != r.policy {
				against = append(against, fmt.Sprintf("%s %s (%s)", e.id(), e.field, e.policy))
			}
		}
		if len(against) > 0 {
			out = append(out, r.problem("mirrorSourcePolicy",
				"%s for source %q contradicts %s: give all of them the same policy", r.policy, r.source,
				strings.Join(against, ", ")))
		}
	}
	return out
}

// ownSourceProblems reports the contradiction of forbidding a source and listing it as its
// own mirror.
func ownSourceProblems(items []mirrorItem) []Problem {
	var out []Problem
	for _, r := range items {
		i := slices.Index(r.mirrors, r.source)
		if r.policy == configv1.NeverContactSource && i >= 0 {
			out = append(out, r.problem(fmt.Sprintf("mirrors[%d]", i),
				"source %q is one of its own mirrors although the policy is NeverContactSource: remove it from the mirrors or allow contacting the source", r.source))
		}
	}
	return out
}

// scopeProblems reports what is wrong in images.config/cluster itself and, as the MCO aborts
// on it, an unreadable release image.
func scopeProblems(s Sets, scopes scopeLists) []Problem {
	if s.Image == nil {
		return nil
	}
	var out []Problem
	if scopes.payloadErr != nil {
		out = append(out, Problem{KindClusterVersion, "version", "status.desired.image",
			fmt.Sprintf("%q is not a full image reference (%v): no registries configuration is rendered until the cluster version is repaired", s.ReleaseImage, scopes.payloadErr)})
	}
	spec := s.Image.Spec.RegistrySources
	out = append(out, malformedScopes("insecureRegistries", spec.InsecureRegistries, nil)...)
	if scopes.payloadGuardErr == nil { // else these two are ignored, well-formed or not
		out = append(out, malformedScopes("blockedRegistries", spec.BlockedRegistries, scopes.payloadProtected)...)
		out = append(out, malformedScopes("allowedRegistries", spec.AllowedRegistries, nil)...)
	}
	if scopes.allowsAndBlocks() {
		out = append(out, imageProblem("allowedRegistries",
			"set together with blockedRegistries: the machine-config-operator accepts only one of the two lists"))
	}
	return out
}

func malformedScopes(field string, scopes []string, skip []int) []Problem {
	var out []Problem
	for i, scope := range scopes {
		if !slices.Contains(skip, i) && !registries.IsValidRegistriesConfScope(scope) {
			out = append(out, imageProblem(fmt.Sprintf("%s[%d]", field, i),
				"%q is not a registry scope: use host[:port][/path], or *.domain without port and path", scope))
		}
	}
	return out
}

func (r mirrorItem) problem(field, format string, args ...any) Problem {
	return Problem{r.kind, r.object, r.field + "." + field, fmt.Sprintf(format, args...)}
}

func imageProblem(field, format string, args ...any) Problem {
	return Problem{KindImage, "cluster", "spec.registrySources." + field, fmt.Sprintf(format, args...)}
}
