package plan

import (
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// targetsOf are the endpoints that have to hold the image: those of the mirrors of our own spec
// that are among its targets. Without targets it is the first of them. With mirrors [A, B] that is
// A: B answers only for what A lacks.
func targetsOf(spec v1alpha1.SafeMirrorRolloutSpec, after registriesconf.Resolution) (first string, more []string) {
	targets := spec.Mirroring.Targets
	for _, e := range after.Usable() {
		if !e.Mirror || !isSpecMirror(spec, after.ByDigest, e.Reference) {
			continue
		}
		targeted := slices.ContainsFunc(targets, func(t string) bool { return isWithin(e.Reference, t) })
		switch {
		case len(targets) > 0 && !targeted:
		case first == "":
			first = e.Reference
		case targeted:
			more = append(more, e.Reference)
		}
	}
	return first, more
}

// isSpecMirror tells whether the endpoint is a mirror of our spec, of the kind that serves the
// reference.
func isSpecMirror(spec v1alpha1.SafeMirrorRolloutSpec, byDigest bool, endpoint string) bool {
	list := spec.ImageTagMirrors
	if byDigest {
		list = spec.ImageDigestMirrors
	}
	return slices.ContainsFunc(list, func(m v1alpha1.ImageMirrors) bool {
		return slices.ContainsFunc(m.Mirrors,
			func(mirror string) bool { return m.Source != mirror && isWithin(endpoint, mirror) })
	})
}

// otherMirrors are the mirrors after the change that are neither filled nor asked today. A node
// does not fall back once one of them has served a manifest, so each must hold the image completely
// or not at all.
func otherMirrors(i Item) []string {
	known := append([]string{i.Target}, i.MoreTargets...)
	for _, e := range i.Before.Usable() {
		known = append(known, e.Reference)
	}
	var out []string
	for _, e := range i.After.Usable() {
		if e.Mirror && !slices.Contains(known, e.Reference) {
			out = append(out, e.Reference)
		}
	}
	return out
}
