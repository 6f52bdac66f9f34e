//go:build lab

package e2e

import (
	"context"
	"strings"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// smallRollout is a rollout on two workers and one master, with a gate before each worker.
func smallRollout(t *testing.T, gates int, changes ...func(*v1alpha1.SafeMirrorRolloutSpec)) *rolloutRun {
	t.Helper()
	s := scenario.Plain(1, nil)
	stage := s.Stage
	s.Stage = func(ctx context.Context, c *scenario.Cluster, v scenario.Variant) error {
		if err := c.Shrink(ctx, "worker-3", "worker-4", "master-2", "master-3"); err != nil {
			return err
		}
		return stage(ctx, c, v)
	}
	changes = append(changes, func(r *v1alpha1.SafeMirrorRolloutSpec) { r.Release.Stages = gatedWorkers(gates) })
	return startScenario(t, s, changes...)
}

// secondRollout creates a second rollout beside the first, of another source.
func (u *rolloutRun) secondRollout(t *testing.T, gates int) *rolloutRun {
	t.Helper()
	out := *u
	out.rollout = u.scenario.Rollout()
	out.rollout.Name = "second"
	out.rollout.Spec.ImageTagMirrors = []v1alpha1.ImageMirrors{{Source: "quay.io/other",
		Mirrors: []string{scenario.MirrorHost + "/other"}}}
	out.rollout.Spec.Release.Stages = gatedWorkers(gates)
	if err := u.cluster.Client.Create(u.ctx, out.rollout); err != nil {
		t.Fatal(err)
	}
	return &out
}

// holdsPools fails unless every pool is held by the rollout.
func (u *rolloutRun) holdsPools(t *testing.T) {
	t.Helper()
	pools, err := u.cluster.Pools(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pools {
		if l, err := pool.ReadPauseRecord(&pools[i]); err != nil || l == nil || l.Rollout != u.rollout.Name {
			t.Errorf("pool %s is held by %+v (%v), want %s", pools[i].Name, l, err, u.rollout.Name)
		}
	}
}

// TestTwoRollouts: the second one waits, names the first, touches nothing, and goes on when the
// first has ended.
func TestTwoRollouts(t *testing.T) {
	if !inShard(t, 7) {
		return
	}
	u := smallRollout(t, 1)
	u.atGate(t, gateName(0))
	second := u.secondRollout(t, 0)
	await(u.ctx, t, u.cluster, second.rollout.Name, "the second rollout waits for the first",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return mentions(r, v1alpha1.ReasonOtherRollout,
				[]string{"SafeMirrorRollout " + u.rollout.Name, "comes first"})
		})
	u.holdsPools(t)
	u.openGate(t, gateName(0))
	if _, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
		rolloutTime); err != nil {
		t.Fatal(err)
	}
	if _, err := u.cluster.AwaitRollout(u.ctx, second.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
		rolloutTime); err != nil {
		t.Fatal(err)
	}
	u.awaitComplete(t) // of the first: the second has left it as it was
}

// TestRollbackWaitsForOtherRollout: a complete rollout is deleted, which rolls it back, while
// another one is in progress. It waits, names the other one and does not change its pools;
// afterwards it rolls back and is removed, and the mirror set of the other one stays.
func TestRollbackWaitsForOtherRollout(t *testing.T) {
	if !inShard(t, 2) {
		return
	}
	u := smallRollout(t, 0, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Deletion = v1alpha1.DeletionRollback })
	if _, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
		rolloutTime); err != nil {
		t.Fatal(err)
	}
	second := u.secondRollout(t, 1)
	second.atGate(t, gateName(0))
	if err := u.cluster.Client.Delete(u.ctx, u.rollout); err != nil {
		t.Fatal(err)
	}
	await(u.ctx, t, u.cluster, u.rollout.Name, "the way back waits for the second rollout",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return r.Status.Record.Rollback != nil &&
				mentions(r, v1alpha1.ReasonOtherRollout, []string{"SafeMirrorRollout second", "comes first"})
		})
	second.holdsPools(t)
	second.openGate(t, gateName(0))
	if _, err := u.cluster.AwaitRollout(u.ctx, second.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
		rolloutTime); err != nil {
		t.Fatal(err)
	}
	u.awaitDeleted(t)
	if err := u.cluster.CheckRestored(u.ctx); err != nil {
		t.Error(err)
	}
	sets := &configv1.ImageTagMirrorSetList{}
	if err := u.cluster.Client.List(u.ctx, sets); err != nil || len(sets.Items) != 1 ||
		sets.Items[0].Name != second.rollout.Name {
		t.Errorf("the mirror sets are %+v (%v), want the second rollout's alone", sets.Items, err)
	}
}

// TestSpecEdited: a spec that changes half way is planned and proven anew, and reaches the nodes
// that have the earlier one as well. What cannot be meant is refused by the API, and what cannot
// work holds the rollout until it is taken back.
func TestSpecEdited(t *testing.T) {
	if !inShard(t, 5) {
		return
	}
	u := smallRollout(t, 2)
	u.atGate(t, gateName(0))
	u.openGate(t, gateName(0))
	u.atGate(t, gateName(1))

	other := v1alpha1.ImageMirrors{Source: "quay.io/other", Mirrors: []string{scenario.MirrorHost + "/other"},
		MirrorSourcePolicy: v1alpha1.NeverContactSource}
	err := u.changeSpec(u.ctx, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		contradiction := other
		contradiction.MirrorSourcePolicy = v1alpha1.AllowContactingSource
		s.ImageTagMirrors, s.ImageDigestMirrors = append(s.ImageTagMirrors, other),
			[]v1alpha1.ImageMirrors{contradiction}
	})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "same mirrorSourcePolicy") {
		t.Errorf("two policies for one source: %v", err)
	}

	change := func(what string, edit func(*v1alpha1.SafeMirrorRolloutSpec)) {
		if err := u.changeSpec(u.ctx, edit); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	change("a mirror that is not there", func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.ImageTagMirrors[0].Mirrors = []string{"nowhere.internal.example.com/acme"}
	})
	held := await(u.ctx, t, u.cluster, u.rollout.Name, "a mirror that is not there holds the rollout",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return r.Status.ObservedGeneration == r.Generation &&
				mentions(r, v1alpha1.ReasonMirrorUnreachable, []string{"nowhere.internal.example.com"})
		})
	if held.Status.Record.AppliedPlanHash == held.Status.PlanHash {
		t.Error("it is applied all the same")
	}
	change("another source beside the first", func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.ImageTagMirrors = append(u.scenario.Rollout().Spec.ImageTagMirrors, other)
		s.Release.Stages = nil
	})
	u.awaitComplete(t)
	set := u.mirrorSet()
	if err := u.cluster.Client.Get(u.ctx, client.ObjectKeyFromObject(set), set); err != nil ||
		len(set.Spec.ImageTagMirrors) != 2 {
		t.Errorf("the mirror set has %+v (%v), want both sources", set.Spec.ImageTagMirrors, err)
	}
}

// TestUnpausedTwice: somebody who unpauses a pool again and again wins. The rollout says so by name
// and does not fight; it goes on when the pool is paused again.
func TestUnpausedTwice(t *testing.T) {
	if !inShard(t, 6) {
		return
	}
	u := smallRollout(t, 1)
	u.atGate(t, gateName(0))
	if _, err := unpausedOnce(u.ctx, u); err != nil {
		t.Fatal(err)
	}
	open := func(p *mcfgv1.MachineConfigPool) (bool, error) { return !p.Spec.Paused, nil }
	if err := unpauseAs(u.ctx, u, "gitops", open); err != nil {
		t.Fatal(err)
	}
	lost := await(u.ctx, t, u.cluster, u.rollout.Name, "control is lost", func(r *v1alpha1.SafeMirrorRollout) bool {
		return mentions(r, v1alpha1.ReasonPauseConflict,
			[]string{"MachineConfigPool worker", "unpaused twice", `"gitops"`, "spec.state to Held"})
	})
	if reasonOf(lost, v1alpha1.ConditionStalled) != v1alpha1.ReasonPauseConflict {
		t.Errorf("the rollout is not Stalled: %s", scenario.Describe(lost))
	}
	if p, err := u.cluster.Pool(u.ctx, "worker"); err != nil || p.Spec.Paused {
		t.Errorf("pool worker is paused again (%v)", err)
	}
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}
	pause := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":true}}`))
	if err := u.cluster.Client.Patch(u.ctx, p, pause, client.FieldOwner("gitops")); err != nil {
		t.Fatal(err)
	}
	u.openGate(t, gateName(0))
	u.awaitComplete(t)
}
