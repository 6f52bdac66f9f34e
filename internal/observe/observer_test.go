package observe

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func TestEffectiveSpec(t *testing.T) {
	now, three := metav1.NewTime(minicluster.StartTime), int32(3)
	r := minicluster.Rollout("shop")
	want := rollout.Spec{Name: "shop", UID: "uid-shop", Generation: 1, Created: minicluster.StartTime,
		SpecHash: rollout.Identity(r.Spec),
		Remedies: []v1alpha1.RemedyAction{v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods}}
	if diff := cmp.Diff(want, rollout.Effective(r)); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
	r.DeletionTimestamp, r.Finalizers, r.Spec.State = &now, []string{"another/finalizer", rollout.Finalizer},
		v1alpha1.StateHeld
	r.Spec.Release.Stages = []v1alpha1.ReleaseStage{{Pool: "infra", Nodes: &three}, {Pool: "worker"}}
	minute := int32(60)
	r.Spec.Release.SoakSeconds, r.Spec.Release.Stages[1].SoakSeconds, r.Spec.Release.Stages[1].Approval = &three,
		&minute, v1alpha1.ApprovalRequired
	r.Spec.Release.ApplyApproval, r.Spec.Release.DrainTimeoutSeconds,
		r.Spec.Release.MaxPauseSeconds = v1alpha1.ApprovalRequired, &minute, &minute
	r.Spec.Release.Windows = []v1alpha1.MaintenanceWindow{{Schedule: "0 1 * * *", DurationSeconds: 60,
		TimeZone: "Europe/Berlin"}}
	r.Spec.Requests = []v1alpha1.Request{{ID: "a", Action: v1alpha1.RequestApprove, Gate: "apply",
		PlanHash: "sha256:1"}}
	r.Spec.Deletion, r.Spec.OnFailure = v1alpha1.DeletionRollback, v1alpha1.FailureRollback
	want.Deleting, want.Finalizer, want.Held, want.SpecHash = true, true, true, rollout.Identity(r.Spec)
	want.Soak, want.ApplyApproval, want.DrainTimeout, want.PauseLimit = 3*time.Second, true, time.Minute, time.Minute
	want.Windows = []rollout.MaintenanceWindow{{Schedule: "0 1 * * *", Duration: time.Minute,
		TimeZone: "Europe/Berlin"}}
	want.Requests = []rollout.Request{{ID: "a", Verb: v1alpha1.RequestApprove, Gate: "apply", PlanDigest: "sha256:1"}}
	want.RollbackOnDelete, want.RollbackOnFailure = true, true
	r.Spec.Release.Disruption = v1alpha1.DisruptionReload
	want.Reload, want.EnforceAfter, want.SpecHash = true, 3*time.Second, rollout.Identity(r.Spec)
	want.Stages = []rollout.Stage{{Pool: "infra", Nodes: 3, Soak: 3 * time.Second},
		{Pool: "worker", Soak: time.Minute, Approval: true}}
	if diff := cmp.Diff(want, rollout.Effective(r)); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
}

// asDeclared identifies the two sets of minicluster.Rollout.
var asDeclared = mirrorset.IDMSHash(mirrorset.IDMS(minicluster.Rollout("shop"))) + "+" +
	mirrorset.ITMSHash(mirrorset.ITMS(minicluster.Rollout("shop")))

// previous are the mirror sets of the rollout as its record names them.
func previous(r *v1alpha1.SafeMirrorRollout) *v1alpha1.PreviousMirrorSets {
	return mirrorset.PreviousOf(mirrorset.IDMS(r), mirrorset.ITMS(r)).Reference(r.Name)
}

// revision is the ControllerRevision with the mirror sets of the rollout.
func revision(t *testing.T, r *v1alpha1.SafeMirrorRollout) *appsv1.ControllerRevision {
	t.Helper()
	out, err := mirrorset.PreviousOf(mirrorset.IDMS(r), mirrorset.ITMS(r)).Revision(r, newObserver().Namespace, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Requests, and whether the rollout is held, make no other rollout of it.
func TestSpecHash(t *testing.T) {
	r := minicluster.Rollout("shop")
	before := rollout.Identity(r.Spec)
	r.Spec.State, r.Spec.Requests = v1alpha1.StateHeld, []v1alpha1.Request{{ID: "a", Action: v1alpha1.RequestRetry}}
	if rollout.Identity(r.Spec) != before {
		t.Error("a request makes another rollout")
	}
	if r.Spec.ImageTagMirrors[0].Source = "quay.io/other"; rollout.Identity(r.Spec) == before {
		t.Error("another source makes none")
	}
}

func TestObserveFailsWithoutTheRollout(t *testing.T) {
	_, err := newObserver(minicluster.Objects()...).Observe(context.Background(), "shop")
	if !apierrors.IsNotFound(err) {
		t.Errorf("error %v, want not found", err)
	}
}

func TestOtherRollouts(t *testing.T) {
	at := metav1.NewTime(minicluster.StartTime)
	other := func(name string, generation int64, record v1alpha1.Record) client.Object {
		r := minicluster.Rollout(name)
		r.Generation, r.Status.Record = generation, record
		return r
	}
	held := minicluster.Rollout("held")
	held.Spec.State = v1alpha1.StateHeld
	objects := cluster(
		other("done", 1, v1alpha1.Record{StartedAt: &at, CompletedGeneration: 1,
			CompletedSpecHash: rollout.Identity(minicluster.Rollout("done").Spec)}),
		other("new", 1, v1alpha1.Record{}),
		other("under-way", 1, v1alpha1.Record{StartedAt: &at}),
		held,
		other("with-a-new-spec", 2, v1alpha1.Record{StartedAt: &at, CompletedGeneration: 1,
			CompletedSpecHash: "another"}),
	)
	want := map[string]rollout.OtherRollout{
		"done":            {Name: "done"},
		"new":             {Name: "new", Waiting: true},
		"held":            {Name: "held"},
		"under-way":       {Name: "under-way", ActiveSince: minicluster.StartTime, Waiting: true},
		"with-a-new-spec": {Name: "with-a-new-spec", Waiting: true},
	}
	got := map[string]rollout.OtherRollout{}
	for _, o := range mustKnow(t, mustObserve(t, newObserver(objects...)).Observed.OtherRollouts) {
		o.Created = time.Time{}
		got[o.Name] = o
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
	t.Run("unreadable", func(t *testing.T) {
		if _, known := mustObserve(t, newObserverWith(minicluster.FailingReads[*v1alpha1.SafeMirrorRolloutList](errDown), cluster()...)).Observed.OtherRollouts.Get(); known {
			t.Error("known")
		}
	})
}

// TestSets: every kind that decides registries.conf is read, or nothing that depends on it is
// known.
func TestSets(t *testing.T) {
	cases := map[string]interceptor.Funcs{
		"listing ImageTagMirrorSets: connection refused":                minicluster.FailingReads[*configv1.ImageTagMirrorSetList](errDown),
		"listing ImageDigestMirrorSets: connection refused":             minicluster.FailingReads[*configv1.ImageDigestMirrorSetList](errDown),
		"listing ImageContentSourcePolicies: connection refused":        minicluster.FailingReads[*operatorv1alpha1.ImageContentSourcePolicyList](errDown),
		"reading image.config.openshift.io/cluster: connection refused": minicluster.FailingReads[*configv1.Image](errDown),
		"reading clusterversion/version: connection refused":            minicluster.FailingReads[*configv1.ClusterVersion](errDown),
	}
	for want, funcs := range cases {
		t.Run(want, func(t *testing.T) {
			o := mustObserve(t, newObserverWith(funcs, cluster()...)).Observed
			for part, why := range map[string]string{
				"sets": o.Sets.Why(), "plan": o.Plan.Why(), "spec": o.SpecProblems.Why(),
				"transfers": o.Transfers.Why(), "pools": o.Pools.Why(),
			} {
				if why != want {
					t.Errorf("%s are unknown because %q, want %q", part, why, want)
				}
			}
		})
	}
	t.Run("no image configuration and no policies", func(t *testing.T) {
		objects := drop[*configv1.Image](cluster(), "cluster")
		got := mustKnow(t, mustObserve(t, observerOn(withoutKinds(objects, "ImageContentSourcePolicy"))).Observed.Sets)
		want := rollout.MirrorSets{IDMS: rollout.SetMissing, ITMS: rollout.SetMissing, PreviousSaved: true,
			DesiredHash: asDeclared, ListsHash: got.ListsHash}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sets (-want +got):\n%s", diff)
		}
	})
	t.Run("the own sets", func(t *testing.T) {
		obs := mustObserve(t, newObserver(cluster(ownSets()...)...))
		got := mustKnow(t, obs.Observed.Sets)
		digest, tag, _ := strings.Cut(asDeclared, "+")
		want := rollout.MirrorSets{IDMS: rollout.SetEqual, ITMS: rollout.SetEqual,
			Previous:        previous(minicluster.Rollout("shop")),
			PresentIDMSHash: digest, PresentITMSHash: tag, DesiredHash: asDeclared, ListsHash: got.ListsHash}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sets (-want +got):\n%s", diff)
		}
		if obs.PresentIDMS == nil || obs.PresentITMS == nil {
			t.Error("the executor needs what is there")
		}
	})
}

// A plan names what changes, with and without the own sets in the cluster: what a rollout changes
// is known half way through it.
func TestPlanIsIndependentOfAppliedSets(t *testing.T) {
	app := &corev1.Pod{ObjectMeta: metaOf("app"),
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "quay.io/acme/app:v1"},
			{Image: "ghcr.io/other:v1"}}}}
	before := mustObserve(t, newObserver(cluster(app)...))
	after := mustObserve(t, newObserver(cluster(append(ownSets(), app)...)...))
	sum := mustKnow(t, before.Observed.Plan)
	if sum.Changed != 1 {
		t.Errorf("%d of %d references change, want 1", sum.Changed, sum.Total)
	}
	if diff := cmp.Diff(sum, mustKnow(t, after.Observed.Plan)); diff != "" {
		t.Errorf("plan (-before +after the sets are applied):\n%s", diff)
	}
}

// What nodes run and the mirror sets of now do not tell of is compared with the plan as well: what
// it serves must not be lost (I2).
func TestPlanComparesRunningConfigs(t *testing.T) {
	app := &corev1.Pod{ObjectMeta: metaOf("app"),
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "quay.io/books/app:v1"}}}}
	withBooks := minicluster.RegistriesFile(text(t, registriesconf.Sets{ITMSs: []configv1.ImageTagMirrorSet{*books()}}))
	both := minicluster.RegistriesFile(planned(t, registriesconf.Sets{ITMSs: []configv1.ImageTagMirrorSet{*books()}}))
	onNode := func(objects []client.Object, config string) []client.Object {
		return minicluster.Edit(objects, "worker-1",
			func(n *corev1.Node) { n.Annotations[minicluster.CurrentConfig] = config })
	}
	cases := map[string]struct {
		objects []client.Object
		want    int
	}{
		"nothing":                      {cluster(app), 0},
		"an earlier spec of ours":      {rendered(cluster(app, earlierSet()), withBooks), 1},
		"a set that was deleted since": {rendered(cluster(append(ownSets(), app)...), both), 1},
		"a set that nobody has yet":    {cluster(app, books()), 1},
		"a set that everybody has":     {rendered(cluster(app, books()), withBooks), 0},
		"a node that has it all": {onNode(cluster(app,
			minicluster.MachineConfig("planned", minicluster.RegistriesFile(planned(t, registriesconf.Sets{})))),
			"planned"), 0},
		"one node of several": {onNode(cluster(app, minicluster.MachineConfig("with-books", withBooks)),
			"with-books"), 1},
		"a node whose own is gone":        {onNode(cluster(app), "rendered-worker-9"), 0},
		"a node that is not taken up yet": {onNode(cluster(app), ""), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := mustKnow(t, mustObserve(t, newObserver(c.objects...)).Observed.Plan).Changed; got != c.want {
				t.Errorf("%d references change, want %d", got, c.want)
			}
		})
	}
	t.Run("a node whose own is none", func(t *testing.T) {
		broken := minicluster.MachineConfig("broken", minicluster.RegistriesFile("[[registry"))
		why := mustObserve(t, newObserver(onNode(cluster(app, broken), "broken")...)).Observed.Plan.Why()
		if !strings.Contains(why, "rendered MachineConfig broken, which node worker-1 runs: ") {
			t.Errorf("the plan is unknown because %q", why)
		}
	})
}

// A cluster at rest is not read for a rollout that has ended.
func TestEndedRolloutReadsLittle(t *testing.T) {
	objects := minicluster.Edit(cluster(ownSets()...), "shop", func(r *v1alpha1.SafeMirrorRollout) {
		r.Status.Record.CompletedGeneration, r.Status.Record.CompletedSpecHash = 1, rollout.Identity(r.Spec)
	})
	obs := mustObserve(t, newObserverWith(minicluster.FailingReads[*corev1.PodList](errDown), objects...))
	mustKnow(t, obs.Observed.Sets)
	if _, known := obs.Observed.Pools.Get(); known {
		t.Error("pools were read")
	}
	if _, known := obs.Observed.Workloads.Get(); known {
		t.Error("workloads were read")
	}
}

// The pods on the node of the release in progress are told apart.
func TestWorkloadsOnReleasedNode(t *testing.T) {
	objects := cluster(replicaSet(metaOf("cart"), 1, 0), podOf("cart-a", "cart", "worker-1", 1))
	minicluster.Edit(objects, "shop", func(r *v1alpha1.SafeMirrorRollout) {
		r.Status.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", Nodes: []string{"worker-1"}}
	})
	if got := mustKnow(t, mustObserve(t, newObserver(objects...)).Observed.Workloads); len(got) != 1 || !got[0].OnNode {
		t.Errorf("%+v, want one on the node", got)
	}
}

// TestRefresh: before a disruptive action the same things are read past the caches.
func TestRefresh(t *testing.T) {
	ctx := context.Background()
	cache, api := minicluster.Client(interceptor.Funcs{}, cluster()...),
		minicluster.Client(interceptor.Funcs{}, cluster(ownSets()...)...)
	observer := observerOn(cache)
	old := mustObserve(t, observer)
	observer.API, observer.Now = api, func() time.Time { return minicluster.StartTime.Add(time.Minute) }
	fresh, err := observer.Refresh(ctx, old)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustKnow(t, fresh.Observed.Sets).ITMS; got != rollout.SetEqual {
		t.Errorf("tag mirror set %s, want what the API server has", got)
	}
	if !fresh.Observed.Now.Equal(minicluster.StartTime.Add(time.Minute)) || !cmp.Equal(fresh.IDMS, old.IDMS) ||
		fresh.PresentITMS == nil {
		t.Errorf("%+v", fresh)
	}
	if got := mustKnow(t, old.Observed.Sets).ITMS; got != rollout.SetMissing {
		t.Errorf("the earlier look has changed: %s", got)
	}
	for name, change := range map[string]func(*v1alpha1.SafeMirrorRollout){
		"another spec":             func(r *v1alpha1.SafeMirrorRollout) { r.Generation = 2 },
		"another of the same name": func(r *v1alpha1.SafeMirrorRollout) { r.UID = "uid-2" },
	} {
		t.Run(name, func(t *testing.T) {
			observer.API = minicluster.Client(interceptor.Funcs{}, minicluster.Edit(cluster(), "shop", change)...)
			if _, err := observer.Refresh(ctx, old); err == nil {
				t.Error("want an error: the action was decided for another rollout")
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		observer.API = minicluster.Client(minicluster.FailingReads[*v1alpha1.SafeMirrorRollout](errDown))
		if _, err := observer.Refresh(ctx, old); !errors.Is(err, errDown) {
			t.Errorf("error %v", err)
		}
	})
}
