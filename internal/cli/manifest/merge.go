package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// item is one source with its mirrors, and where it stands.
type item struct {
	v1alpha1.ImageMirrors
	digest bool
	at     string
}

// itemsOf are those of plain mirror sets, in order.
func itemsOf(objects []Object) []item {
	var out []item
	add := func(o Object, field string, digest bool, i int, source string, mirrors []configv1.ImageMirror,
		policy configv1.MirrorSourcePolicy) {
		m := v1alpha1.ImageMirrors{Source: source, MirrorSourcePolicy: v1alpha1.MirrorSourcePolicy(policy)}
		for _, mirror := range mirrors {
			m.Mirrors = append(m.Mirrors, string(mirror))
		}
		out = append(out, item{m, digest, fmt.Sprintf("%s spec.%s[%d]", o.description(), field, i)})
	}
	for _, o := range objects {
		if o.Digest != nil {
			for i, m := range o.Digest.Spec.ImageDigestMirrors {
				add(o, "imageDigestMirrors", true, i, m.Source, m.Mirrors, m.MirrorSourcePolicy)
			}
		}
		if o.Tag != nil {
			for i, m := range o.Tag.Spec.ImageTagMirrors {
				add(o, "imageTagMirrors", false, i, m.Source, m.Mirrors, m.MirrorSourcePolicy)
			}
		}
	}
	return out
}

// Merged is one rollout out of several mirror sets.
type Merged struct {
	Spec v1alpha1.SafeMirrorRolloutSpec
	// Notes say which items became one, and what should be looked at.
	Notes []string
}

// Merge makes one spec of plain mirror sets, in their order. Items of one kind and source become
// one, with the mirrors of the first before those of the others: the Machine Config Operator would
// interleave them alphabetically, which nobody means. A source that has two policies, in whatever
// kinds, is an error: the Machine Config Operator refuses every mirror set of the cluster then.
func Merge(objects []Object) (Merged, error) {
	var out Merged
	var merged []item
	var errs []error
	policies := map[string]item{}
	for _, i := range itemsOf(objects) {
		first, known := policies[i.Source]
		if known && policy(first) != policy(i) {
			errs = append(errs, fmt.Errorf("source %s: mirrorSourcePolicy is %s in %s and %s in %s; all items of one source need the same, so change one of them",
				i.Source, policy(first), first.at, policy(i), i.at))
		}
		if !known {
			policies[i.Source] = i
		}
		at := slices.IndexFunc(merged, func(m item) bool { return m.digest == i.digest && m.Source == i.Source })
		if at < 0 {
			merged = append(merged, i)
			continue
		}
		out.Notes = append(out.Notes, mergeItem(&merged[at], i))
	}
	for _, i := range merged {
		if i.digest {
			out.Spec.ImageDigestMirrors = append(out.Spec.ImageDigestMirrors, i.ImageMirrors)
		} else {
			out.Spec.ImageTagMirrors = append(out.Spec.ImageTagMirrors, i.ImageMirrors)
		}
	}
	out.Notes = append(out.Notes, oneKindWarnings(merged)...)
	return out, errors.Join(errs...)
}

// policy is the one that an omitted one means.
func policy(i item) v1alpha1.MirrorSourcePolicy {
	return cmp.Or(i.MirrorSourcePolicy, v1alpha1.AllowContactingSource)
}

// mergeItem adds the mirrors of another item for the same source.
func mergeItem(into *item, i item) string {
	added := 0
	for _, m := range i.Mirrors {
		if !slices.Contains(into.Mirrors, m) {
			into.Mirrors = append(slices.Clone(into.Mirrors), m)
			added++
		}
	}
	if added == 0 {
		return fmt.Sprintf("source %s: %s says nothing that %s does not, and was left out", i.Source, i.at, into.at)
	}
	return fmt.Sprintf("source %s: the %d mirrors of %s come after those of %s", i.Source, added, i.at, into.at)
}

// oneKindWarnings names sources that may not be contacted and have mirrors of one kind only: pulls
// of the other kind cannot succeed.
func oneKindWarnings(merged []item) []string {
	var out []string
	for _, i := range merged {
		other := slices.ContainsFunc(merged, func(m item) bool { return m.digest != i.digest && m.Source == i.Source })
		if policy(i) != v1alpha1.NeverContactSource || other {
			continue
		}
		have, lack := "tag", "imageDigestMirrors"
		if i.digest {
			have, lack = "digest", "imageTagMirrors"
		}
		out = append(out, fmt.Sprintf("source %s: NeverContactSource blocks every pull, and it has mirrors by %s only; add it to %s unless nothing is pulled from it so", i.Source, have, lack))
	}
	return out
}
