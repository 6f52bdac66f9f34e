package execute

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	opv1 "github.com/openshift/api/operator/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/disruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// switching is a rollout that is about to block quay.io/acme, which it has mirrored so far with the source as a fallback; ghcr.io stays as it
// is. Both sets have to change. The intent is on record, and the user holds the rollout, which had begun to write before.
func switching(t *testing.T) *site {
	t.Helper()
	was, shall := lists{allow, allow}.rollout(), lists{never, never}.rollout()
	other := v1alpha1.ImageMirrors{Source: "ghcr.io", Mirrors: []string{"mirror.local/ghcr"}}
	for _, r := range []*v1alpha1.SafeMirrorRollout{was, shall} {
		r.Spec.ImageTagMirrors = append(r.Spec.ImageTagMirrors, other)
	}
	shall.Spec.State, shall.Finalizers = v1alpha1.StateHeld, []string{rollout.Finalizer}
	began := metav1.NewTime(minicluster.Began)
	shall.Status.Record = v1alpha1.Record{StartedAt: &began, AppliedPlanHash: "sha256:of-then", PendingWrite: &v1alpha1.PendingWriteRecord{
		DigestMirrorsHash: mirrorset.DigestIdentity(mirrorset.Digest(was)), TagMirrorsHash: mirrorset.TagIdentity(mirrorset.Tag(was)),
		TargetHash: mirrorset.DigestIdentity(mirrorset.Digest(shall)) + "+" + mirrorset.TagIdentity(mirrorset.Tag(shall)),
	}}
	objects := append(minicluster.Objects("worker-0"), shall, mirrorset.Digest(was), mirrorset.Tag(was))
	s := build(t, paused(objects, someLedger())...)
	s.after = func() { s.valid() }
	return s
}

// Wherever the operator dies between the writes, the MCO would take what is there at every moment. From the moment on at which the source
// is blocked and has mirrors of one kind only, the next thing that happens is the rest of the writes: whatever holds the rollout, and
// although nothing is proven any more in the memory of the one that comes after (I13).
func TestDyingBetweenTheWrites(t *testing.T) {
	writes := []string{"apply ImageTagMirrorSet shop", "apply ImageDigestMirrorSet shop", "apply ImageTagMirrorSet shop"}
	t.Run("the whole way", func(t *testing.T) {
		s := switching(t)
		if err := s.applyMirrorSets(context.Background(), s.look()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(writes, *s.writes); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
	for dies, finishes := range map[int]bool{1: false, 2: true, 3: false} {
		t.Run(fmt.Sprintf("after %d writes", dies), func(t *testing.T) {
			ctx, s := context.Background(), switching(t)
			w := s.look()
			s.dies = dies
			if err := s.applyMirrorSets(ctx, w); (err != nil) != (dies < len(writes)) {
				t.Fatalf("error %v", err)
			}
			s.dies = 0
			w = s.look()
			d := rollout.Decide(w.Observed)
			if !finishes {
				for _, a := range d.Actions {
					if a.Disruptive() {
						t.Errorf("does %s, and is held", a.Key())
					}
				}
				return
			}
			if diff := cmp.Diff([]rollout.Action{rollout.FinishMirrorSets{}}, d.Actions); diff != "" {
				t.Fatalf("actions (-want +got):\n%s\n%s", diff, d.Why)
			}
			if err := s.Execute(ctx, w, d.Actions[0]); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(writes[dies:], *s.writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			sets, _ := s.look().Observed.Sets.Get()
			if sets.Digest != rollout.SetEqual || sets.Tag != rollout.SetEqual {
				t.Errorf("sets %+v", sets)
			}
		})
	}
}

// What goes together with the new digest mirrors is never without its tag mirrors.
func TestOtherSourcesKeepTheirMirrors(t *testing.T) {
	s := switching(t)
	s.after = func() {
		tag := &configv1.ImageTagMirrorSet{}
		if err := s.Client.Get(context.Background(), client.ObjectKey{Name: "shop"}, tag); err != nil {
			t.Fatalf("after %v: %v", *s.writes, err)
		}
		if last := tag.Spec.ImageTagMirrors[len(tag.Spec.ImageTagMirrors)-1]; last.Source != "ghcr.io" {
			t.Errorf("after %v the last source is %s", *s.writes, last.Source)
		}
	}
	if err := s.applyMirrorSets(context.Background(), s.look()); err != nil {
		t.Fatal(err)
	}
	s.after, s.dies = nil, 0
	s = switching(t)
	w := s.look()
	s.Client = failingWrites{s.Client}
	if err := s.applyMirrorSets(context.Background(), w); err == nil || err.Error() != "taking sources out of ImageTagMirrorSet shop: connection refused" {
		t.Errorf("error %v", err)
	}
}

type (
	failingWrites struct{ client.Client }
	applied       = runtime.ApplyConfiguration
)

func (failingWrites) Apply(context.Context, applied, ...client.ApplyOption) error { return errDown }

// The policy is written and given back on what the API server has now.
func TestPolicyActions(t *testing.T) {
	ctx := context.Background()
	shop := minicluster.Rollout("shop")
	shop.Spec.Release.Disruption = v1alpha1.DisruptionReload
	mc := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: disruption.Name}}
	mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files = []opv1.NodeDisruptionPolicyStatusFile{{
		Path: "/etc/containers/registries.conf", Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.SpecialStatusAction}}}}
	s := build(t, append(minicluster.Objects("worker-0"), shop, mc)...)
	files := func() int {
		have := &opv1.MachineConfiguration{}
		if err := s.Client.Get(ctx, client.ObjectKey{Name: disruption.Name}, have); err != nil {
			t.Fatal(err)
		}
		return len(have.Spec.NodeDisruptionPolicy.Files)
	}
	ledger := rollout.PolicyLedger{Rollout: "shop", Since: minicluster.Began}
	w := s.look()
	if err := s.onPolicy(ctx, "ensure-policy", func(mc *opv1.MachineConfiguration) error { return disruption.Ensure(ctx, s.Client, mc, ledger) }); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.look().Observed.Policy.Get(); !p.Ours || p.Ledger == nil || files() != 1 {
		t.Errorf("policy %+v", p)
	}
	// On a fresh look nobody asks for it, and nothing is written.
	var refused *Refused
	if err := s.Execute(ctx, w, rollout.EnsurePolicy{Ledger: ledger}); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	ledger.Rollout = "books"
	if err := s.onPolicy(ctx, "ensure-policy", func(mc *opv1.MachineConfiguration) error { return disruption.Ensure(ctx, s.Client, mc, ledger) }); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	s.API = minicluster.Client(s.recording())
	if err := s.onPolicy(ctx, "restore-policy", nil); err == nil {
		t.Error("an object that is gone is changed")
	}
}
