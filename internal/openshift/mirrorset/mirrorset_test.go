package mirrorset

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// someRollout wants a digest and a tag mirror set of two items each.
func someRollout() *v1alpha1.SafeMirrorRollout {
	items := []v1alpha1.ImageMirrors{
		{Source: "quay.io/acme", Mirrors: []string{"mirror.local/acme", "other.local/acme"},
			MirrorSourcePolicy: v1alpha1.NeverContactSource},
		{Source: "docker.io/library", Mirrors: []string{"mirror.local/library"}},
	}
	r := &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "uid-shop"}}
	r.Spec.ImageDigestMirrors, r.Spec.ImageTagMirrors = items, items
	return r
}

func TestMirrorSetsOfSpec(t *testing.T) {
	idms, itms := IDMS(someRollout()), ITMS(someRollout())
	wantMeta := metav1.ObjectMeta{
		Name: "shop", Labels: map[string]string{
			"safemirror.io/rollout": "shop", "app.kubernetes.io/name": "safe-mirror",
			"app.kubernetes.io/instance":   "shop",
			"app.kubernetes.io/managed-by": "safe-mirror-operator", "app.kubernetes.io/part-of": "safe-mirror",
		},
		Annotations: map[string]string{"safemirror.io/rollout-uid": "uid-shop", "safemirror.io/about": about},
	}
	wantIDMS := &configv1.ImageDigestMirrorSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "config.openshift.io/v1", Kind: "ImageDigestMirrorSet"},
		ObjectMeta: wantMeta,
		Spec: configv1.ImageDigestMirrorSetSpec{ImageDigestMirrors: []configv1.ImageDigestMirrors{
			{Source: "quay.io/acme", Mirrors: []configv1.ImageMirror{"mirror.local/acme", "other.local/acme"},
				MirrorSourcePolicy: configv1.NeverContactSource},
			{Source: "docker.io/library", Mirrors: []configv1.ImageMirror{"mirror.local/library"}},
		}},
	}
	wantITMS := &configv1.ImageTagMirrorSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "config.openshift.io/v1", Kind: "ImageTagMirrorSet"},
		ObjectMeta: wantMeta,
		Spec: configv1.ImageTagMirrorSetSpec{ImageTagMirrors: []configv1.ImageTagMirrors{
			{Source: "quay.io/acme", Mirrors: []configv1.ImageMirror{"mirror.local/acme", "other.local/acme"},
				MirrorSourcePolicy: configv1.NeverContactSource},
			{Source: "docker.io/library", Mirrors: []configv1.ImageMirror{"mirror.local/library"}},
		}},
	}
	if diff := cmp.Diff(wantIDMS, idms); diff != "" {
		t.Errorf("digest mirror set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantITMS, itms); diff != "" {
		t.Errorf("tag mirror set (-want +got):\n%s", diff)
	}
	if len(idms.OwnerReferences)+len(itms.OwnerReferences) > 0 {
		t.Error("a foreground deletion of the rollout would take the mirror set first (docs/adr/0005)")
	}
}

func TestSpecWithoutLists(t *testing.T) {
	empty := &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	if d, tg := IDMS(empty), ITMS(empty); d != nil || tg != nil {
		t.Errorf("got %v and %v, want none", d, tg)
	}
}

// What is applied is what is compared: the two forms of one set are the same object.
func TestApplyEqualsSet(t *testing.T) {
	idms, itms := IDMS(someRollout()), ITMS(someRollout())
	same(t, ApplyIDMS(idms), idms, &configv1.ImageDigestMirrorSet{})
	same(t, ApplyITMS(itms), itms, &configv1.ImageTagMirrorSet{})
}

// same reads the apply configuration back as the typed object.
func same(t *testing.T, apply, want, got any) {
	t.Helper()
	text, err := json.Marshal(apply)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%T (-want +got):\n%s", want, diff)
	}
}

// A policy that the user has not given is not applied, so that it is not ours to hold against
// somebody else's default.
func TestOmittedPolicyIsNotApplied(t *testing.T) {
	items := ApplyIDMS(IDMS(someRollout())).Spec.ImageDigestMirrors
	if items[0].MirrorSourcePolicy == nil || items[1].MirrorSourcePolicy != nil {
		t.Errorf("policies %v and %v, want one and none", items[0].MirrorSourcePolicy, items[1].MirrorSourcePolicy)
	}
	tagItems := ApplyITMS(ITMS(someRollout())).Spec.ImageTagMirrors
	if tagItems[0].MirrorSourcePolicy == nil || tagItems[1].MirrorSourcePolicy != nil {
		t.Errorf("policies %v and %v, want one and none", tagItems[0].MirrorSourcePolicy,
			tagItems[1].MirrorSourcePolicy)
	}
}

func TestStates(t *testing.T) {
	// Each change is made to the set in the cluster.
	cases := map[string]struct {
		wanted bool
		idms   func(*configv1.ImageDigestMirrorSet)
		itms   func(*configv1.ImageTagMirrorSet)
		absent bool
		want   rollout.SetState
	}{
		"neither wanted nor there": {absent: true, want: rollout.SetNotWanted},
		"wanted, and not there":    {wanted: true, absent: true, want: rollout.SetMissing},
		"as wanted":                {wanted: true, want: rollout.SetEqual},
		"not wanted any more":      {want: rollout.SetLeftOver},
		"somebody else's": {
			wanted: true,
			idms:   func(s *configv1.ImageDigestMirrorSet) { s.Labels = nil },
			itms:   func(s *configv1.ImageTagMirrorSet) { s.Labels = nil },
			want:   rollout.SetForeign,
		},
		"another rollout's": {
			wanted: true,
			idms:   func(s *configv1.ImageDigestMirrorSet) { s.Labels = map[string]string{LabelRollout: "books"} },
			itms:   func(s *configv1.ImageTagMirrorSet) { s.Labels = map[string]string{LabelRollout: "books"} },
			want:   rollout.SetForeign,
		},
		"somebody else's, and not wanted: it is in nobody's way": {
			idms: func(s *configv1.ImageDigestMirrorSet) { s.Labels = nil },
			itms: func(s *configv1.ImageTagMirrorSet) { s.Labels = nil },
			want: rollout.SetNotWanted,
		},
		"another source": {
			wanted: true,
			idms:   func(s *configv1.ImageDigestMirrorSet) { s.Spec.ImageDigestMirrors[0].Source = "quay.io" },
			itms:   func(s *configv1.ImageTagMirrorSet) { s.Spec.ImageTagMirrors[0].Source = "quay.io" },
			want:   rollout.SetDiffers,
		},
		"mirrors in another order": {
			wanted: true,
			idms: func(s *configv1.ImageDigestMirrorSet) {
				s.Spec.ImageDigestMirrors[0].Mirrors = []configv1.ImageMirror{"other.local/acme", "mirror.local/acme"}
			},
			itms: func(s *configv1.ImageTagMirrorSet) {
				s.Spec.ImageTagMirrors[0].Mirrors = []configv1.ImageMirror{"other.local/acme", "mirror.local/acme"}
			},
			want: rollout.SetDiffers,
		},
		"another policy": {
			wanted: true,
			idms: func(s *configv1.ImageDigestMirrorSet) {
				s.Spec.ImageDigestMirrors[0].MirrorSourcePolicy = configv1.AllowContactingSource
			},
			itms: func(s *configv1.ImageTagMirrorSet) {
				s.Spec.ImageTagMirrors[0].MirrorSourcePolicy = configv1.AllowContactingSource
			},
			want: rollout.SetDiffers,
		},
		"an item less": {
			wanted: true,
			idms:   func(s *configv1.ImageDigestMirrorSet) { s.Spec.ImageDigestMirrors = s.Spec.ImageDigestMirrors[:1] },
			itms:   func(s *configv1.ImageTagMirrorSet) { s.Spec.ImageTagMirrors = s.Spec.ImageTagMirrors[:1] },
			want:   rollout.SetDiffers,
		},
		"other metadata is nobody's business": {
			wanted: true,
			idms: func(s *configv1.ImageDigestMirrorSet) {
				s.Annotations,
					s.Generation = map[string]string{"a": "b"}, 9
			},
			itms: func(s *configv1.ImageTagMirrorSet) {
				s.Annotations,
					s.Generation = map[string]string{"a": "b"}, 9
			},
			want: rollout.SetEqual,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var wantIDMS, haveIDMS *configv1.ImageDigestMirrorSet
			var wantITMS, haveITMS *configv1.ImageTagMirrorSet
			if c.wanted {
				wantIDMS, wantITMS = IDMS(someRollout()), ITMS(someRollout())
			}
			if !c.absent {
				haveIDMS, haveITMS = IDMS(someRollout()), ITMS(someRollout())
			}
			if c.idms != nil {
				c.idms(haveIDMS)
				c.itms(haveITMS)
			}
			if got := IDMSState(wantIDMS, haveIDMS, "shop"); got != c.want {
				t.Errorf("digest mirror set %s, want %s", got, c.want)
			}
			if got := ITMSState(wantITMS, haveITMS, "shop"); got != c.want {
				t.Errorf("tag mirror set %s, want %s", got, c.want)
			}
		})
	}
}
