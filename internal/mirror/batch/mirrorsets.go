package batch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// ByMirrorSets sends every line, and the additional images of the manifests, to where nodes will
// look for it once these mirror sets exist: the first mirror that applies to the reference. It
// plans as the operator does, for nodes that have no other mirror set.
//
// The source is left out of what is tried. A node may fall back to it, but an image that only the
// source can serve is not mirrored.
func ByMirrorSets(m Manifests, lines []Line) (Set, error) {
	config, err := m.config()
	if err != nil {
		return Set{}, err
	}
	var problems problemList
	asked := map[string][]string{}
	var refs []inventory.Reference
	for _, line := range slices.Concat(m.Additional, lines) {
		if line.Destination != "" {
			problems.add("%s: has a destination, and with -f the mirror sets say where an image goes: take it out, or run without -f", line.Position)
			continue
		}
		if asked[line.Source] == nil {
			refs = append(refs, inventory.Reference{Image: line.Source})
		}
		asked[line.Source] = append(asked[line.Source], line.Position)
	}
	if err := problems.join(); err != nil {
		return Set{}, err
	}
	items := map[string]plan.Item{}
	planned := plan.Build(plan.Input{References: refs, Pools: []plan.PoolConfig{{Name: "nodes", After: config}},
		Spec: m.Spec, Sets: m.Sets})
	for _, item := range planned.Items {
		items[item.Name] = item
	}
	var b setBuilder
	for _, ref := range refs {
		resolved, err := config.Resolve(ref.Image)
		if err != nil {
			return Set{}, fmt.Errorf("%s: %w", strings.Join(asked[ref.Image], ", "), err)
		}
		if fill := items[resolved.Reference].Target; fill != "" {
			b.add(Image{
				Sources: []string{ref.Image}, Destination: fill, PullEndpoints: mirrorsOf(resolved),
				requestedAt: asked[ref.Image], verifyOnly: planned.VerifyOnly,
			})
		} else if reason := notServed(m.Spec, resolved); reason != "" {
			b.set.NotServed = append(b.set.NotServed, NotServed{Source: ref.Image, Reason: reason})
		} else {
			b.set.Outside++
		}
	}
	return b.set, nil
}

func mirrorsOf(r registriesconf.Resolution) []string {
	var out []string
	for _, e := range r.Usable() {
		if e.Mirror {
			out = append(out, e.Reference)
		}
	}
	return out
}

// notServed says why a reference in the scope of the mirror sets gets no mirror from them, "" when
// it is in no scope of theirs.
func notServed(spec v1alpha1.SafeMirrorRolloutSpec, r registriesconf.Resolution) string {
	if r.Err != "" {
		return r.Err
	}
	have, lacking, list, kind := "imageTagMirrors", "imageDigestMirrors", spec.ImageTagMirrors, "by digest"
	if !r.ByDigest {
		have, lacking, list, kind = lacking, have, spec.ImageDigestMirrors, "by tag"
	}
	i := slices.IndexFunc(list, func(m v1alpha1.ImageMirrors) bool { return m.Source == r.Scope })
	switch {
	case i >= 0:
		reason := fmt.Sprintf("not served by these mirror sets: %s has only %s, and this is a reference %s; add %s for %s with the mirrors %s",
			r.Scope, have, kind, lacking, r.Scope, strings.Join(list[i].Mirrors, ", "))
		if len(r.Usable()) == 0 {
			reason += " (without them no node can pull it any more: the source is blocked by NeverContactSource)"
		}
		return reason
	case len(r.Usable()) == 0:
		return fmt.Sprintf("not served by these mirror sets: every place to pull it from is blocked by the scope %s",
			r.Scope)
	default:
		return ""
	}
}
