package execute

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	configac "github.com/openshift/client-go/config/applyconfigurations/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// lists is what a spec says: the policy of quay.io/acme among the digest mirrors and among the tag mirrors, "-" for no such list.
type lists struct{ digest, tag v1alpha1.MirrorSourcePolicy }

const (
	none  = v1alpha1.MirrorSourcePolicy("-")
	never = v1alpha1.NeverContactSource
	allow = v1alpha1.AllowContactingSource
)

func (l lists) rollout() *v1alpha1.SafeMirrorRollout {
	r := minicluster.Rollout("shop")
	r.Spec.ImageDigestMirrors, r.Spec.ImageTagMirrors = nil, nil
	item := func(policy v1alpha1.MirrorSourcePolicy) []v1alpha1.ImageMirrors {
		return []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"mirror.local/acme"}, MirrorSourcePolicy: policy}}
	}
	if l.digest != none {
		r.Spec.ImageDigestMirrors = item(l.digest)
	}
	if l.tag != none {
		r.Spec.ImageTagMirrors = item(l.tag)
	}
	return r
}

func (l lists) objects() (out []client.Object) {
	if set := mirrorset.Digest(l.rollout()); set != nil {
		out = append(out, set)
	}
	if set := mirrorset.Tag(l.rollout()); set != nil {
		out = append(out, set)
	}
	return out
}

// Digest mirrors are written before tag mirrors, and removed after them: a blocked source is never without the digest mirrors that
// keep its digest pulls alive. And at every moment the MCO would take what is there (I13).
func TestTheOrderOfWrites(t *testing.T) {
	const (
		applyDigest, applyTag   = "apply ImageDigestMirrorSet shop", "apply ImageTagMirrorSet shop"
		deleteDigest, deleteTag = "delete ImageDigestMirrorSet shop", "delete ImageTagMirrorSet shop"
	)
	cases := map[string]struct {
		have, want lists
		writes     []string
	}{
		"both are new":                            {lists{none, none}, lists{never, never}, []string{applyDigest, applyTag}},
		"both are as they shall be":               {lists{never, never}, lists{never, never}, nil},
		"tag mirrors alone":                       {lists{none, none}, lists{none, never}, []string{applyTag}},
		"digest mirrors alone":                    {lists{none, none}, lists{never, none}, []string{applyDigest}},
		"digest mirrors are added":                {lists{none, never}, lists{never, never}, []string{applyDigest}},
		"tag mirrors are added":                   {lists{never, none}, lists{never, never}, []string{applyTag}},
		"tag mirrors go":                          {lists{never, never}, lists{never, none}, []string{deleteTag}},
		"digest mirrors go":                       {lists{never, never}, lists{none, never}, []string{deleteDigest}},
		"tag mirrors become digest mirrors":       {lists{none, never}, lists{never, none}, []string{applyDigest, deleteTag}},
		"digest mirrors become tag mirrors":       {lists{never, none}, lists{none, never}, []string{applyTag, deleteDigest}},
		"the source is freed in both":             {lists{never, never}, lists{allow, allow}, []string{deleteTag, applyDigest, applyTag}},
		"the source is blocked in both":           {lists{allow, allow}, lists{never, never}, []string{deleteTag, applyDigest, applyTag}},
		"freed, and the tag mirrors go":           {lists{never, never}, lists{allow, none}, []string{deleteTag, applyDigest}},
		"freed, and the digest mirrors go":        {lists{never, never}, lists{none, allow}, []string{deleteTag, deleteDigest, applyTag}},
		"freed, and digest mirrors are added":     {lists{none, never}, lists{allow, allow}, []string{deleteTag, applyDigest, applyTag}},
		"freed, and tag become digest mirrors":    {lists{none, never}, lists{allow, none}, []string{deleteTag, applyDigest}},
		"freed, and digest become tag mirrors":    {lists{never, none}, lists{none, allow}, []string{deleteDigest, applyTag}},
		"an omitted policy is no other":           {lists{"", ""}, lists{allow, allow}, []string{applyDigest, applyTag}},
		"died after the digest mirrors":           {lists{never, none}, lists{never, never}, []string{applyTag}},
		"died after the tag mirrors were removed": {lists{never, none}, lists{allow, allow}, []string{applyDigest, applyTag}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := build(t, append(append(minicluster.Objects(), c.want.rollout()), c.have.objects()...)...)
			w := s.look()
			s.after = func() { s.valid() }
			if err := s.applyMirrorSets(context.Background(), w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.writes, *s.writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			sets, _ := s.look().Observed.Sets.Get()
			want := rollout.MirrorSets{Digest: settled(c.want.digest), Tag: settled(c.want.tag)}
			if diff := cmp.Diff(want, rollout.MirrorSets{Digest: sets.Digest, Tag: sets.Tag}); diff != "" {
				t.Errorf("sets (-want +got):\n%s", diff)
			}
		})
	}
}

func settled(policy v1alpha1.MirrorSourcePolicy) rollout.SetState {
	if policy == none {
		return rollout.SetNotWanted
	}
	return rollout.SetEqual
}

// valid looks at all mirror sets of the cluster as the MCO does.
func (s *site) valid() {
	s.t.Helper()
	var digest configv1.ImageDigestMirrorSetList
	var tag configv1.ImageTagMirrorSetList
	for _, list := range []client.ObjectList{&digest, &tag} {
		if err := s.Client.List(context.Background(), list); err != nil {
			s.t.Fatal(err)
		}
	}
	if problems := registries.Validate(registries.Sets{IDMSs: digest.Items, ITMSs: tag.Items}); len(problems) > 0 {
		s.t.Errorf("after %v: %v", *s.writes, problems)
	}
}

// A set of somebody else that happens to have our name, of a kind that we do not want, is nobody's business.
func TestSetsOfOthersStay(t *testing.T) {
	foreign := &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: configv1.ImageTagMirrorSetSpec{
		ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "ghcr.io", Mirrors: []configv1.ImageMirror{"mirror.local/ghcr"}}},
	}}
	s := build(t, append(minicluster.Objects(), lists{never, none}.rollout(), foreign)...)
	if err := s.applyMirrorSets(context.Background(), s.look()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"apply ImageDigestMirrorSet shop"}, *s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func TestUnknownSetsAreNotWritten(t *testing.T) {
	w := &observe.World{}
	w.Observed.Sets = rollout.Unseen[rollout.MirrorSets]("connection refused")
	err := (&Executor{}).applyMirrorSets(context.Background(), w)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Why != "connection refused" {
		t.Errorf("error %v", err)
	}
}

// The first write that fails ends it: what comes after relies on it.
func TestFailedWrites(t *testing.T) {
	cases := map[string]struct {
		have, want lists
		failing    string
		err        string
	}{
		"digest mirrors":         {lists{none, none}, lists{never, never}, "ImageDigestMirrorSet", "applying ImageDigestMirrorSet shop: connection refused"},
		"tag mirrors":            {lists{none, none}, lists{none, never}, "ImageTagMirrorSet", "applying ImageTagMirrorSet shop: connection refused"},
		"old digest mirrors":     {lists{never, never}, lists{none, never}, "ImageDigestMirrorSet", "deleting ImageDigestMirrorSet shop: connection refused"},
		"old tag mirrors":        {lists{never, never}, lists{never, none}, "ImageTagMirrorSet", "deleting ImageTagMirrorSet shop: connection refused"},
		"replaced tag mirrors":   {lists{never, never}, lists{allow, allow}, "ImageTagMirrorSet", "deleting ImageTagMirrorSet shop: connection refused"},
		"new digest mirrors":     {lists{never, never}, lists{allow, allow}, "ImageDigestMirrorSet", "applying ImageDigestMirrorSet shop: connection refused"},
		"left-over digest first": {lists{never, never}, lists{none, allow}, "ImageDigestMirrorSet", "deleting ImageDigestMirrorSet shop: connection refused"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := build(t, append(append(minicluster.Objects(), c.want.rollout()), c.have.objects()...)...)
			w := s.look()
			s.Client = interceptor.NewClient(minicluster.Client(interceptor.Funcs{}, c.have.objects()...), refusing(c.failing))
			if err := s.applyMirrorSets(context.Background(), w); !errors.Is(err, errDown) || err.Error() != c.err {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// refusing refuses the writes of mirror sets of that kind.
func refusing(kind string) interceptor.Funcs {
	digest := kind == "ImageDigestMirrorSet"
	return interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, what runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if _, is := what.(*configac.ImageDigestMirrorSetApplyConfiguration); is == digest {
				return errDown
			}
			return c.Apply(ctx, what, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if _, is := o.(*configv1.ImageDigestMirrorSet); is == digest {
				return errDown
			}
			return c.Delete(ctx, o, opts...)
		},
	}
}
