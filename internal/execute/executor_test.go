package execute

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func TestReleaseNodes(t *testing.T) {
	s := readyToRelease(t)
	obs := s.observe()
	if err := s.Execute(context.Background(), obs, s.nextAction(obs)); err != nil {
		t.Fatal(err)
	}
	record := somePauseRecord()
	record.Release = &rollout.UnpauseWindow{
		// and a half, for two nodes
		IntendedAt: minicluster.StartTime, Target: s.rendered(), MaxUnavailable: 1,
		Deadline: minicluster.StartTime.Add(31 * time.Second),
	}
	if diff := cmp.Diff(poolState{Paused: false, MaxUnavailable: "1", Record: &record},
		s.poolState("worker")); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"patch MachineConfigPool worker"}, *s.writes); diff != "" {
		t.Errorf("all of it is one patch (-want +got):\n%s", diff)
	}
}

// The cluster may have changed since the decision: a disruptive action that a fresh look does not
// ask for is not done.
func TestDisruptiveActionsAreRevalidated(t *testing.T) {
	cases := map[string]struct {
		change func(*setup)
		why    string
	}{
		"a node is down": {func(s *setup) {
			editAsUser(s, &corev1.Node{}, "worker-1", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		}, "node worker-1 of pool worker is cordoned"},
		"a node is on its way already": {func(s *setup) {
			editAsUser(s, &corev1.Node{}, "worker-1",
				func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = s.rendered() })
		}, "node worker-1 has taken"},
		"a mirror set was edited": {func(s *setup) {
			editAsUser(s, &configv1.ImageTagMirrorSet{}, "shop",
				func(i *configv1.ImageTagMirrorSet) { i.Spec.ImageTagMirrors = nil })
		}, "applying the mirror sets"},
		"the pool was rendered anew": {func(s *setup) {
			if err := minicluster.RenderPools(context.Background(), s.Client,
				minicluster.File{Path: "/etc/containers/policy.json"}); err != nil {
				s.t.Fatal(err)
			}
		}, "has been rendered anew"},
		"the pool is open": {func(s *setup) {
			editAsUser(s, &mcfgv1.MachineConfigPool{}, "worker",
				func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = false })
		}, ""},
		"an upgrade has begun": {func(s *setup) {
			editAsUser(s, &configv1.ClusterVersion{}, "version", func(v *configv1.ClusterVersion) {
				v.Status.History = []configv1.UpdateHistory{{State: configv1.PartialUpdate, Version: "4.20.2"}}
			})
		}, "upgraded to 4.20.2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := readyToRelease(t)
			obs := s.observe()
			action := s.nextAction(obs)
			c.change(s)
			before := s.poolState("worker")
			err := s.Execute(context.Background(), obs, action)
			var refused *Refused
			if !errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "release-one/worker was not carried out: ") ||
				!strings.Contains(refused.Why, c.why) {
				t.Errorf("error %v, want it to be refused because %q", err, c.why)
			}
			if diff := cmp.Diff(before, s.poolState("worker")); diff != "" || len(*s.writes) > 0 {
				t.Errorf("wrote %v (-before +after):\n%s", *s.writes, diff)
			}
		})
	}
}

// When nobody can look again, nothing is done, and that is a failure.
func TestRevalidationFails(t *testing.T) {
	s := readyToRelease(t)
	obs := s.observe()
	action := s.nextAction(obs)
	editAsUser(s, &v1alpha1.SafeMirrorRollout{}, "shop", func(r *v1alpha1.SafeMirrorRollout) { r.Generation++ })
	err := s.Execute(context.Background(), obs, action)
	var refused *Refused
	if err == nil || errors.As(err, &refused) ||
		!strings.Contains(err.Error(), "reading the cluster again before release-one/worker") {
		t.Errorf("error %v", err)
	}
	if len(*s.writes) > 0 {
		t.Errorf("wrote %v", *s.writes)
	}
}

// Between the fresh look and the patch the MCO may render once more: what would be released then
// was not proven.
func TestReleaseNeedsItsTarget(t *testing.T) {
	s := readyToRelease(t)
	record := somePauseRecord()
	record.Release = &rollout.UnpauseWindow{Target: "rendered-worker-9"}
	err := s.releaseNodes(context.Background(), rollout.ReleaseNodes{Pool: "worker", MaxUnavailable: 1, Record: record})
	var refused *Refused
	if !errors.As(err, &refused) || refused.Why != "the pool has a new rendered MachineConfig" {
		t.Errorf("error %v", err)
	}
	if !s.poolState("worker").Paused {
		t.Error("the pool was opened")
	}
}

func TestPauseAndRestore(t *testing.T) {
	ctx := context.Background()
	s := newSetup(t, append(minicluster.Objects("worker-0"), minicluster.Rollout("shop"))...)
	obs, record := s.observe(), somePauseRecord()
	for range 2 { // the second time changes nothing (I8)
		if err := s.Execute(ctx, obs, rollout.PausePool{Pool: "worker", Record: record}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(poolState{Paused: true, Record: &record}, s.poolState("worker")); diff != "" {
			t.Errorf("pool (-want +got):\n%s", diff)
		}
	}
	record.Release = &rollout.UnpauseWindow{IntendedAt: minicluster.StartTime}
	if err := s.updatePool(ctx, "worker",
		func(p *mcfgv1.MachineConfigPool) error { return pool.Unpause(ctx, s.Client, p, record, 1) }); err != nil {
		t.Fatal(err)
	}
	restore := rollout.RestorePool{Pool: "worker", MaxUnavailable: "10%"}
	for range 2 {
		if err := s.updatePool(ctx, "worker", func(p *mcfgv1.MachineConfigPool) error {
			return pool.Restore(ctx, s.Client, p, restore.Paused, restore.MaxUnavailable)
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(poolState{MaxUnavailable: "10%"}, s.poolState("worker")); diff != "" {
			t.Errorf("pool (-want +got):\n%s", diff)
		}
	}
}

// The end of a rollout: the pool that is settled is restored.
func TestRestoreIsRevalidated(t *testing.T) {
	ctx := context.Background()
	ready := func(t *testing.T) *setup {
		s := readyToRelease(t)
		for range 2 {
			editAsUser(s, &mcfgv1.MachineConfigPool{}, "worker",
				func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = false })
			if _, err := minicluster.StartUpdate(ctx, s.Client, "worker"); err != nil {
				t.Fatal(err)
			}
		}
		if err := minicluster.FinishUpdates(ctx, s.Client); err != nil {
			t.Fatal(err)
		}
		editAsUser(s, &mcfgv1.MachineConfigPool{}, "worker", func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = true })
		after := s.observe().Rollout
		after.Status.Record.Release, after.Status.Record.Pools[0].Restored = nil, true
		if err := s.Client.Status().Update(ctx, after); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("every node runs it", func(t *testing.T) {
		s := ready(t)
		obs := s.observe()
		if err := s.Execute(ctx, obs, s.nextAction(obs)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(poolState{MaxUnavailable: "10%"}, s.poolState("worker")); diff != "" {
			t.Errorf("pool (-want +got):\n%s", diff)
		}
	})
	t.Run("a node is new", func(t *testing.T) {
		s := ready(t)
		obs := s.observe()
		action := s.nextAction(obs)
		if err := s.Client.Create(ctx, minicluster.Node("worker-2", "worker")); err != nil {
			t.Fatal(err)
		}
		var refused *Refused
		if err := s.Execute(ctx, obs, action); !errors.As(err, &refused) {
			t.Errorf("error %v, want it to be refused", err)
		}
		if !s.poolState("worker").Paused {
			t.Error("the pool was opened, and a node does not run its configuration")
		}
	})
}

func TestPoolsOfOtherRollouts(t *testing.T) {
	ctx := context.Background()
	books := somePauseRecord()
	books.Rollout = "books"
	s := newSetup(t, append(pausedPool(minicluster.Objects("worker-0"), books), minicluster.Rollout("shop"))...)
	obs := s.observe()
	t.Run("another rollout's", func(t *testing.T) {
		var refused *Refused
		err := s.Execute(ctx, obs, rollout.PausePool{Pool: "worker", Record: somePauseRecord()})
		if !errors.As(err, &refused) ||
			err.Error() != "patching MachineConfigPool worker was not carried out: SafeMirrorRollout books holds it" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("one that is gone", func(t *testing.T) {
		err := s.Execute(ctx, obs, rollout.PausePool{Pool: "infra", Record: somePauseRecord()})
		if !apierrors.IsNotFound(err) || !strings.HasPrefix(err.Error(), "reading MachineConfigPool infra: ") {
			t.Errorf("error %v", err)
		}
	})
	if len(*s.writes) > 0 {
		t.Errorf("wrote %v", *s.writes)
	}
}

// The pool is read past the caches: a patch made for an older one would be refused for ever.
func TestPoolsAreReadPastTheCaches(t *testing.T) {
	s := newSetup(t, append(minicluster.Objects("worker-0"), minicluster.Rollout("shop"))...)
	s.API = minicluster.Client(interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey,
		client.Object, ...client.GetOption) error {
		return errDown
	}})
	if err := s.Execute(context.Background(), s.observe(),
		rollout.PausePool{Pool: "worker", Record: somePauseRecord()}); !errors.Is(err, errDown) {
		t.Errorf("error %v", err)
	}
}

func TestEnsureTransfers(t *testing.T) {
	app := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "quay.io/acme/app:v1"}}}}
	app.Namespace, app.Name = "shop", "app"
	s := newSetup(t, append(minicluster.Objects("worker-0"), minicluster.Rollout("shop"), app)...)
	obs := s.observe()
	if err := s.Execute(context.Background(), obs,
		rollout.EnsureTransfers{PlanDigest: obs.Plan.Digest, Copy: true}); err != nil {
		t.Fatal(err)
	}
	work, _ := s.observe().Observed.Transfers.Get()
	if work.PlanDigest != obs.Plan.Digest || !work.Copying || len(s.Transfers.Engine.Snapshot()) != 1 {
		t.Errorf("%+v, %d jobs", work, len(s.Transfers.Engine.Snapshot()))
	}
}

// A set of our name that is somebody else's is not written over, whoever asks.
func TestForeignSetsAreRefused(t *testing.T) {
	s := readyToRelease(t)
	editAsUser(s, &configv1.ImageTagMirrorSet{}, "shop", func(i *configv1.ImageTagMirrorSet) {
		i.Labels, i.Spec.ImageTagMirrors = nil, nil
	})
	obs := s.observe()
	var refused *Refused
	if err := s.Execute(context.Background(), obs,
		rollout.ApplyMirrorSets{PlanDigest: obs.Plan.Digest}); !errors.As(err, &refused) {
		t.Errorf("error %v, want it to be refused", err)
	}
	if len(*s.writes) > 0 {
		t.Errorf("wrote %v", *s.writes)
	}
}

// ApplyMirrorSets as the core asks for it: the mirror set that somebody has deleted is written
// again.
func TestApplyMirrorSets(t *testing.T) {
	s := readyToRelease(t)
	ctx := context.Background()
	if err := s.Client.Delete(ctx, mirrorset.ITMS(minicluster.Rollout("shop"))); err != nil {
		t.Fatal(err)
	}
	obs := s.observe()
	if err := s.Execute(ctx, obs, s.nextAction(obs)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"apply ImageTagMirrorSet shop"}, *s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// unknown is an action that no executor knows.
type unknown struct{ rollout.Action }

func (unknown) Key() string      { return "dance" }
func (unknown) Disruptive() bool { return false }

func TestUnknownActions(t *testing.T) {
	if err := (&Executor{}).Execute(context.Background(), &observe.Observation{}, unknown{}); err == nil ||
		err.Error() != "no executor for action dance" {
		t.Errorf("error %v", err)
	}
}
