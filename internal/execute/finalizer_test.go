package execute

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// Another controller's finalizers stay, and one that is as it should be is not written.
func TestFinalizers(t *testing.T) {
	ctx := context.Background()
	cases := map[string]struct {
		have   []string
		action rollout.Action
		want   []string
		writes int
	}{
		"the first": {nil, rollout.EnsureFinalizer{}, []string{rollout.Finalizer}, 1},
		"beside another's": {[]string{"another/finalizer"}, rollout.EnsureFinalizer{},
			[]string{"another/finalizer", rollout.Finalizer}, 1},
		"is there": {[]string{rollout.Finalizer, "another/finalizer"}, rollout.EnsureFinalizer{},
			[]string{rollout.Finalizer, "another/finalizer"}, 0},
		"the last goes": {[]string{rollout.Finalizer}, rollout.RemoveFinalizer{}, nil, 1},
		"goes, and another's stays": {[]string{rollout.Finalizer, "another/finalizer"}, rollout.RemoveFinalizer{},
			[]string{"another/finalizer"}, 1},
		"has gone, another's stays": {[]string{"another/finalizer"}, rollout.RemoveFinalizer{},
			[]string{"another/finalizer"}, 0},
		"has gone, and there is none": {nil, rollout.RemoveFinalizer{}, nil, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			shop := minicluster.Rollout("shop")
			shop.Finalizers = c.have
			s := newSetup(t, append(minicluster.Objects(), shop)...)
			if err := s.Execute(ctx, s.observe(), c.action); err != nil {
				t.Fatal(err)
			}
			if len(*s.writes) != c.writes {
				t.Errorf("wrote %v", *s.writes)
			}
			if diff := cmp.Diff(c.want, s.observe().Rollout.Finalizers); diff != "" {
				t.Errorf("finalizers (-want +got):\n%s", diff)
			}
		})
	}
}

// The list of finalizers is replaced as a whole, so one that was added meanwhile would be lost
// without the resourceVersion.
func TestFinalizerPatchesCarryTheResourceVersion(t *testing.T) {
	for name, action := range map[string]rollout.Action{"ensure": rollout.EnsureFinalizer{},
		"remove": rollout.RemoveFinalizer{}} {
		t.Run(name, func(t *testing.T) {
			shop := minicluster.Rollout("shop")
			if name == "remove" {
				shop.Finalizers = []string{rollout.Finalizer}
			}
			s := newSetup(t, append(minicluster.Objects(), shop)...)
			obs := s.observe()
			editAsUser(s, &v1alpha1.SafeMirrorRollout{}, "shop", func(r *v1alpha1.SafeMirrorRollout) {
				r.Finalizers = append(r.Finalizers, "another/finalizer")
			})
			if err := s.Execute(context.Background(), obs, action); !apierrors.IsConflict(err) {
				t.Errorf("error %v, want a conflict", err)
			}
			if got := s.observe().Rollout.Finalizers; got[len(got)-1] != "another/finalizer" {
				t.Errorf("finalizers %v", got)
			}
		})
	}
}

// A rollout that is gone needs no finalizer taken off.
func TestRemovingFinalizerOfDeletedRollout(t *testing.T) {
	ctx, shop := context.Background(), minicluster.Rollout("shop")
	shop.Finalizers = []string{rollout.Finalizer}
	s := newSetup(t, append(minicluster.Objects(), shop)...)
	obs := s.observe()
	editAsUser(s, &v1alpha1.SafeMirrorRollout{}, "shop", func(r *v1alpha1.SafeMirrorRollout) { r.Finalizers = nil })
	if err := s.Client.Delete(ctx, shop); err != nil {
		t.Fatal(err)
	}
	if err := s.Client.Get(ctx, client.ObjectKey{Name: "shop"},
		&v1alpha1.SafeMirrorRollout{}); !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	if err := s.Execute(ctx, obs, rollout.RemoveFinalizer{}); err != nil {
		t.Errorf("error %v", err)
	}
}
