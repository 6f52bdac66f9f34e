//go:build lab

package rendering

import (
	"fmt"
	"math/rand/v2"
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

const (
	allow = configv1.AllowContactingSource
	never = configv1.NeverContactSource
)

// The names are few and alike, so that sources nest and coincide, mirrors lie below sources, and
// lists contradict each other in their order.
var (
	sources = []string{
		"quay.io", "quay.io/acme", "quay.io/acme", "quay.io/acme/app", "quay.io/acme/app", "quay.io/acme-x",
		"docker.io", "docker.io/library",
		"quay.io/openshift-release-dev", "quay.io/openshift-release-dev/ocp-release", "reg.example.com:5000",
		"reg.example.com:5000/x",
		"a.example.com", "a.example.com/team", "b.a.example.com/x", "*.example.com", "*.a.example.com", "*.io",
	}
	mirrors = []string{
		"aaa.local", "m1.local/acme", "m2.local:5000/x", "zzz.local", "m1.local", "quay.io/cache",
		"a.example.com/mirror", "docker.io/foo",
		"quay.io/acme/app",
	}
	scopes = append([]string{
		"m1.local", "*.local", "m2.local:5000", "c.test", "c.test/d", "*.test",
		// Below sources, and without mirrors of their own: they inherit.
		"quay.io/acme/app/deep", "quay.io/acme/app/deep", "quay.io/acme/other", "quay.io/other",
		"docker.io/library/nginx",
		"docker.io/library/nginx", "reg.example.com:5000/x/y", "a.example.com/team/x",
	}, sources...)
	// The lab's release payload and what is above it: the controller protects it from being
	// blocked, unless there is a mirror.
	payload = []string{"quay.io", "quay.io/openshift-release-dev", "quay.io/openshift-release-dev/ocp-release"}
	// What no list accepts, and what only the oldest kind and image.config let a user write.
	malformed       = []string{"quay.io/Acme", "m1.local/app:v1", "https://m1.local", "*.m1.local/x", "m1.local/"}
	malformedScopes = []string{"*.c.test/d", "c.*.test", "*", "*.c.test:5000"}
)

// randomMirrorSets makes the union of a seed. It is not always one that the API server accepts.
func randomMirrorSets(seed uint64) []client.Object {
	d := generator{rand.New(rand.NewPCG(seed, 2026)), map[string]configv1.MirrorSourcePolicy{}}
	var out []client.Object
	for i := range 1 + d.IntN(6) {
		out = append(out, d.set(fmt.Sprintf("set-%d", i)))
	}
	if d.oneIn(2) {
		out = slices.Insert(out, d.IntN(len(out)+1), client.Object(d.image(seed)))
	}
	return out
}

type generator struct {
	*rand.Rand
	policies map[string]configv1.MirrorSourcePolicy // one per source, from which few items deviate
}

// oneIn is true once in n times.
func (d generator) oneIn(n int) bool { return d.IntN(n) == 0 }

func (d generator) pick(from []string) string { return from[d.IntN(len(from))] }

// some picks up to n.
func (d generator) some(from []string, n int) (out []string) {
	for range d.IntN(n + 1) {
		out = append(out, d.pick(from))
	}
	return out
}

func (d generator) set(name string) client.Object {
	meta := metav1.ObjectMeta{Name: name}
	items := 1 + d.IntN(3)
	switch d.IntN(7) {
	case 0:
		set := &operatorv1alpha1.ImageContentSourcePolicy{ObjectMeta: meta}
		for range items {
			set.Spec.RepositoryDigestMirrors = append(set.Spec.RepositoryDigestMirrors, d.oldItem())
		}
		return set
	case 1, 2, 3:
		set := &configv1.ImageDigestMirrorSet{ObjectMeta: meta}
		for range items {
			source, mirrors, policy := d.item()
			set.Spec.ImageDigestMirrors = append(set.Spec.ImageDigestMirrors,
				configv1.ImageDigestMirrors{Source: source, Mirrors: mirrors, MirrorSourcePolicy: policy})
		}
		return set
	default:
		set := &configv1.ImageTagMirrorSet{ObjectMeta: meta}
		for range items {
			source, mirrors, policy := d.item()
			set.Spec.ImageTagMirrors = append(set.Spec.ImageTagMirrors,
				configv1.ImageTagMirrors{Source: source, Mirrors: mirrors, MirrorSourcePolicy: policy})
		}
		return set
	}
}

func (d generator) item() (string, []configv1.ImageMirror, configv1.MirrorSourcePolicy) {
	source := d.pick(sources)
	policy := d.policy(source)
	if d.oneIn(30) { // a contradiction, if there is another item for the source
		policy = never
	}
	if policy == allow && d.oneIn(2) {
		policy = "" // means the same
	}
	var out []configv1.ImageMirror
	for _, m := range d.mirrorsOf(source, policy) {
		out = append(out, configv1.ImageMirror(m))
	}
	return source, out, policy
}

// oldItem is for ImageContentSourcePolicies, which know no policy and whose schema accepts any text
// as a name.
func (d generator) oldItem() operatorv1alpha1.RepositoryDigestMirrors {
	source := d.pick(sources)
	for d.policy(source) == never && !d.oneIn(10) {
		source = d.pick(sources)
	}
	mirrors := d.mirrorsOf(source, allow)
	if d.oneIn(20) {
		mirrors = append(mirrors, d.pick(malformed))
	}
	if d.oneIn(20) {
		source = d.pick(malformed)
	}
	return operatorv1alpha1.RepositoryDigestMirrors{Source: source, Mirrors: mirrors}
}

func (d generator) policy(source string) configv1.MirrorSourcePolicy {
	if _, ok := d.policies[source]; !ok {
		d.policies[source] = allow
		if d.oneIn(4) {
			d.policies[source] = never
		}
	}
	return d.policies[source]
}

// mirrorsOf draws up to four mirrors. The source may be among them or be the only one, which makes
// a set that is ignored.
func (d generator) mirrorsOf(source string, policy configv1.MirrorSourcePolicy) []string {
	var out []string
	from := mirrors
	if d.oneIn(2) {
		from = mirrors[:4] // two sets for a source then often have mirrors in common, and in different order
	}
	for _, i := range d.Perm(len(from))[:d.IntN(5)] {
		out = append(out, from[i])
	}
	if d.oneIn(12) {
		out = nil
	}
	if d.oneIn(map[configv1.MirrorSourcePolicy]int{allow: 8, "": 8, never: 30}[policy]) {
		out = slices.Insert(out, d.IntN(len(out)+1), source)
	}
	return out
}

// image is image.config. A list that is there but empty is not the same as none.
func (d generator) image(seed uint64) *configv1.Image {
	image := newImage()
	lists := &image.Spec.RegistrySources
	if d.oneIn(2) {
		lists.InsecureRegistries = d.scopes(seed)
	}
	switch d.IntN(4) {
	case 0:
		lists.BlockedRegistries = d.scopes(seed)
	case 1:
		lists.BlockedRegistries = append(d.some(payload, 3), d.scopes(seed)...)
	case 2:
		lists.AllowedRegistries = d.scopes(seed)
	}
	return image
}

// scopes ends with one that no other seed has: where it is rendered, the controller has seen this
// image.config and not another.
func (d generator) scopes(seed uint64) []string {
	if d.oneIn(12) {
		return []string{}
	}
	out := d.some(scopes, 3)
	if d.oneIn(20) {
		out = append(out, d.pick(malformedScopes))
	}
	return append(out, fmt.Sprintf("scope-%d.invalid", seed))
}

// markers are sets of every kind that no other union has. The controller watches each kind on its
// own, in no common order; what it renders with all markers in it, it has rendered from all that
// was written before them.
func markers(seed uint64, phase string) []client.Object {
	source := func(kind string) string { return fmt.Sprintf("%s-%d%s.invalid", kind, seed, phase) }
	to := []configv1.ImageMirror{"marker.invalid"}
	meta := metav1.ObjectMeta{Name: "marker"}
	return []client.Object{
		&operatorv1alpha1.ImageContentSourcePolicy{ObjectMeta: meta,
			Spec: operatorv1alpha1.ImageContentSourcePolicySpec{
				RepositoryDigestMirrors: []operatorv1alpha1.RepositoryDigestMirrors{{Source: source("icsp"),
					Mirrors: []string{"marker.invalid"}}},
			}},
		&configv1.ImageDigestMirrorSet{ObjectMeta: meta, Spec: configv1.ImageDigestMirrorSetSpec{
			ImageDigestMirrors: []configv1.ImageDigestMirrors{{Source: source("idms"), Mirrors: to}},
		}},
		&configv1.ImageTagMirrorSet{ObjectMeta: meta, Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: source("itms"), Mirrors: to}},
		}},
	}
}

func newImage() *configv1.Image {
	return &configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
}

// asSets is the union as the operator sees it.
func asSets(union []client.Object, release string) registriesconf.Sets {
	s := registriesconf.Sets{Image: newImage(), ReleaseImage: release}
	for _, object := range union {
		switch o := object.(type) {
		case *configv1.Image:
			s.Image = o
		case *operatorv1alpha1.ImageContentSourcePolicy:
			s.ICSPs = append(s.ICSPs, *o)
		case *configv1.ImageDigestMirrorSet:
			s.IDMSs = append(s.IDMSs, *o)
		case *configv1.ImageTagMirrorSet:
			s.ITMSs = append(s.ITMSs, *o)
		}
	}
	return s
}
