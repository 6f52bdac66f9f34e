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
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// sourcePolicies is what a spec says: the policy of quay.io/acme among the digest mirrors and among
// the tag mirrors, "-" for no such list.
type sourcePolicies struct{ idms, itms v1alpha1.MirrorSourcePolicy }

const (
	none  = v1alpha1.MirrorSourcePolicy("-")
	never = v1alpha1.NeverContactSource
	allow = v1alpha1.AllowContactingSource
)

func (l sourcePolicies) rollout() *v1alpha1.SafeMirrorRollout {
	r := minicluster.Rollout("shop")
	r.Spec.ImageDigestMirrors, r.Spec.ImageTagMirrors = nil, nil
	item := func(policy v1alpha1.MirrorSourcePolicy) []v1alpha1.ImageMirrors {
		return []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"mirror.local/acme"},
			MirrorSourcePolicy: policy}}
	}
	if l.idms != none {
		r.Spec.ImageDigestMirrors = item(l.idms)
	}
	if l.itms != none {
		r.Spec.ImageTagMirrors = item(l.itms)
	}
	return r
}

func (l sourcePolicies) objects() (out []client.Object) {
	if set := mirrorset.IDMS(l.rollout()); set != nil {
		out = append(out, set)
	}
	if set := mirrorset.ITMS(l.rollout()); set != nil {
		out = append(out, set)
	}
	return out
}

// Digest mirrors are written before tag mirrors, and removed after them: a blocked source is never
// without the digest mirrors that keep its digest pulls alive. And at every moment the MCO would
// take what is there (I13).
func TestWriteOrder(t *testing.T) {
	const (
		applyIDMS, applyITMS   = "apply ImageDigestMirrorSet shop", "apply ImageTagMirrorSet shop"
		deleteIDMS, deleteITMS = "delete ImageDigestMirrorSet shop", "delete ImageTagMirrorSet shop"
	)
	cases := map[string]struct {
		have, want sourcePolicies
		writes     []string
	}{
		"both are new": {sourcePolicies{none, none}, sourcePolicies{never, never},
			[]string{applyIDMS, applyITMS}},
		"both are as they are to be": {sourcePolicies{never, never}, sourcePolicies{never, never}, nil},
		"tag mirrors alone": {sourcePolicies{none, none}, sourcePolicies{none, never},
			[]string{applyITMS}},
		"digest mirrors alone": {sourcePolicies{none, none}, sourcePolicies{never, none},
			[]string{applyIDMS}},
		"digest mirrors are added": {sourcePolicies{none, never}, sourcePolicies{never, never},
			[]string{applyIDMS}},
		"tag mirrors are added": {sourcePolicies{never, none}, sourcePolicies{never, never},
			[]string{applyITMS}},
		"tag mirrors go": {sourcePolicies{never, never}, sourcePolicies{never, none},
			[]string{deleteITMS}},
		"digest mirrors go": {sourcePolicies{never, never}, sourcePolicies{none, never},
			[]string{deleteIDMS}},
		"tag mirrors become digest mirrors": {sourcePolicies{none, never}, sourcePolicies{never, none},
			[]string{applyIDMS, deleteITMS}},
		"digest mirrors become tag mirrors": {sourcePolicies{never, none}, sourcePolicies{none, never},
			[]string{applyITMS, deleteIDMS}},
		"the source is freed in both": {sourcePolicies{never, never}, sourcePolicies{allow, allow},
			[]string{deleteITMS, applyIDMS, applyITMS}},
		"the source is blocked in both": {sourcePolicies{allow, allow}, sourcePolicies{never, never},
			[]string{deleteITMS, applyIDMS, applyITMS}},
		"freed, and the tag mirrors go": {sourcePolicies{never, never}, sourcePolicies{allow, none},
			[]string{deleteITMS, applyIDMS}},
		"freed, and the digest mirrors go": {sourcePolicies{never, never}, sourcePolicies{none, allow},
			[]string{deleteITMS, deleteIDMS, applyITMS}},
		"freed, and digest mirrors are added": {sourcePolicies{none, never}, sourcePolicies{allow, allow},
			[]string{deleteITMS, applyIDMS, applyITMS}},
		"freed, and tag become digest mirrors": {sourcePolicies{none, never}, sourcePolicies{allow, none},
			[]string{deleteITMS, applyIDMS}},
		"freed, and digest become tag mirrors": {sourcePolicies{never, none}, sourcePolicies{none, allow},
			[]string{deleteIDMS, applyITMS}},
		"an omitted policy is no other": {sourcePolicies{"", ""}, sourcePolicies{allow, allow},
			[]string{applyIDMS, applyITMS}},
		"died after the digest mirrors": {sourcePolicies{never, none}, sourcePolicies{never, never},
			[]string{applyITMS}},
		"died after the tag mirrors were removed": {sourcePolicies{never, none}, sourcePolicies{allow, allow},
			[]string{applyIDMS, applyITMS}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, append(append(minicluster.Objects(), c.want.rollout()), c.have.objects()...)...)
			obs := s.observe()
			s.afterWrite = func() { s.checkUnion() }
			if err := s.applyMirrorSets(context.Background(), obs); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.writes, *s.writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			sets, _ := s.observe().Observed.Sets.Get()
			want := rollout.MirrorSets{IDMS: expectedState(c.want.idms), ITMS: expectedState(c.want.itms)}
			if diff := cmp.Diff(want, rollout.MirrorSets{IDMS: sets.IDMS, ITMS: sets.ITMS}); diff != "" {
				t.Errorf("sets (-want +got):\n%s", diff)
			}
		})
	}
}

func expectedState(policy v1alpha1.MirrorSourcePolicy) rollout.SetState {
	if policy == none {
		return rollout.SetNotWanted
	}
	return rollout.SetEqual
}

// checkUnion looks at all mirror sets of the cluster as the MCO does.
func (s *setup) checkUnion() {
	s.t.Helper()
	var idms configv1.ImageDigestMirrorSetList
	var itms configv1.ImageTagMirrorSetList
	for _, list := range []client.ObjectList{&idms, &itms} {
		if err := s.Client.List(context.Background(), list); err != nil {
			s.t.Fatal(err)
		}
	}
	if problems := registriesconf.Validate(registriesconf.Sets{IDMSs: idms.Items,
		ITMSs: itms.Items}); len(problems) > 0 {
		s.t.Errorf("after %v: %v", *s.writes, problems)
	}
}

// A set of somebody else that happens to have our name, of a kind that we do not want, is nobody's
// business.
func TestForeignSetsStay(t *testing.T) {
	foreign := &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "shop"},
		Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "ghcr.io",
				Mirrors: []configv1.ImageMirror{"mirror.local/ghcr"}}},
		}}
	s := newSetup(t, append(minicluster.Objects(), sourcePolicies{never, none}.rollout(), foreign)...)
	if err := s.applyMirrorSets(context.Background(), s.observe()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"apply ImageDigestMirrorSet shop"}, *s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func TestUnknownSetsAreNotWritten(t *testing.T) {
	obs := &observe.Observation{}
	obs.Observed.Sets = rollout.Unknown[rollout.MirrorSets]("connection refused")
	err := (&Executor{}).applyMirrorSets(context.Background(), obs)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Why != "connection refused" {
		t.Errorf("error %v", err)
	}
}

// The first write that fails ends it: what comes after relies on it.
func TestFailedWrites(t *testing.T) {
	cases := map[string]struct {
		have, want sourcePolicies
		failing    string
		err        string
	}{
		"digest mirrors": {sourcePolicies{none, none}, sourcePolicies{never, never}, "ImageDigestMirrorSet",
			"applying ImageDigestMirrorSet shop: connection refused"},
		"tag mirrors": {sourcePolicies{none, none}, sourcePolicies{none, never}, "ImageTagMirrorSet",
			"applying ImageTagMirrorSet shop: connection refused"},
		"old digest mirrors": {sourcePolicies{never, never}, sourcePolicies{none, never}, "ImageDigestMirrorSet",
			"deleting ImageDigestMirrorSet shop: connection refused"},
		"old tag mirrors": {sourcePolicies{never, never}, sourcePolicies{never, none}, "ImageTagMirrorSet",
			"deleting ImageTagMirrorSet shop: connection refused"},
		"replaced tag mirrors": {sourcePolicies{never, never}, sourcePolicies{allow, allow}, "ImageTagMirrorSet",
			"deleting ImageTagMirrorSet shop: connection refused"},
		"new digest mirrors": {sourcePolicies{never, never}, sourcePolicies{allow, allow}, "ImageDigestMirrorSet",
			"applying ImageDigestMirrorSet shop: connection refused"},
		"left-over digest first": {sourcePolicies{never, never}, sourcePolicies{none, allow}, "ImageDigestMirrorSet",
			"deleting ImageDigestMirrorSet shop: connection refused"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, append(append(minicluster.Objects(), c.want.rollout()), c.have.objects()...)...)
			obs := s.observe()
			s.Client = interceptor.NewClient(minicluster.Client(interceptor.Funcs{}, c.have.objects()...),
				refusing(c.failing))
			if err := s.applyMirrorSets(context.Background(), obs); !errors.Is(err, errDown) || err.Error() != c.err {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// refusing refuses the writes of mirror sets of that kind.
func refusing(kind string) interceptor.Funcs {
	idms := kind == "ImageDigestMirrorSet"
	return interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, what runtime.ApplyConfiguration,
			opts ...client.ApplyOption) error {
			if _, is := what.(*configac.ImageDigestMirrorSetApplyConfiguration); is == idms {
				return errDown
			}
			return c.Apply(ctx, what, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if _, is := o.(*configv1.ImageDigestMirrorSet); is == idms {
				return errDown
			}
			return c.Delete(ctx, o, opts...)
		},
	}
}
