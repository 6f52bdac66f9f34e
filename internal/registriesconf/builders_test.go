package registriesconf

import (
	"strings"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// base is the registries.conf that the MCO's templates ship.
const base = "unqualified-search-registries = ['registry.access.redhat.com', 'docker.io']\n"

// digest ends a reference by digest, with a separator.
const digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const (
	allow = configv1.AllowContactingSource
	never = configv1.NeverContactSource
)

// item is one source with its mirrors, of any kind of mirror set.
type item struct {
	source  string
	policy  configv1.MirrorSourcePolicy
	mirrors []string
}

// from makes an item without a policy: from("quay.io", "m.local").
func from(source string, mirrors ...string) item { return item{source: source, mirrors: mirrors} }

func (i item) with(policy configv1.MirrorSourcePolicy) item {
	i.policy = policy
	return i
}

func (i item) imageMirrors() (out []configv1.ImageMirror) {
	for _, m := range i.mirrors {
		out = append(out, configv1.ImageMirror(m))
	}
	return out
}

func itms(name string, items ...item) configv1.ImageTagMirrorSet {
	set := configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, i := range items {
		set.Spec.ImageTagMirrors = append(set.Spec.ImageTagMirrors,
			configv1.ImageTagMirrors{Source: i.source, Mirrors: i.imageMirrors(), MirrorSourcePolicy: i.policy})
	}
	return set
}

func idms(name string, items ...item) configv1.ImageDigestMirrorSet {
	set := configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, i := range items {
		set.Spec.ImageDigestMirrors = append(set.Spec.ImageDigestMirrors,
			configv1.ImageDigestMirrors{Source: i.source, Mirrors: i.imageMirrors(), MirrorSourcePolicy: i.policy})
	}
	return set
}

func icsp(name string, items ...item) operatorv1alpha1.ImageContentSourcePolicy {
	set := operatorv1alpha1.ImageContentSourcePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, i := range items {
		set.Spec.RepositoryDigestMirrors = append(set.Spec.RepositoryDigestMirrors,
			operatorv1alpha1.RepositoryDigestMirrors{Source: i.source, Mirrors: i.mirrors})
	}
	return set
}

// union makes Sets of mirror sets of any kind, with an empty images.config/cluster.
func union(sets ...any) Sets {
	s := Sets{Image: &configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}}
	for _, set := range sets {
		switch o := set.(type) {
		case configv1.ImageTagMirrorSet:
			s.ITMSs = append(s.ITMSs, o)
		case configv1.ImageDigestMirrorSet:
			s.IDMSs = append(s.IDMSs, o)
		case operatorv1alpha1.ImageContentSourcePolicy:
			s.ICSPs = append(s.ICSPs, o)
		default:
			panic("union: not a mirror set")
		}
	}
	return s
}

func (s Sets) insecure(scopes ...string) Sets {
	s.Image = s.Image.DeepCopy()
	s.Image.Spec.RegistrySources.InsecureRegistries = scopes
	return s
}

func (s Sets) blocked(scopes ...string) Sets {
	s.Image = s.Image.DeepCopy()
	s.Image.Spec.RegistrySources.BlockedRegistries = scopes
	return s
}

func (s Sets) allowed(scopes ...string) Sets {
	s.Image = s.Image.DeepCopy()
	s.Image.Spec.RegistrySources.AllowedRegistries = scopes
	return s
}

func (s Sets) release(image string) Sets {
	s.ReleaseImage = image
	return s
}

// configOf renders and parses, as a node would see it.
func configOf(t testing.TB, s Sets) Config {
	t.Helper()
	text, err := Render([]byte(base), s)
	if err != nil {
		t.Fatalf("Render: %v", err)
	}
	return parsed(t, string(text))
}

func parsed(t testing.TB, text string) Config {
	t.Helper()
	config, err := Parse([]byte(text), nil)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return config
}

func resolved(t testing.TB, c Config, ref string) Resolution {
	t.Helper()
	r, err := c.Resolve(ref)
	if err != nil {
		t.Fatalf("Resolve(%q): %v", ref, err)
	}
	return r
}

// attempts writes a resolution as the tables do: "m.local/app:v1", "quay.io/app:v1 (B)" for
// blocked, "(I)" for insecure, and one "error: …" when the rewrite fails.
func attempts(r Resolution) []string {
	if r.Err != "" {
		return []string{"error: " + r.Err}
	}
	var out []string
	for _, e := range r.Endpoints {
		text := strings.ReplaceAll(e.Reference, digest, "@d")
		if e.Blocked {
			text += " (B)"
		}
		if e.Insecure {
			text += " (I)"
		}
		out = append(out, text)
	}
	return out
}
