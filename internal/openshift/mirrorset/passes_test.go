package mirrorset

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// policies are those of the sources of a list, in order.
func policies(list []v1alpha1.ImageMirrors) (out []v1alpha1.MirrorSourcePolicy) {
	for _, m := range list {
		out = append(out, m.MirrorSourcePolicy)
	}
	return out
}

func TestFirstPass(t *testing.T) {
	const never, allow = v1alpha1.NeverContactSource, v1alpha1.AllowContactingSource
	blocked := &v1alpha1.SafeMirrorRollout{}
	blocked.Spec.ImageTagMirrors = []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"old.local/acme"},
		MirrorSourcePolicy: never}}
	before := PreviousOf(nil, ITMS(blocked))
	cases := map[string]struct {
		spec     func(*v1alpha1.SafeMirrorRollout)
		previous Previous
		differs  bool
		want     []v1alpha1.MirrorSourcePolicy
	}{
		"what is blocked is released from the finalizer, what is open stays": {differs: true,
			want: []v1alpha1.MirrorSourcePolicy{allow, ""}},
		"a source that was blocked before stays so": {previous: before,
			want: []v1alpha1.MirrorSourcePolicy{never, ""}},
		"nothing is blocked": {
			spec: func(r *v1alpha1.SafeMirrorRollout) {
				r.Spec.ImageDigestMirrors, r.Spec.ImageTagMirrors = r.Spec.ImageDigestMirrors[1:],
					r.Spec.ImageTagMirrors[1:]
			},
			want: []v1alpha1.MirrorSourcePolicy{""},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := someRollout()
			if c.spec != nil {
				c.spec(r)
			}
			declared := r.DeepCopy()
			first, differs := FirstPass(r, c.previous)
			if differs != c.differs {
				t.Fatalf("differs %t", differs)
			}
			for _, list := range [][]v1alpha1.ImageMirrors{first.Spec.ImageDigestMirrors, first.Spec.ImageTagMirrors} {
				if diff := cmp.Diff(c.want, policies(list)); diff != "" {
					t.Errorf("policies (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(declared, r); diff != "" {
				t.Errorf("the spec itself has changed:\n%s", diff)
			}
		})
	}
}

func TestHashes(t *testing.T) {
	r := someRollout()
	first, _ := FirstPass(r, Previous{})
	if IDMSHash(nil) != "" || ITMSHash(nil) != "" {
		t.Error("none has an identity")
	}
	if IDMSHash(IDMS(r)) == IDMSHash(IDMS(first)) || ITMSHash(ITMS(r)) == ITMSHash(ITMS(first)) ||
		ListsHash(r.Spec) == ListsHash(first.Spec) {
		t.Error("the passes look the same")
	}
	same := r.DeepCopy()
	same.Spec.Release.SoakSeconds = new(int32)
	if ListsHash(same.Spec) != ListsHash(r.Spec) {
		t.Error("other lists for another soak")
	}
}

func TestWithoutConflicts(t *testing.T) {
	first, _ := FirstPass(someRollout(), Previous{})
	sources := func(set *configv1.ImageTagMirrorSet) (out []string) {
		if set == nil {
			return nil
		}
		for _, m := range set.Spec.ImageTagMirrors {
			out = append(out, m.Source)
		}
		return out
	}
	cases := map[string]struct {
		itms *configv1.ImageTagMirrorSet
		idms *configv1.ImageDigestMirrorSet
		want []string
	}{
		"the source that changes goes": {ITMS(first), IDMS(someRollout()), []string{"docker.io/library"}},
		"none changes":                 {ITMS(first), IDMS(first), []string{"quay.io/acme", "docker.io/library"}},
		"no digest mirrors":            {ITMS(first), nil, []string{"quay.io/acme", "docker.io/library"}},
		"no tag mirrors":               {nil, IDMS(first), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, sources(WithoutConflicts(c.itms, c.idms))); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
	single := first.DeepCopy()
	single.Spec.ImageTagMirrors = single.Spec.ImageTagMirrors[:1]
	if got := WithoutConflicts(ITMS(single), IDMS(someRollout())); got != nil {
		t.Errorf("nothing is left, and it is %v", got)
	}
}
