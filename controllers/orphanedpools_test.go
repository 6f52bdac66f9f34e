package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// heldPool is the worker pool, paused with the pause record of shop on it, with two nodes that run
// its configuration.
func heldPool() []client.Object {
	return minicluster.Edit(withPauseRecord(minicluster.Objects("worker-0", "worker-1"), somePauseRecord()), "worker",
		func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = true })
}

// heldPoolWithOldNode is the same pool with one node that does not run its configuration.
func heldPoolWithOldNode() []client.Object {
	return minicluster.Edit(heldPool(), "worker-1",
		func(n *corev1.Node) { n.Annotations[minicluster.CurrentConfig] = "rendered-worker-9" })
}

// A pool of a rollout that was taken away by force is restored if that releases nothing, and else
// stays paused and says so (I5).
func TestOrphanedPools(t *testing.T) {
	rollout := minicluster.Rollout("shop")
	again := minicluster.Rollout("shop")
	again.UID = "another"
	const hold = "worker Warning PoolOrphaned: SafeMirrorRollout shop is gone and left this pool paused since 2026-03-01T12:00:00Z with 1 of 2 nodes on rendered-worker-0; it stays paused"
	cases := map[string]struct {
		objects []client.Object
		want    ctrl.Result
		event   string
		paused  bool
	}{
		"settled": {heldPool(), ctrl.Result{},
			"worker Normal PoolGivenBack: SafeMirrorRollout shop is gone and all 2 nodes run rendered-worker-0", false},
		"a node is left":               {heldPoolWithOldNode(), ctrl.Result{RequeueAfter: orphanRequeue}, hold, true},
		"its rollout is there":         {append(heldPool(), rollout), ctrl.Result{}, "", true},
		"its rollout was created anew": {append(heldPool(), again), ctrl.Result{}, "", true},
		"nobody's": {minicluster.Edit(minicluster.Objects("worker-0"), "worker",
			func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = true }),
			ctrl.Result{}, "", true},
		"nobody can read its pause record": {minicluster.Edit(heldPool(), "worker",
			func(p *mcfgv1.MachineConfigPool) { p.Annotations[pool.PauseRecordAnnotation] = "?" }),
			ctrl.Result{}, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cl, events := minicluster.Client(interceptor.Funcs{}, c.objects...), &eventRecorder{}
			before := getPool(t, cl, "worker")
			got, err := (&OrphanedPools{Client: cl, API: cl, Recorder: events}).Reconcile(context.Background(),
				request("worker"))
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			if said := strings.Join(events.events, "\n"); !strings.HasPrefix(said, c.event) ||
				(c.event == "") != (said == "") {
				t.Errorf("events %q, want %q", said, c.event)
			}
			after := getPool(t, cl, "worker")
			if after.Spec.Paused != c.paused {
				t.Errorf("paused: %t, want %t", after.Spec.Paused, c.paused)
			}
			if c.paused {
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("pool (-before +after):\n%s", diff)
				}
			} else if m := after.Spec.MaxUnavailable; after.Annotations[pool.PauseRecordAnnotation] != "" || m == nil ||
				m.String() != "10%" {
				t.Errorf("annotations %v, maxUnavailable %v; want what it had before", after.Annotations, m)
			}
		})
	}
}

// While anything that matters cannot be read, the pool stays as it is; and an event tells only of
// what was done.
func TestOrphanedPoolsUnreadable(t *testing.T) {
	conflict := &patchCounter{refuse: func(client.Object) error { return errDown }}
	cases := map[string]interceptor.Funcs{
		"the pool":         minicluster.FailingReads[*mcfgv1.MachineConfigPool](errDown),
		"the rollout":      minicluster.FailingReads[*v1alpha1.SafeMirrorRollout](errDown),
		"pools":            minicluster.FailingReads[*mcfgv1.MachineConfigPoolList](errDown),
		"nodes":            minicluster.FailingReads[*corev1.NodeList](errDown),
		"the patch failed": conflict.funcs(),
	}
	for name, funcs := range cases {
		t.Run(name, func(t *testing.T) {
			cl, events := minicluster.Client(funcs, heldPool()...), &eventRecorder{}
			if _, err := (&OrphanedPools{Client: cl, API: cl, Recorder: events}).Reconcile(context.Background(),
				request("worker")); !errors.Is(err, errDown) {
				t.Errorf("error %v", err)
			}
			if len(events.events) > 0 {
				t.Errorf("events %v", events.events)
			}
		})
	}
	t.Run("a pool that is gone", func(t *testing.T) {
		cl := minicluster.Client(interceptor.Funcs{})
		if got, err := (&OrphanedPools{Client: cl, API: cl}).Reconcile(context.Background(),
			request("worker")); err != nil || got != (ctrl.Result{}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// The end of a rollout is looked at for the pools that it held: they tell of nothing by themselves.
func TestPoolsHeldBy(t *testing.T) {
	objects := append(heldPool(), minicluster.Pool("infra")...)
	unreadable := minicluster.Edit(minicluster.Pool("other"), "other",
		func(p *mcfgv1.MachineConfigPool) { p.Annotations = map[string]string{pool.PauseRecordAnnotation: "?"} })
	cases := map[string]struct {
		client client.Client
		name   string
		want   []reconcile.Request
	}{
		"its own": {minicluster.Client(interceptor.Funcs{}, append(objects, unreadable...)...), "shop",
			[]reconcile.Request{request("worker")}},
		"another's": {minicluster.Client(interceptor.Funcs{}, objects...), "books", nil},
		"unreadable": {minicluster.Client(minicluster.FailingReads[*mcfgv1.MachineConfigPoolList](errDown), objects...),
			"shop", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := (&OrphanedPools{Client: c.client}).poolsHeldBy(context.Background(), minicluster.Rollout(c.name))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}
