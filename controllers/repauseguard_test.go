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
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// A released pool is closed once its node is taken or its time is up, whoever opened it (R1).
func TestRepauseGuard(t *testing.T) {
	taken := func(objects []client.Object) []client.Object {
		return minicluster.Edit(objects, "worker-1",
			func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = "rendered-worker-1" })
	}
	target := func(objects []client.Object) []client.Object {
		return minicluster.Edit(objects, "worker",
			func(p *mcfgv1.MachineConfigPool) { p.Spec.Configuration.Name = "rendered-worker-1" })
	}
	waiting := openPauseRecord()
	waiting.Release.Target, waiting.Release.UpdatedBefore = "rendered-worker-1", 0
	closed := openPauseRecord()
	closed.Release.Closed = true
	cases := map[string]struct {
		objects []client.Object
		after   time.Duration
		want    ctrl.Result
		closes  bool
	}{
		"no node is taken": {target(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting)), 0,
			ctrl.Result{RequeueAfter: time.Minute}, false},
		"not yet": {target(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting)),
			59 * time.Second, ctrl.Result{RequeueAfter: time.Second}, false},
		"very soon": {target(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting)),
			time.Minute - 1, ctrl.Result{RequeueAfter: minRequeue}, false},
		"its time is up": {target(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting)),
			time.Minute, ctrl.Result{}, true},
		"long ago": {target(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting)),
			time.Hour, ctrl.Result{}, true},
		"a node is taken": {taken(target(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting))),
			0, ctrl.Result{}, true},
		"it is rendered anew": {withPauseRecord(minicluster.Objects("worker-0", "worker-1"), waiting), 0,
			ctrl.Result{}, true},
		"it is closed": {withPauseRecord(minicluster.Objects(), closed), time.Hour, ctrl.Result{}, false},
		"it was never released": {withPauseRecord(minicluster.Objects(), somePauseRecord()), time.Hour,
			ctrl.Result{}, false},
		"it is nobody's": {minicluster.Objects(), time.Hour, ctrl.Result{}, false},
		"it is gone":     {nil, time.Hour, ctrl.Result{}, false},
		"somebody has paused it": {minicluster.Edit(withPauseRecord(minicluster.Objects(), waiting), "worker",
			func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = true }),
			time.Hour, ctrl.Result{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patches := &patchCounter{}
			cl := minicluster.Client(patches.funcs(), c.objects...)
			g := &RepauseGuard{Client: cl, Now: (&clock{minicluster.StartTime.Add(c.after)}).Now}
			got, err := g.Reconcile(context.Background(), request("worker"))
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			if (len(patches.objects) > 0) != c.closes {
				t.Errorf("patches %v", patches.objects)
			}
			if !c.closes {
				return
			}
			want := waiting
			window := *waiting.Release
			window.Closed = true
			want.Release = &window
			if diff := cmp.Diff(&want, pauseRecordOf(t, cl, "worker")); diff != "" ||
				!getPool(t, cl, "worker").Spec.Paused {
				t.Errorf("paused %t, pause record (-want +got):\n%s", getPool(t, cl, "worker").Spec.Paused, diff)
			}
		})
	}
}

// Past the deadline nothing but the pool has to be readable. Before it, what cannot be read is
// tried again.
func TestRepauseGuardReadsLittle(t *testing.T) {
	cases := map[string]struct {
		funcs interceptor.Funcs
		after time.Duration
		want  error
	}{
		"no pools":                 {minicluster.FailingReads[*mcfgv1.MachineConfigPoolList](errDown), 0, errDown},
		"no nodes":                 {minicluster.FailingReads[*corev1.NodeList](errDown), 0, errDown},
		"no nodes, and it is time": {minicluster.FailingReads[*corev1.NodeList](errDown), time.Minute, nil},
		"not even the pool to look at": {minicluster.FailingReads[*mcfgv1.MachineConfigPool](errDown), time.Minute,
			errDown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := &RepauseGuard{Client: minicluster.Client(c.funcs,
				withPauseRecord(minicluster.Objects(), openPauseRecord())...),
				Now: (&clock{minicluster.StartTime.Add(c.after)}).Now}
			if _, err := g.Reconcile(context.Background(), request("worker")); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// When two replicas close the same pool, the second one is told so and looks again.
func TestConcurrentRepauseGuards(t *testing.T) {
	c := minicluster.Client(interceptor.Funcs{}, withPauseRecord(minicluster.Objects(), openPauseRecord())...)
	stale := getPool(t, c, "worker")
	g := &RepauseGuard{Client: c, Now: (&clock{minicluster.StartTime.Add(time.Hour)}).Now}
	if _, err := g.Reconcile(context.Background(), request("worker")); err != nil {
		t.Fatal(err)
	}
	if err := pool.Repause(context.Background(), c, stale); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	if got, err := g.Reconcile(context.Background(), request("worker")); err != nil || got != (ctrl.Result{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A node matters for the pools that are open, and for no others.
func TestUnpausedPools(t *testing.T) {
	paused := func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = true }
	requests := func(names ...string) (out []reconcile.Request) {
		for _, n := range names {
			out = append(out, request(n))
		}
		return out
	}
	objects := append(withPauseRecord(minicluster.Objects(), openPauseRecord()), minicluster.Pool("infra")...)
	cases := map[string]struct {
		client client.Client
		want   []reconcile.Request
	}{
		"one is open": {minicluster.Client(interceptor.Funcs{}, objects...), requests("worker")},
		"all are closed": {minicluster.Client(interceptor.Funcs{},
			minicluster.Edit(withPauseRecord(minicluster.Objects(), openPauseRecord()), "worker", paused)...), nil},
		"unreadable": {minicluster.Client(minicluster.FailingReads[*mcfgv1.MachineConfigPoolList](errDown),
			objects...), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := (&RepauseGuard{Client: c.client}).unpausedPools(context.Background(),
				minicluster.Node("worker-0", "worker"))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// Whether the unpause window of an unreadable record is over is unknown: the pool is paused, the
// annotation stays, and an event says what to do.
func TestRepauseGuardOnUnreadableRecord(t *testing.T) {
	for name, paused := range map[string]bool{"open": false, "paused": true} {
		t.Run(name, func(t *testing.T) {
			patches, recorder := &patchCounter{}, &eventRecorder{}
			cl := minicluster.Client(patches.funcs(), minicluster.Edit(minicluster.Objects(), "worker",
				func(p *mcfgv1.MachineConfigPool) {
					p.Spec.Paused = paused
					p.Annotations = map[string]string{pool.PauseRecordAnnotation: "?"}
				})...)
			g := &RepauseGuard{Client: cl, Recorder: recorder, Now: (&clock{minicluster.StartTime}).Now}
			got, err := g.Reconcile(t.Context(), request("worker"))
			after := getPool(t, cl, "worker")
			if err != nil || got != (ctrl.Result{}) || !after.Spec.Paused ||
				after.Annotations[pool.PauseRecordAnnotation] != "?" {
				t.Errorf("%+v, %v, paused %t, annotations %v", got, err, after.Spec.Paused, after.Annotations)
			}
			if (len(patches.objects) == 0) != paused || (len(recorder.events) == 0) != paused {
				t.Errorf("patches %v, events %v", patches.objects, recorder.events)
			}
			for _, event := range recorder.events {
				if !strings.Contains(event, "worker Warning PoolPaused") ||
					!strings.Contains(event, "repair annotation "+pool.PauseRecordAnnotation) {
					t.Errorf("event %q", event)
				}
			}
		})
	}
}

// What restores something after a rollout was deleted by force is behind the same fence.
func TestOrphansNeedLease(t *testing.T) {
	ended := 0
	fence := &execute.Fence{Identity: "op-1", End: func() { ended++ },
		Lease: func(context.Context) (execute.Lease, error) {
			return execute.Lease{Holder: "op-2", Left: time.Minute}, nil
		}}
	patches := &patchCounter{}
	cl := minicluster.Client(patches.funcs(), withPauseRecord(minicluster.Objects("worker-0"), somePauseRecord())...)
	recorder := &eventRecorder{}
	orphaned := &OrphanedPools{Client: cl, API: cl, Recorder: recorder, Fence: fence}
	got, err := orphaned.Reconcile(t.Context(), request("worker"))
	if err != nil || got.RequeueAfter != refusedRequeue || ended != 1 || len(patches.objects) > 0 ||
		len(recorder.events) > 0 {
		t.Errorf("%+v, %v, ended %d times, patches %v, events %v", got, err, ended, patches.objects, recorder.events)
	}
	orphaned.Fence = nil
	if _, err := orphaned.Reconcile(t.Context(), request("worker")); err != nil || len(patches.objects) != 1 {
		t.Errorf("without an election: %v, patches %v", err, patches.objects)
	}
}
