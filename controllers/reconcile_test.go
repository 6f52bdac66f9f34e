package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// pausedByUser is a cluster in which the rollout shop waits: somebody has paused the pool.
func pausedByUser() []client.Object {
	return minicluster.Edit(append(minicluster.Objects("worker-0"), minicluster.Rollout("shop")), "worker",
		func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = true })
}

// aboutToPause is a cluster in which the next action is to pause the worker pool.
func aboutToPause() []client.Object {
	began := metav1.NewTime(minicluster.StartTime)
	return minicluster.Edit(append(minicluster.Objects("worker-0"), minicluster.Rollout("shop")), "shop",
		func(r *v1alpha1.SafeMirrorRollout) {
			r.Finalizers = []string{rollout.Finalizer}
			r.Status.Record = v1alpha1.Record{StartedAt: &began, Pools: []v1alpha1.PoolRecord{{Name: "worker"}}}
		})
}

// The status is written once, when it has changed, and the transition is told once.
func TestStatusIsWrittenOnce(t *testing.T) {
	patches := &patchCounter{}
	c := minicluster.Client(patches.funcs(), pausedByUser()...)
	r, events := reconciler(c, (&clock{minicluster.StartTime}).Now)
	for range 3 {
		got, err := r.Reconcile(context.Background(), request("shop"))
		if err != nil || got != (ctrl.Result{RequeueAfter: time.Minute}) {
			t.Errorf("%+v, %v; want another look within a minute (I7)", got, err)
		}
	}
	if diff := cmp.Diff([]string{"shop"}, patches.statuses); diff != "" || len(patches.objects) > 0 {
		t.Errorf("patches %v, statuses (-want +got):\n%s", patches.objects, diff)
	}
	if len(events.events) != 1 || !strings.HasPrefix(events.events[0],
		"shop Warning PoolNotReady: Preflight: MachineConfigPool worker is paused by ") {
		t.Errorf("events %v", events.events)
	}
	if !meta.IsStatusConditionTrue(getRollout(t, c).Status.Conditions, v1alpha1.ConditionStalled) {
		t.Errorf("status %+v", getRollout(t, c).Status)
	}
}

func TestDeletedRollout(t *testing.T) {
	r, events := reconciler(minicluster.Client(interceptor.Funcs{}, minicluster.Objects()...),
		(&clock{minicluster.StartTime}).Now)
	if got, err := r.Reconcile(context.Background(), request("shop")); err != nil || got != (ctrl.Result{}) ||
		len(events.events) > 0 {
		t.Errorf("%+v, %v, events %v", got, err, events.events)
	}
}

func TestUnreadableRollout(t *testing.T) {
	r, _ := reconciler(minicluster.Client(minicluster.FailingReads[*v1alpha1.SafeMirrorRollout](errDown)),
		(&clock{minicluster.StartTime}).Now)
	if _, err := r.Reconcile(context.Background(), request("shop")); !errors.Is(err, errDown) {
		t.Errorf("error %v", err)
	}
}

// TestFailures: an action that fails is told on the status and tried again; a conflict is looked at
// again at once, and is no failure.
func TestFailures(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "machineconfigpools"}, "worker",
		errors.New("modified"))
	cases := map[string]struct {
		err     error
		want    ctrl.Result
		fails   bool
		blocker string
	}{
		"none": {nil, ctrl.Result{RequeueAfter: minRequeue}, false, ""},
		"a failure": {errDown, ctrl.Result{}, true,
			"pause-pool/worker: patching MachineConfigPool worker: connection refused; it is tried again"},
		"a conflict": {conflict, ctrl.Result{RequeueAfter: minRequeue}, false, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patches := &patchCounter{refuse: func(o client.Object) error {
				if o.GetName() == "worker" {
					return c.err
				}
				return nil
			}}
			cl := minicluster.Client(patches.funcs(), aboutToPause()...)
			r, _ := reconciler(cl, (&clock{minicluster.StartTime}).Now)
			r.Executor.Transfers.Start(mustObserve(t, r), true, time.Time{}) // nothing has to be copied
			got, err := r.Reconcile(context.Background(), request("shop"))
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			message := ""
			if blockers := getRollout(t, cl).Status.Blockers; len(blockers) > 0 {
				message = blockers[0].Message
			}
			if message != c.blocker {
				t.Errorf("blocker %q, want %q", message, c.blocker)
			}
			if diff := cmp.Diff([]string{"worker"}, patches.objects); diff != "" {
				t.Errorf("patches (-want +got):\n%s", diff)
			}
		})
	}
}

func mustObserve(t *testing.T, r *Reconciler) *observe.Observation {
	t.Helper()
	obs, err := r.Observer.Observe(context.Background(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return obs
}

// The record is never written over a newer one: the write is refused, and the next look decides
// anew.
func TestStatusPatchCarriesResourceVersion(t *testing.T) {
	var c client.WithWatch
	meanwhile := interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, inner client.Client, sub string, o client.Object,
			patch client.Patch, opts ...client.SubResourcePatchOption) error {
			users := &v1alpha1.SafeMirrorRollout{}
			if err := inner.Get(ctx, client.ObjectKeyFromObject(o), users); err != nil {
				return err
			}
			users.Labels = map[string]string{"edited": "by its user"}
			if err := inner.Update(ctx, users); err != nil {
				return err
			}
			return inner.SubResource(sub).Patch(ctx, o, patch, opts...)
		},
	}
	c = minicluster.Client(meanwhile, pausedByUser()...)
	r, events := reconciler(c, (&clock{minicluster.StartTime}).Now)
	if _, err := r.Reconcile(context.Background(), request("shop")); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict, which is tried again", err)
	}
	if after := getRollout(t, c); after.Status.Phase != "" || after.Labels["edited"] == "" || len(events.events) > 0 {
		t.Errorf("status %+v, events %v", after.Status, events.events)
	}
}

// Nobody is left to report to when the rollout went while it was looked at.
func TestStatusOfDeletedRollout(t *testing.T) {
	gone := &patchCounter{refuse: func(o client.Object) error {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "safemirrorrollouts"}, o.GetName())
	}}
	r, events := reconciler(minicluster.Client(gone.funcs(), pausedByUser()...), (&clock{minicluster.StartTime}).Now)
	if _, err := r.Reconcile(context.Background(), request("shop")); err != nil || len(events.events) > 0 {
		t.Errorf("error %v, events %v", err, events.events)
	}
}

// refusing stands for an executor that finds on its fresh look that an action is no longer asked
// for.
func TestRefusedActions(t *testing.T) {
	s := newScenario(t, 0)
	s.until(func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Record.Release != nil })
	s.rollout.Executor.Fence = &execute.Fence{Identity: "op-1", Lease: func(context.Context) (execute.Lease, error) {
		return execute.Lease{Holder: "op-1", Left: time.Second}, nil
	}}
	recorded := len(s.events.events)
	for range 3 {
		s.clock.advance(time.Second)
		got, err := s.rollout.Reconcile(context.Background(), request("shop"))
		if err != nil || got != (ctrl.Result{RequeueAfter: refusedRequeue}) {
			t.Errorf("%+v, %v; want another look soon, and no failure", got, err)
		}
	}
	r := getRollout(t, s.client)
	if !getPool(t, s.client, "infra").Spec.Paused || len(r.Status.Blockers) > 0 || len(s.events.events) > recorded+1 {
		t.Errorf("blockers %v, events %v", r.Status.Blockers, s.events.events[recorded:])
	}
	s.rollout.Executor.Fence = nil
	s.until(ready)
}

// The finalizer comes before everything, and the status follows in the next turn: its write would
// be refused in this one.
func TestFinalizerComesFirst(t *testing.T) {
	cases := map[string]struct {
		err                error
		statuses           int
		finalizers, blocks int
	}{
		"it is put on":        {nil, 0, 1, 0},
		"it cannot be put on": {errDown, 1, 0, 1},
		"somebody was quicker": {apierrors.NewConflict(schema.GroupResource{}, "shop", errors.New("modified")),
			0, 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			refusing := false
			patches := &patchCounter{}
			cl := minicluster.Client(patches.funcs(),
				append(minicluster.Objects("worker-0"), minicluster.Rollout("shop"))...)
			patches.refuse = func(o client.Object) error {
				if refusing && len(o.GetFinalizers()) > 0 {
					return c.err
				}
				return nil
			}
			r, _ := reconciler(cl, (&clock{minicluster.StartTime}).Now)
			r.Executor.Transfers.Start(mustObserve(t, r), true, time.Time{})
			refusing = true
			_, err := r.Reconcile(context.Background(), request("shop"))
			if (err != nil) != (c.blocks > 0) {
				t.Errorf("error %v", err)
			}
			after := getRollout(t, cl)
			if len(patches.statuses) != c.statuses || len(after.Finalizers) != c.finalizers ||
				len(after.Status.Blockers) != c.blocks {
				t.Errorf("%d writes of the status, finalizers %v, blockers %v", len(patches.statuses), after.Finalizers,
					after.Status.Blockers)
			}
		})
	}
}

// The last turn of a rollout: nothing is written after the finalizer is off.
func TestRemovingTheFinalizer(t *testing.T) {
	deleted := metav1.NewTime(minicluster.StartTime)
	leaving := func(r *v1alpha1.SafeMirrorRollout) {
		r.DeletionTimestamp, r.Finalizers = &deleted, []string{rollout.Finalizer}
	}
	patches := &patchCounter{}
	c := minicluster.Client(patches.funcs(),
		minicluster.Edit(append(minicluster.Objects("worker-0"), minicluster.Rollout("shop")), "shop", leaving)...)
	r, events := reconciler(c, (&clock{minicluster.StartTime}).Now)
	if got, err := r.Reconcile(context.Background(), request("shop")); err != nil || got != (ctrl.Result{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Get(context.Background(), client.ObjectKey{Name: "shop"},
		&v1alpha1.SafeMirrorRollout{}); !apierrors.IsNotFound(err) {
		t.Errorf("the rollout is there: %v", err)
	}
	if len(patches.statuses) > 0 || len(events.events) > 0 {
		t.Errorf("statuses %v, events %v", patches.statuses, events.events)
	}
	t.Run("it cannot be taken off", func(t *testing.T) {
		patches := &patchCounter{}
		patches.refuse = func(client.Object) error {
			if len(patches.statuses) == 0 {
				return errDown
			}
			return nil
		}
		c := minicluster.Client(patches.funcs(),
			minicluster.Edit(append(minicluster.Objects("worker-0"), minicluster.Rollout("shop")), "shop", leaving)...)
		r, _ := reconciler(c, (&clock{minicluster.StartTime}).Now)
		if _, err := r.Reconcile(context.Background(), request("shop")); !errors.Is(err, errDown) {
			t.Errorf("error %v", err)
		}
		if blockers := getRollout(t, c).Status.Blockers; len(blockers) != 1 ||
			!strings.Contains(blockers[0].Message, "remove-finalizer: connection refused") {
			t.Errorf("blockers %v", blockers)
		}
	})
}

// TestRequeue: watches report what changes; this is for what no watch reports.
func TestRequeue(t *testing.T) {
	now := minicluster.StartTime
	cases := map[string]struct {
		recheck time.Time
		failure error
		want    ctrl.Result
	}{
		"nothing to wait for": {time.Time{}, nil, ctrl.Result{}},
		"later":               {now.Add(15 * time.Second), nil, ctrl.Result{RequeueAfter: 15 * time.Second}},
		"now":                 {now, nil, ctrl.Result{RequeueAfter: minRequeue}},
		"long ago":            {now.Add(-time.Hour), nil, ctrl.Result{RequeueAfter: minRequeue}},
		"a failure":           {now, errDown, ctrl.Result{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := requeue(now, rollout.Decision{RecheckAt: c.recheck}, c.failure)
			if got != c.want || !errors.Is(err, c.failure) {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// A pool that has to be closed is closed in whatever phase, before anything else.
func TestRepauseActionsAreExecuted(t *testing.T) {
	objects := minicluster.Edit(withPauseRecord(aboutToPause(), openPauseRecord()), "worker-0",
		func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = "rendered-worker-1" })
	c := minicluster.Client(interceptor.Funcs{}, objects...)
	r, _ := reconciler(c, (&clock{minicluster.StartTime}).Now)
	if _, err := r.Reconcile(context.Background(), request("shop")); err != nil {
		t.Fatal(err)
	}
	if record := pauseRecordOf(t, c, "worker"); !getPool(t, c, "worker").Spec.Paused || !record.Release.Closed {
		t.Errorf("pause record %+v", record)
	}
}
