package observe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// site is a cluster with an executor, and an observer that reads what that has started.
type site struct {
	*observe.Observer
	*execute.Executor
}

func newSite(c client.Client) *site {
	transfers, pulls := &execute.Transfers{Engine: mirror.NewEngine(mirror.EngineOptions{})}, &execute.PullChecks{}
	live := &observe.Observer{
		Client: c, API: c, Namespace: observe.OperatorNamespace, DryRun: dryrun.New(c), Transfers: transfers,
		PullChecks: pulls,
		Kinds:      observe.NewCachedKinds(minicluster.Scheme()),
		Now:        func() time.Time { return minicluster.StartTime },
	}
	return &site{live, &execute.Executor{Client: c, API: c, Observer: live, Transfers: transfers, PullChecks: pulls}}
}

func (s *site) do(t *testing.T, w *observe.Observation, a rollout.Action) {
	t.Helper()
	if err := s.Execute(t.Context(), w, a); err != nil {
		t.Fatal(err)
	}
}

// read is what the observer sees of the rollout shop.
func (s *site) read(t *testing.T) *observe.Observation {
	t.Helper()
	w, err := s.Observe(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// The engine gets the jobs of the plan, and the next reading knows that it has them.
func TestTransfersAreStarted(t *testing.T) {
	app := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: "quay.io/acme/app:v1"}}},
	}
	start := rollout.EnsureTransfers{Copy: true}
	s := newSite(minicluster.Client(interceptor.Funcs{}, observe.AtRest(app)...))
	w := s.read(t)
	s.do(t, w, start)
	work := observe.KnownTransfers(t, s.read(t).Observed.Transfers)
	if jobs := len(s.Executor.Transfers.Snapshot()); work.PlanDigest != w.Plan.Digest || !work.Copying || jobs != 1 {
		t.Errorf("%+v and %d jobs, want the plan, copying, and one", work, jobs)
	}
	t.Run("without credentials", func(t *testing.T) {
		s := newSite(minicluster.Client(interceptor.Funcs{}, observe.AtRest(app)...))
		w := s.read(t)
		w.Registry = nil
		s.do(t, w, start)
		work := observe.KnownTransfers(t, s.read(t).Observed.Transfers)
		if jobs := len(s.Executor.Transfers.Snapshot()); work.PlanDigest != "" || jobs != 0 {
			t.Errorf("%+v and %d jobs, want nothing to be started", work, jobs)
		}
	})
}

func TestCanaryPulls(t *testing.T) {
	objects := append(minicluster.Pool("worker"), observe.CanaryNode("worker-0"), observe.Pod("cart"),
		observe.Budget("shop", &metav1.LabelSelector{}))
	c := minicluster.Client(interceptor.Funcs{}, objects...)
	observer := newSite(c)
	w := observe.Asked(t, observe.Blocking("quay.io/acme/cart:v1"))
	canaryPods := func() []corev1.Pod {
		t.Helper()
		var list corev1.PodList
		if err := c.List(t.Context(), &list, client.InNamespace(observe.OperatorNamespace)); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	if got := observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)); len(got.Groups) != 0 || got.Disabled {
		t.Errorf("before anything was asked: %+v", got)
	}
	observer.do(t, w, rollout.EnsureCanaryPulls{})
	pods := canaryPods()
	if len(pods) != 1 || pods[0].Spec.Containers[0].Image != "quay.io/acme/cart:v1" ||
		pods[0].Labels[pullcheck.LabelName] != pullcheck.CanaryName {
		t.Fatalf("pods %+v", pods)
	}
	want := rollout.CanaryPulls{PodsLeft: 1,
		Groups: []rollout.CanaryGroup{{Pool: "worker", Architecture: "amd64", Nodes: []string{"worker-0"},
			Selected: true, Wanted: 1, UpdatedWhenSelected: 1}}}
	ignore := cmpopts.IgnoreFields(rollout.CanaryPulls{}, "RecheckAt")
	if diff := cmp.Diff(want, observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)), ignore); diff != "" {
		t.Errorf("while it is pulled (-want +got):\n%s", diff)
	}
	pods[0].Status.Phase, pods[0].Spec.NodeName = corev1.PodSucceeded, "worker-0"
	if err := c.Status().Update(t.Context(), &pods[0]); err != nil {
		t.Fatal(err)
	}
	observer.do(t, w, rollout.EnsureCanaryPulls{})
	want.PodsLeft, want.Groups[0].Proven = 0, 1
	if diff := cmp.Diff(want, observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)), ignore); diff != "" {
		t.Errorf("after the pull (-want +got):\n%s", diff)
	}
	t.Run("it says nothing about what comes after", func(t *testing.T) {
		for name, change := range map[string]func(w *observe.Observation){
			"another plan": func(w *observe.Observation) {
				w.Plan.Digest, w.Observed.Record.AppliedPlanHash = "sha256:next", "sha256:next"
			},
			"another rendering": func(w *observe.Observation) {
				w.Observed.Pools = rollout.Known([]rollout.Pool{{Name: "worker", Rendered: "rendered-9",
					Registries: rollout.MatchesPlanned,
					Nodes: []rollout.Node{{CurrentConfig: "rendered-9", DesiredConfig: "rendered-9",
						State: "Done"}}}})
			},
			"the way back": func(w *observe.Observation) { w.Observed.Record.Rollback = &v1alpha1.RollbackRecord{} },
		} {
			other := observe.Asked(t, observe.Blocking("quay.io/acme/cart:v1"))
			change(other)
			if got := observe.KnownCanary(t, observer.ReadCanary(t.Context(), other)); len(got.Groups) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
	t.Run("a retry keeps what is proven", func(t *testing.T) {
		observer.do(t, w, rollout.RetryFailed{})
		if got := observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)); got.Groups[0].Proven != 1 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("another process asks again, and takes away what is left", func(t *testing.T) {
		next := newSite(c)
		next.Now = func() time.Time { return minicluster.StartTime.Add(time.Minute) }
		next.do(t, w, rollout.EnsureCanaryPulls{})
		if len(canaryPods()) != 1 {
			t.Fatalf("%d pods", len(canaryPods()))
		}
		next.do(t, w, rollout.EnsureCanaryPulls{CleanUp: true})
		if len(canaryPods()) != 0 {
			t.Errorf("%d pods are left", len(canaryPods()))
		}
	})
	t.Run("the user does without", func(t *testing.T) {
		w.Rollout.Spec.Mirroring.Verification.AfterFirstNode = v1alpha1.Disabled
		observer.do(t, w, rollout.EnsureCanaryPulls{})
		if len(canaryPods()) != 0 {
			t.Errorf("%d pods", len(canaryPods()))
		}
		if got := observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)); !got.Disabled {
			t.Errorf("%+v", got)
		}
	})
}

// With preload each node that has the configuration is given what it lacks, with the canary and
// without it, and not what only pods need that stay.
func TestPreload(t *testing.T) {
	daemon := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: "2",
			Controller: new(true)}}
	}
	for name, first := range map[string]v1alpha1.Switch{"with the canary": v1alpha1.Enabled,
		"without": v1alpha1.Disabled} {
		t.Run(name, func(t *testing.T) {
			c := minicluster.Client(interceptor.Funcs{},
				append(minicluster.Pool("worker"), observe.CanaryNode("worker-0"), observe.CanaryNode("worker-1"),
					observe.Pod("cart"), observe.Pod("agent", daemon),
					observe.Budget("shop", &metav1.LabelSelector{}))...)
			observer := newSite(c)
			w := observe.Asked(t, observe.Blocking("quay.io/acme/cart:v1"), observe.Blocking("quay.io/acme/agent:v1"))
			w.Rollout.Spec.Release.Preload = v1alpha1.PreloadUpdatedNodes
			w.Rollout.Spec.Mirroring.Verification.AfterFirstNode = first
			observer.do(t, w, rollout.EnsureCanaryPulls{})
			got := observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)).Preload
			want := rollout.Preload{Enabled: true,
				Pools: []rollout.PreloadPool{{Pool: "worker", Nodes: []string{"worker-0", "worker-1"}, Wanted: 2,
					Waiting: []string{"worker-0", "worker-1"}}}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("while they are pulled (-want +got):\n%s", diff)
			}
			var list corev1.PodList
			if err := c.List(t.Context(), &list, client.InNamespace(observe.OperatorNamespace)); err != nil {
				t.Fatal(err)
			}
			for i := range list.Items {
				p := &list.Items[i]
				p.Status.Phase = corev1.PodSucceeded
				if err := c.Status().Update(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the outcome, and what is left of it once the pods are gone
				observer.do(t, w, rollout.EnsureCanaryPulls{})
				got = observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)).Preload
				want.Pools[0].Loaded, want.Pools[0].Ready, want.Pools[0].Waiting = 2, 2, nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("after the pulls (-want +got):\n%s", diff)
				}
			}
			observer.do(t, w, rollout.EnsureCanaryPulls{CleanUp: true})
			if left := observe.KnownCanary(t, observer.ReadCanary(t.Context(), w)).PodsLeft; left != 0 {
				t.Errorf("%d pods are left", left)
			}
		})
	}
}
