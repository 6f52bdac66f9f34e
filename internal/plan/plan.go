package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// PoolConfig is the registries configuration of one MachineConfigPool without our mirror sets and
// with them.
type PoolConfig struct {
	Name   string
	Before registriesconf.Config
	After  registriesconf.Config
}

// Input is everything that decides a plan.
type Input struct {
	References []inventory.Reference
	Pools      []PoolConfig
	Spec       v1alpha1.SafeMirrorRolloutSpec
	// Sets is the union of all mirror sets, ours included; it names who shadows whom.
	Sets registriesconf.Sets
	// Platforms are those of the cluster's nodes, such as linux/amd64.
	Platforms []string
	// RegistriesConfs identifies the predicted configuration, pool by pool.
	RegistriesConfs []string
}

// Item is a reference whose pull changes.
type Item struct {
	Reference inventory.Reference
	// Spellings are the images of all references that come down to this item, in sort order: nginx
	// and docker.io/library/nginx:latest.
	Spellings []string
	// Name is the normalised reference; of a short name, one of its candidates.
	Name   string
	Pools  []string
	Change registriesconf.Change
	Before registriesconf.Resolution
	After  registriesconf.Resolution
	// Target is the mirror endpoint of ours that has to hold the image; empty when none of ours
	// serves the reference. MoreTargets are further ones, when the spec names several targets.
	Target      string
	MoreTargets []string
	// OtherMirrors are further mirrors that a node may come to ask, those of other mirror sets
	// included, and that it does not ask today.
	OtherMirrors []string
	// Accepted is the reason of the accepted risk that covers the reference.
	Accepted string
	// OtherKindMirrors are the mirrors that our spec has for the scope, of the kind that does not
	// serve this reference: those of the tag mirrors for a reference by digest.
	OtherKindMirrors []string
	// NeverContactSource is true when the scope that decides has the policy NeverContactSource in
	// our spec.
	NeverContactSource bool
	// ShadowedBy names the object whose scope takes the reference away from its present mirrors.
	ShadowedBy string
}

// Plan is the outcome of Build: the references whose pull changes.
type Plan struct {
	// Digest identifies the mirror sets and the predicted configuration. References come and go
	// without changing it.
	Digest string
	Total  int
	Items  []Item
	// InvalidReferences are references that are no references; no node can pull them, before or
	// after.
	InvalidReferences []string
	Platforms         []string
	VerifyOnly        bool
	// Mirroring is the spec's word on how images are copied and proven.
	Mirroring v1alpha1.MirroringSpec
}

// Build compares, for every reference and every pool, the pull sources before and after.
func Build(in Input) Plan {
	p := Plan{
		Digest: planDigest(in.Spec, in.RegistriesConfs), Platforms: slices.Sorted(slices.Values(in.Platforms)),
		VerifyOnly: in.Spec.Mirroring.Mode == v1alpha1.VerifyOnly, Mirroring: in.Spec.Mirroring,
	}
	items := map[string]*Item{}
	for _, ref := range in.References {
		p.Total++
		for _, pool := range in.Pools {
			if err := addItems(items, in, ref, pool); err != nil && !slices.Contains(p.InvalidReferences, ref.Image) {
				p.InvalidReferences = append(p.InvalidReferences, ref.Image)
			}
		}
	}
	for _, item := range items {
		slices.Sort(item.Spellings)
		p.Items = append(p.Items, *item)
	}
	slices.SortFunc(p.Items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Pools[0], b.Pools[0]))
	})
	return p
}

// addItems resolves one reference for one pool. A short name stands for one candidate per search
// registry, each with mirrors of its own.
func addItems(items map[string]*Item, in Input, ref inventory.Reference, pool PoolConfig) error {
	names := []string{ref.Image}
	var short *registriesconf.ShortNameError
	if _, err := pool.Before.Resolve(ref.Image); errors.As(err, &short) {
		names = pool.Before.Candidates(ref.Image)
	}
	for _, name := range names {
		before, err := pool.Before.Resolve(name)
		if err != nil {
			return err
		}
		after, err := pool.After.Resolve(name)
		if err != nil {
			return err
		}
		if before.Equal(after) {
			continue
		}
		key := before.Reference + "\n" + endpointsText(before) + "\n" + endpointsText(after)
		item, ok := items[key]
		if !ok {
			item = &Item{
				Reference: ref, Name: before.Reference, Change: registriesconf.Compare(before, after), Before: before,
				After:              after,
				Accepted:           acceptedReason(in.Spec, ref.Image, before.Reference),
				ShadowedBy:         registriesconf.ShadowedBy(in.Sets, before, after),
				OtherKindMirrors:   otherKindMirrors(in.Spec, after),
				NeverContactSource: neverContactsSource(in.Spec, after.Scope),
			}
			item.Target, item.MoreTargets = targetsOf(in.Spec, after)
			item.OtherMirrors = otherMirrors(*item)
			items[key] = item
		}
		if !slices.Contains(item.Spellings, ref.Image) {
			item.Spellings = append(item.Spellings, ref.Image)
		}
		if ref.Blocking() && acceptedReason(in.Spec, ref.Image, before.Reference) == "" {
			item.Accepted = "" // two spellings of one image, and only the other one is accepted
		}
		if ref.Blocking() && !item.Reference.Blocking() {
			item.Reference = ref // the owner that matters is the one that can pull now
		}
		if !slices.Contains(item.Pools, pool.Name) {
			item.Pools = append(item.Pools, pool.Name)
		}
	}
	return nil
}

func endpointsText(r registriesconf.Resolution) string {
	parts := []string{r.Err}
	for _, e := range r.Endpoints {
		parts = append(parts, fmt.Sprintf("%s %t %t", e.Reference, e.Blocked, e.Insecure))
	}
	return strings.Join(parts, ",")
}

// otherKindMirrors are the mirrors of the other list of the spec for the scope that decides.
func otherKindMirrors(spec v1alpha1.SafeMirrorRolloutSpec, after registriesconf.Resolution) []string {
	list := spec.ImageDigestMirrors
	if after.ByDigest {
		list = spec.ImageTagMirrors
	}
	for _, m := range list {
		if m.Source == after.Scope {
			return m.Mirrors
		}
	}
	return nil
}

func neverContactsSource(spec v1alpha1.SafeMirrorRolloutSpec, scope string) bool {
	return slices.ContainsFunc(slices.Concat(spec.ImageTagMirrors, spec.ImageDigestMirrors),
		func(m v1alpha1.ImageMirrors) bool {
			return m.Source == scope && m.MirrorSourcePolicy == v1alpha1.NeverContactSource
		})
}

// isWithin tells whether the reference lies in the location: the location itself, or a path, tag or
// digest below it.
func isWithin(reference, location string) bool {
	rest, ok := strings.CutPrefix(reference, location)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], "/:@"))
}

// acceptedReason finds the accepted risk that covers the reference, as it is spelt or normalised.
func acceptedReason(spec v1alpha1.SafeMirrorRolloutSpec, spellings ...string) string {
	for _, risk := range spec.Inventory.AcceptedRisks {
		for _, s := range spellings {
			if matchesPattern(risk.Pattern, s) {
				return risk.Reason
			}
		}
	}
	return ""
}

// matchesPattern compares with * for any characters, slashes included: quay.io/acme/* covers
// quay.io/acme/team/shop:v1.
func matchesPattern(pattern, s string) bool {
	// path.Match stops * at slashes, so both sides are flattened first.
	flat := strings.NewReplacer("/", "\x00", "[", `\[`, "?", `\?`)
	ok, err := path.Match(flat.Replace(pattern), strings.ReplaceAll(s, "/", "\x00"))
	return err == nil && ok
}

// planDigest identifies what would be applied and what the nodes would get from it.
func planDigest(spec v1alpha1.SafeMirrorRolloutSpec, predicted []string) string {
	h := sha256.New()
	for _, list := range [][]v1alpha1.ImageMirrors{spec.ImageDigestMirrors, spec.ImageTagMirrors} {
		for _, m := range list {
			fmt.Fprintf(h, "%q %q %q\n", m.Source, m.Mirrors, m.MirrorSourcePolicy)
		}
		fmt.Fprintln(h, "--")
	}
	for _, p := range predicted {
		fmt.Fprintf(h, "%q\n", p)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
