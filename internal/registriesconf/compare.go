package registriesconf

import "slices"

// Change classes what a new configuration does to the pulls of one reference.
type Change string

const (
	// Unchanged means: the same endpoints are contacted in the same order, or the pull can
	// succeed neither before nor after.
	Unchanged Change = "Unchanged"
	// GainsMirror means: an endpoint is contacted that was unknown before. A node that finds the
	// manifest there never falls back for the rest of the image, so a mirror that holds the
	// image in part, or another image under the tag, breaks a pull that worked.
	GainsMirror Change = "GainsMirror"
	// OrderChanged means: the same endpoints in another order, or one of them newly insecure.
	OrderChanged Change = "OrderChanged"
	// LosesMirror means: an endpoint is no longer tried. One that was insecure and no longer is
	// counts as lost, since plain HTTP stops working for it.
	LosesMirror Change = "LosesMirror"
	// NewlyBlocked means: an endpoint that was contacted (often the source) is now refused.
	NewlyBlocked Change = "NewlyBlocked"
	// Unblocked means: an endpoint that was refused is now contacted, or a pull that could not
	// succeed has somewhere to go again.
	Unblocked Change = "Unblocked"
	// RewriteError means: the pull now fails before anybody is contacted.
	RewriteError Change = "RewriteError"
)

// Compare classes the difference between two resolutions of the same reference. Where
// several classes apply it names the worst:
//
//	RewriteError, NewlyBlocked, LosesMirror, GainsMirror, OrderChanged, Unblocked, Unchanged
//
// Only endpoints that are contacted count: a blocked one that comes or goes changes nothing.
// A reference that could not be pulled before cannot get worse, so for it the answer is
// Unblocked or Unchanged.
//
// Example: a tag mirror with NeverContactSource for quay.io/acme turns [S] into
// [M, S (blocked)] for a tag. It gains a mirror and its source is newly blocked; the answer
// is NewlyBlocked, because from now on the mirror alone has to have the image.
func Compare(before, after Resolution) Change {
	was, is := contacted(before), contacted(after)
	if len(was) == 0 {
		if len(is) == 0 {
			return Unchanged
		}
		return Unblocked
	}
	if after.Err != "" {
		return RewriteError
	}
	lost, common := partition(was, is)
	gained, _ := partition(is, was)
	known := slices.DeleteFunc(slices.Clone(gained),
		func(e Endpoint) bool { return !contains(before.Endpoints, e.Reference) })
	switch {
	case slices.ContainsFunc(lost, func(e Endpoint) bool { return isBlocked(after, e.Reference) }):
		return NewlyBlocked
	case len(lost) > 0:
		return LosesMirror
	case len(gained) > len(known):
		return GainsMirror
	case reordered(common, is):
		return OrderChanged
	case len(known) > 0:
		return Unblocked
	}
	return Unchanged
}

// contacted is Usable without repetitions: an endpoint listed twice (a location that is both
// a digest and a tag mirror, or a source listed among its own mirrors) counts where it
// comes first, for a second try would have the same outcome.
func contacted(r Resolution) []Endpoint {
	var out []Endpoint
	for _, e := range r.Usable() {
		if !contains(out, e.Reference) {
			out = append(out, e)
		}
	}
	return out
}

// partition divides endpoints into those missing from others and those still among them.
func partition(endpoints, others []Endpoint) (missing, common []Endpoint) {
	for _, e := range endpoints {
		i := index(others, e.Reference)
		if i < 0 || e.Insecure && !others[i].Insecure {
			missing = append(missing, e)
			continue
		}
		common = append(common, e)
	}
	return missing, common
}

// reordered says whether common, endpoints in their old order, are in another order or newly
// insecure in is.
func reordered(common, is []Endpoint) bool {
	last := -1
	for _, e := range common {
		i := index(is, e.Reference)
		if i < last || is[i].Insecure != e.Insecure {
			return true
		}
		last = i
	}
	return false
}

func isBlocked(r Resolution, ref string) bool {
	i := index(r.Endpoints, ref)
	return i >= 0 && r.Endpoints[i].Blocked
}

func contains(endpoints []Endpoint, ref string) bool { return index(endpoints, ref) >= 0 }

func index(endpoints []Endpoint, ref string) int {
	return slices.IndexFunc(endpoints, func(e Endpoint) bool { return e.Reference == ref })
}
