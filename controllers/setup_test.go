package controllers

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// manager is one that is never started, for a cluster with these kinds.
func manager(t *testing.T, mapper meta.RESTMapper) ctrl.Manager {
	t.Helper()
	yes := true
	mgr, err := ctrl.NewManager(&rest.Config{Host: "https://nowhere.invalid"}, ctrl.Options{
		Scheme:         minicluster.Scheme(),
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
		Metrics:        metricsserver.Options{BindAddress: "0"},
		Controller:     config.Controller{SkipNameValidation: &yes},
	})
	if err != nil {
		t.Fatal(err)
	}
	return mgr
}

func TestSetupWithManager(t *testing.T) {
	mgr := manager(t, minicluster.Mapper())
	r, _ := reconciler(minicluster.Client(interceptor.Funcs{}), time.Now)
	if err := SetupWithManager(mgr, r, make(chan struct{})); err != nil {
		t.Fatal(err)
	}
	if err := (&RepauseGuard{Client: mgr.GetClient(), Now: time.Now}).setupWithManager(mgr); err != nil {
		t.Error(err)
	}
	if err := (&OrphanedNodes{Client: mgr.GetClient(), API: mgr.GetAPIReader()}).setupWithManager(mgr); err != nil {
		t.Error(err)
	}
	if err := (&OrphanedPools{Client: mgr.GetClient(), API: mgr.GetAPIReader()}).setupWithManager(mgr); err != nil {
		t.Error(err)
	}
}

// watchCounter counts what is watched.
type watchCounter struct {
	controller.Controller
	watched int
	err     error
}

func (w *watchCounter) Watch(source.TypedSource[reconcile.Request]) error {
	w.watched++
	return w.err
}

func always(client.Object) bool { return true }

// mutableMapper is a discovery that changes.
type mutableMapper struct{ meta.RESTMapper }

// Kinds that the cluster does not have stop nothing, and are watched as soon as it has them.
func TestDiscovery(t *testing.T) {
	// no mapper here knows them
	foreign := len(slices.DeleteFunc(watches(0), func(w watch) bool { return !isUnstructured(w.object) }))
	selected := len(slices.DeleteFunc(watches(0), func(w watch) bool { return !w.bySelector }))
	kinds := len(watches(0)) - foreign
	mapper := &mutableMapper{minicluster.Mapper("MachineConfigPool", "ImageContentSourcePolicy")}
	w, setUps := &watchCounter{}, 0
	d := &kindDiscovery{manager: manager(t, mapper), reconciler: &Reconciler{}, controller: w, pending: watches(0),
		readable: always, poolControllers: []func(ctrl.Manager) error{
			func(ctrl.Manager) error { setUps++; return nil },
		}}
	expect := func(watched, pending, set int) {
		t.Helper()
		stopped, stop := context.WithCancel(context.Background())
		stop()
		if err := d.Start(stopped); err != nil {
			t.Fatal(err)
		}
		if w.watched != watched || len(d.pending) != pending || setUps != set {
			t.Errorf("%d watched, %d pending, %d controllers of pools; want %d, %d, %d", w.watched, len(d.pending),
				setUps, watched, pending, set)
		}
	}
	foreign -= selected // given up at once
	expect(kinds-2, foreign+2, 0)
	expect(kinds-2, foreign+2, 0)
	mapper.RESTMapper = minicluster.Mapper("ImageContentSourcePolicy")
	expect(kinds-1, foreign+1, 1)
	mapper.RESTMapper = minicluster.Mapper()
	expect(kinds, foreign, 1)
	if d.NeedLeaderElection() {
		t.Error("the guard is for every replica")
	}
}

func TestDiscoveryFails(t *testing.T) {
	t.Run("a watch", func(t *testing.T) {
		d := &kindDiscovery{manager: manager(t, minicluster.Mapper()), reconciler: &Reconciler{},
			controller: &watchCounter{err: errDown}, pending: watches(0), readable: always}
		if err := d.Start(context.Background()); !errors.Is(err, errDown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a controller of pools", func(t *testing.T) {
		d := &kindDiscovery{manager: manager(t, minicluster.Mapper()),
			poolControllers: []func(ctrl.Manager) error{func(ctrl.Manager) error { return errDown }}}
		if err := d.Start(context.Background()); !errors.Is(err, errDown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an object of no kind", func(t *testing.T) {
		d := &kindDiscovery{manager: manager(t, minicluster.Mapper())}
		if d.exists(&unregistered{}) {
			t.Error("it exists")
		}
	})
}

// unregistered is an object that no scheme knows.
type unregistered struct{ corev1.Pod }

// queue records what is added, and after what time. A retry adds from a goroutine of its own.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	mu    sync.Mutex
	delay map[string]time.Duration
}

func (q *queue) AddAfter(r reconcile.Request, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.delay == nil {
		q.delay = map[string]time.Duration{}
	}
	q.delay[r.Name] = d
}

func (q *queue) added() map[string]time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.delay)
}

// Any of these objects may concern any rollout.
func TestEveryRolloutIsEnqueued(t *testing.T) {
	c := minicluster.Client(interceptor.Funcs{}, minicluster.Rollout("shop"), minicluster.Rollout("books"))
	d := &kindDiscovery{reconciler: &Reconciler{Client: c}}
	handler, ctx, pod := d.enqueue(2*time.Second), context.Background(), &corev1.Pod{}
	want := map[string]time.Duration{"shop": 2 * time.Second, "books": 2 * time.Second}
	for name, send := range map[string]func(*queue){
		"created": func(q *queue) { handler.Create(ctx, event.CreateEvent{Object: pod}, q) },
		"updated": func(q *queue) { handler.Update(ctx, event.UpdateEvent{ObjectOld: pod, ObjectNew: pod}, q) },
		"deleted": func(q *queue) { handler.Delete(ctx, event.DeleteEvent{Object: pod}, q) },
		"other":   func(q *queue) { handler.Generic(ctx, event.GenericEvent{Object: pod}, q) },
	} {
		t.Run(name, func(t *testing.T) {
			q := &queue{}
			send(q)
			if diff := cmp.Diff(want, q.added()); diff != "" {
				t.Errorf("added (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var lists atomic.Int32
			c := minicluster.Client(interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList,
					opts ...client.ListOption) error {
					if lists.Add(1) <= 3 {
						return errDown
					}
					return c.List(ctx, list, opts...)
				},
			}, minicluster.Rollout("shop"))
			q, r := &queue{}, &Reconciler{Client: c}
			r.enqueueAll(t.Context(), q, 0)
			r.enqueueAll(t.Context(), q, 0) // waits for the same retry
			if len(q.added()) > 0 {
				t.Errorf("added %v although the list fails", q.added())
			}
			time.Sleep(enqueueRetry) // of the bubble's clock
			synctest.Wait()
			if len(q.added()) > 0 {
				t.Errorf("added %v although the list fails", q.added())
			}
			time.Sleep(enqueueRetry)
			synctest.Wait()
			if _, ok := q.added()["shop"]; !ok || r.enqueuing.Load() {
				t.Errorf("added %v, still trying %t: the event is lost", q.added(), r.enqueuing.Load())
			}
		})
	})
}

// Busy kinds are gathered; what a rollout waits for at once is not.
func TestWatches(t *testing.T) {
	busy := 0
	for _, w := range watches(3 * time.Second) {
		switch w.object.(type) {
		case *corev1.Pod, *policyv1.PodDisruptionBudget:
			busy++
			if w.batchPeriod != 3*time.Second {
				t.Errorf("%T is gathered for %s", w.object, w.batchPeriod)
			}
		case *corev1.Node, *mcfgv1.MachineConfigPool:
			if w.batchPeriod != 0 {
				t.Errorf("%T is gathered for %s", w.object, w.batchPeriod)
			}
		}
	}
	if busy != 2 {
		t.Errorf("%d of the busy kinds are watched, want pods and budgets", busy)
	}
}

func TestForward(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	from, done, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		forward(ctx, from, func() { done <- struct{}{} })
	}()
	for range 3 {
		from <- struct{}{}
		<-done
	}
	stop()
	<-ended
}

// After failures nobody waits for 16 minutes (I7).
func TestRateLimiter(t *testing.T) {
	limiter := rateLimiter()
	var last time.Duration
	paces := []time.Duration{}
	for range 20 {
		last = limiter.When(request("shop"))
		paces = append(paces, last)
	}
	if paces[0] != 50*time.Millisecond || last != 30*time.Second || !slices.IsSorted(paces) {
		t.Errorf("%v", paces)
	}
}
