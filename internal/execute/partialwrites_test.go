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
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// switchingSetup is a rollout that is about to block quay.io/acme, which it has mirrored so far
// with the source as a fallback; ghcr.io stays as it is. Both sets have to change. The intent is on
// record, and the user holds the rollout, which had begun to write before.
func switchingSetup(t *testing.T) *setup {
	t.Helper()
	before, after := sourcePolicies{allow, allow}.rollout(), sourcePolicies{never, never}.rollout()
	other := v1alpha1.ImageMirrors{Source: "ghcr.io", Mirrors: []string{"mirror.local/ghcr"}}
	for _, r := range []*v1alpha1.SafeMirrorRollout{before, after} {
		r.Spec.ImageTagMirrors = append(r.Spec.ImageTagMirrors, other)
	}
	after.Spec.State, after.Finalizers = v1alpha1.StateHeld, []string{rollout.Finalizer}
	began := metav1.NewTime(minicluster.StartTime)
	after.Status.Record = v1alpha1.Record{StartedAt: &began, AppliedPlanHash: "sha256:of-then",
		PendingWrite: &v1alpha1.PendingWriteRecord{
			DigestMirrorsHash: mirrorset.IDMSHash(mirrorset.IDMS(before)),
			TagMirrorsHash:    mirrorset.ITMSHash(mirrorset.ITMS(before)),
			TargetHash: mirrorset.IDMSHash(mirrorset.IDMS(after)) + "+" +
				mirrorset.ITMSHash(mirrorset.ITMS(after)),
		}}
	objects := append(minicluster.Objects("worker-0"), after, mirrorset.IDMS(before), mirrorset.ITMS(before))
	s := newSetup(t, pausedPool(objects, somePauseRecord())...)
	s.afterWrite = func() { s.checkUnion() }
	return s
}

// Wherever the operator dies between the writes, the MCO would take what is there at every moment.
// From the moment on at which the source is blocked and has mirrors of one kind only, the next
// thing that happens is the rest of the writes: whatever holds the rollout, and although nothing is
// proven any more in the memory of the one that comes after (I13).
func TestCrashBetweenWrites(t *testing.T) {
	writes := []string{"apply ImageTagMirrorSet shop", "apply ImageDigestMirrorSet shop",
		"apply ImageTagMirrorSet shop"}
	t.Run("the whole way", func(t *testing.T) {
		s := switchingSetup(t)
		if err := s.applyMirrorSets(context.Background(), s.observe()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(writes, *s.writes); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
	for failAfter, finishes := range map[int]bool{1: false, 2: true, 3: false} {
		t.Run(fmt.Sprintf("after %d writes", failAfter), func(t *testing.T) {
			ctx, s := context.Background(), switchingSetup(t)
			obs := s.observe()
			s.failAfter = failAfter
			if err := s.applyMirrorSets(ctx, obs); (err != nil) != (failAfter < len(writes)) {
				t.Fatalf("error %v", err)
			}
			s.failAfter = 0
			obs = s.observe()
			d := rollout.Decide(obs.Observed)
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
			if err := s.Execute(ctx, obs, d.Actions[0]); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(writes[failAfter:], *s.writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			sets, _ := s.observe().Observed.Sets.Get()
			if sets.IDMS != rollout.SetEqual || sets.ITMS != rollout.SetEqual {
				t.Errorf("sets %+v", sets)
			}
		})
	}
}

// What goes together with the new digest mirrors is never without its tag mirrors.
func TestUnchangedSourcesKeepMirrors(t *testing.T) {
	s := switchingSetup(t)
	s.afterWrite = func() {
		itms := &configv1.ImageTagMirrorSet{}
		if err := s.Client.Get(context.Background(), client.ObjectKey{Name: "shop"}, itms); err != nil {
			t.Fatalf("after %v: %v", *s.writes, err)
		}
		if last := itms.Spec.ImageTagMirrors[len(itms.Spec.ImageTagMirrors)-1]; last.Source != "ghcr.io" {
			t.Errorf("after %v the last source is %s", *s.writes, last.Source)
		}
	}
	if err := s.applyMirrorSets(context.Background(), s.observe()); err != nil {
		t.Fatal(err)
	}
	s.afterWrite, s.failAfter = nil, 0
	s = switchingSetup(t)
	obs := s.observe()
	s.Client = failingWrites{s.Client}
	if err := s.applyMirrorSets(context.Background(), obs); err == nil ||
		err.Error() != "taking sources out of ImageTagMirrorSet shop: connection refused" {
		t.Errorf("error %v", err)
	}
}

type (
	failingWrites struct{ client.Client }
	applied       = runtime.ApplyConfiguration
)

func (failingWrites) Apply(context.Context, applied, ...client.ApplyOption) error { return errDown }

// The policy is written and restored on what the API server has now.
func TestPolicyActions(t *testing.T) {
	ctx := context.Background()
	shop := minicluster.Rollout("shop")
	shop.Spec.Release.Disruption = v1alpha1.DisruptionReload
	mc := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: nodedisruption.Name}}
	mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files = []opv1.NodeDisruptionPolicyStatusFile{{
		Path:    "/etc/containers/registries.conf",
		Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.SpecialStatusAction}}}}
	s := newSetup(t, append(minicluster.Objects("worker-0"), shop, mc)...)
	files := func() int {
		have := &opv1.MachineConfiguration{}
		if err := s.Client.Get(ctx, client.ObjectKey{Name: nodedisruption.Name}, have); err != nil {
			t.Fatal(err)
		}
		return len(have.Spec.NodeDisruptionPolicy.Files)
	}
	record := rollout.PolicyRecord{Rollout: "shop", Since: minicluster.StartTime}
	obs := s.observe()
	if err := s.updatePolicy(ctx, "ensure-policy",
		func(mc *opv1.MachineConfiguration) error {
			return nodedisruption.Ensure(ctx, s.Client, mc,
				record)
		}); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.observe().Observed.NodeDisruptionPolicy.Get(); !p.Ours || p.Record == nil || files() != 1 {
		t.Errorf("policy %+v", p)
	}
	// On a fresh look nobody asks for it, and nothing is written.
	var refused *Refused
	if err := s.Execute(ctx, obs, rollout.EnsurePolicy{Record: record}); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	record.Rollout = "books"
	if err := s.updatePolicy(ctx, "ensure-policy",
		func(mc *opv1.MachineConfiguration) error {
			return nodedisruption.Ensure(ctx, s.Client, mc,
				record)
		}); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	s.API = minicluster.Client(s.recording())
	if err := s.updatePolicy(ctx, "restore-policy", nil); err == nil {
		t.Error("an object that is gone is changed")
	}
}
