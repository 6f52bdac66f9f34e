package registriesconf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
)

// Kinds of the objects that decide registries.conf, as Problem.Kind and ShadowedBy spell them.
const (
	KindImage          = "Image"
	KindClusterVersion = "ClusterVersion"
	KindICSP           = "ImageContentSourcePolicy"
	KindIDMS           = "ImageDigestMirrorSet"
	KindITMS           = "ImageTagMirrorSet"
)

// Sets is every object of the cluster that decides registries.conf.
//
// The mirror sets of a cluster are one union: the MCO lists them without selector or
// namespace and writes the same result into every pool. So a Sets is always all of them;
// the effect of one mirror set alone is the difference between two Sets.
type Sets struct {
	// Image is images.config/cluster; nil when absent. It is read as if it were empty then,
	// although a cluster without it renders nothing at all: Traps says so.
	Image *configv1.Image
	// ReleaseImage is status.desired.image of clusterversion/version. It protects the release
	// payload from blockedRegistries; empty means not known, and then nothing is protected.
	ReleaseImage string
	ICSPs        []operatorv1alpha1.ImageContentSourcePolicy
	IDMSs        []configv1.ImageDigestMirrorSet
	ITMSs        []configv1.ImageTagMirrorSet
}

// With returns the Sets as they will be once idms and itms are applied: a set of the same
// name is replaced, as an apply would do, any other is added. Either may be nil. The
// receiver is left as it was.
func (s Sets) With(idms *configv1.ImageDigestMirrorSet, itms *configv1.ImageTagMirrorSet) Sets {
	s = s.clone()
	if idms != nil {
		s.IDMSs = slices.DeleteFunc(s.IDMSs, func(o configv1.ImageDigestMirrorSet) bool { return o.Name == idms.Name })
		s.IDMSs = append(s.IDMSs, *idms.DeepCopy())
	}
	if itms != nil {
		s.ITMSs = slices.DeleteFunc(s.ITMSs, func(o configv1.ImageTagMirrorSet) bool { return o.Name == itms.Name })
		s.ITMSs = append(s.ITMSs, *itms.DeepCopy())
	}
	return s
}

// Without returns the Sets as they will be once the named sets are deleted. An empty name
// deletes nothing. The receiver is left as it was.
func (s Sets) Without(idmsName, itmsName string) Sets {
	s = s.clone()
	s.IDMSs = slices.DeleteFunc(s.IDMSs,
		func(o configv1.ImageDigestMirrorSet) bool { return idmsName != "" && o.Name == idmsName })
	s.ITMSs = slices.DeleteFunc(s.ITMSs,
		func(o configv1.ImageTagMirrorSet) bool { return itmsName != "" && o.Name == itmsName })
	return s
}

// clone copies the lists, so that deleting from the copy cannot shift elements of the
// original. The objects in them are shared: nothing in this package writes to one.
func (s Sets) clone() Sets {
	s.ICSPs = slices.Clone(s.ICSPs)
	s.IDMSs = slices.Clone(s.IDMSs)
	s.ITMSs = slices.Clone(s.ITMSs)
	return s
}

// mirrorItem is one (source, mirrors) item of one mirror set: the common shape of the three kinds.
type mirrorItem struct {
	kind, object string
	field        string // of the item, e.g. spec.imageTagMirrors[0]
	source       string
	mirrors      []string
	policy       configv1.MirrorSourcePolicy // never empty
}

// mirrorItems lists every item of every set: digest kinds first, as the MCO renders them, then by
// object name and position. The order of the lists in Sets comes from the API server's
// answer; sorting here is what makes every message of the package reproducible.
func (s Sets) mirrorItems() []mirrorItem {
	var out []mirrorItem
	for _, o := range byName(s.IDMSs, func(o configv1.ImageDigestMirrorSet) string { return o.Name }) {
		for i, m := range o.Spec.ImageDigestMirrors {
			out = append(out, newMirrorItem(KindIDMS, o.Name, fmt.Sprintf("spec.imageDigestMirrors[%d]", i), m.Source,
				m.Mirrors, m.MirrorSourcePolicy))
		}
	}
	for _, o := range byName(s.ICSPs, func(o operatorv1alpha1.ImageContentSourcePolicy) string { return o.Name }) {
		for i, m := range o.Spec.RepositoryDigestMirrors {
			out = append(out, newMirrorItem(KindICSP, o.Name, fmt.Sprintf("spec.repositoryDigestMirrors[%d]", i),
				m.Source, m.Mirrors, ""))
		}
	}
	for _, o := range byName(s.ITMSs, func(o configv1.ImageTagMirrorSet) string { return o.Name }) {
		for i, m := range o.Spec.ImageTagMirrors {
			out = append(out, newMirrorItem(KindITMS, o.Name, fmt.Sprintf("spec.imageTagMirrors[%d]", i), m.Source,
				m.Mirrors, m.MirrorSourcePolicy))
		}
	}
	return out
}

// newMirrorItem fills in the policy that an omitted one means (an ICSP has no such field and
// always means it).
func newMirrorItem[M ~string](kind, object, field, source string, mirrors []M,
	policy configv1.MirrorSourcePolicy) mirrorItem {
	r := mirrorItem{kind: kind, object: object, field: field, source: source, policy: policy}
	if r.policy == "" {
		r.policy = configv1.AllowContactingSource
	}
	for _, m := range mirrors {
		r.mirrors = append(r.mirrors, string(m))
	}
	return r
}

// byTag says which of the two independent lists of a registry entry the rule feeds: the
// mirrors for tags or the mirrors for digests.
func (r mirrorItem) byTag() bool { return r.kind == KindITMS }

// wildcard says whether the source is of the form *.example.com.
func (r mirrorItem) wildcard() bool { return strings.HasPrefix(r.source, "*.") }

// id names the object, e.g. ImageTagMirrorSet/acme.
func (r mirrorItem) id() string { return r.kind + "/" + r.object }

// effective says whether the rule is rendered at all. The MCO drops one whose mirrors are
// missing or only repeat the source, together with its mirrorSourcePolicy
// (runtime-utils mirrorSets.addMirrorSet).
func (r mirrorItem) effective() bool {
	return slices.ContainsFunc(r.mirrors, func(m string) bool { return m != r.source })
}

func byName[T any](objects []T, name func(T) string) []T {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b T) int { return cmp.Compare(name(a), name(b)) })
}

// pointers is the form in which runtime-utils takes objects.
func pointers[T any](objects []T) []*T {
	out := make([]*T, len(objects))
	for i := range objects {
		out[i] = &objects[i]
	}
	return out
}
