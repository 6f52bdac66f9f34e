package registriesconf

import (
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/openshift/runtime-utils/pkg/registries"
)

// orderConflicts reports sources for which the items of one kind want contradictory orders
// of mirrors. The MCO merges the orders, and where they form a loop it breaks the loop at
// the alphabetically first name without a word. The source is one of the names.
//
// Example: docker.io -> [m1, m2] in one set and docker.io -> [m2, m1] in another give the
// order docker.io, m1, m2: every pull goes to Docker Hub first, which neither set asked for.
//
// Sets that merely do not mention each other's mirrors are no conflict: [A, B] and [C] give
// A, C, B. (runtime-utils mergedMirrors, topo.go.)
func orderConflicts(items []mirrorItem) []Problem {
	type list struct {
		source string
		byTag  bool
	}
	groups := map[list][]mirrorItem{}
	var order []list
	for _, r := range items {
		key := list{r.source, r.byTag()}
		if !r.effective() {
			continue
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], r)
	}
	var out []Problem
	for _, key := range order {
		if p, conflict := orderConflict(groups[key]); conflict {
			out = append(out, p)
		}
	}
	return out
}

// orderConflict checks the items of one list, which all have the same source, against the
// order that comes out of merging them.
func orderConflict(group []mirrorItem) (Problem, bool) {
	merged := mergedOrder(group)
	i := slices.IndexFunc(group, func(r mirrorItem) bool { return !respectsOrder(merged, wantedOrder(r)) })
	if i < 0 {
		return Problem{}, false
	}
	var wants []string
	for _, r := range group {
		wants = append(wants, fmt.Sprintf("%s wants %s", r.id(), strings.Join(wantedOrder(r), ", ")))
	}
	return group[i].problem("mirrors",
		"the orders of mirrors for %q contradict each other (%s), and nodes will try %s. Give all of them the same order",
		group[i].source, strings.Join(wants, "; "), strings.Join(merged, ", ")), true
}

// wantedOrder is the order an item asks for, with the source last where it is not listed.
func wantedOrder(r mirrorItem) []string {
	if slices.Contains(r.mirrors, r.source) {
		return r.mirrors
	}
	return append(slices.Clone(r.mirrors), r.source)
}

func respectsOrder(merged, wanted []string) bool {
	for i := range len(wanted) - 1 {
		if slices.Index(merged, wanted[i]) > slices.Index(merged, wanted[i+1]) {
			return false
		}
	}
	return true
}

// mergedOrder asks runtime-utils for the order of endpoints, the source included. The merge
// is the same for digests and tags, so the items are passed as tag mirrors.
func mergedOrder(group []mirrorItem) []string {
	var set configv1.ImageTagMirrorSet
	for _, r := range group {
		item := configv1.ImageTagMirrors{Source: r.source}
		for _, m := range r.mirrors {
			item.Mirrors = append(item.Mirrors, configv1.ImageMirror(m))
		}
		set.Spec.ImageTagMirrors = append(set.Spec.ImageTagMirrors, item)
	}
	var conf sysregistriesv2.V2RegistriesConf
	if err := registries.EditRegistriesConfig(&conf, nil, nil, nil, nil,
		[]*configv1.ImageTagMirrorSet{&set}); err != nil || len(conf.Registries) != 1 {
		return nil
	}
	var out []string
	for _, mirror := range conf.Registries[0].Mirrors {
		out = append(out, mirror.Location)
	}
	if !slices.Contains(out, group[0].source) {
		out = append(out, group[0].source)
	}
	return out
}
