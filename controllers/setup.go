package controllers

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
)

// watch is one kind that may change a decision. Kinds that this cluster does not have are watched
// as soon as it has them.
type watch struct {
	object     client.Object
	predicates []predicate.Predicate
	// batchPeriod is how long to gather events of a busy kind before looking.
	batchPeriod time.Duration
	// optional kinds name images. They are watched once they turn out to be readable: the operator
	// may not have been given the right.
	optional bool
	// bySelector kinds are cached by a selector that is set up with the caches. One that comes
	// later is read live instead of watched, because all of its objects would be cached.
	bySelector bool
}

// watches lists the kinds. What names images comes and goes all the time, and what matters about it
// (a new image, a workload that is healthy again) can wait for the quiet time.
func watches(podBatchPeriod time.Duration) []watch {
	out := []watch{
		{object: &mcfgv1.MachineConfigPool{}},
		{object: &corev1.Node{}, predicates: []predicate.Predicate{nodeChanged()}},
		{object: &configv1.ImageTagMirrorSet{}},
		{object: &configv1.ImageDigestMirrorSet{}},
		{object: &configv1.Image{}},
		{object: &configv1.ClusterVersion{}, batchPeriod: time.Second},
		{object: &operatorv1alpha1.ImageContentSourcePolicy{}},
		{object: &opv1.MachineConfiguration{}},
		// Of a drain that is blocked by its budget nothing else may ever change: somebody sets
		// maxUnavailable to 0, and no pod moves any more.
		{object: &policyv1.PodDisruptionBudget{}, batchPeriod: podBatchPeriod},
	}
	for _, k := range inventory.Kinds() {
		if !slices.ContainsFunc(out, func(w watch) bool {
			return reflect.TypeOf(w.object) == reflect.TypeOf(k.Object) && !isUnstructured(k.Object)
		}) {
			out = append(out, watch{object: k.Object, batchPeriod: podBatchPeriod, optional: !k.Essential,
				bySelector: k.Selector != nil})
		}
	}
	return out
}

func isUnstructured(o client.Object) bool {
	_, ok := o.(*unstructured.Unstructured)
	return ok
}

// SetupWithManager registers the controllers with the manager. Watches of other kinds start once
// they are discovered, so that a kind that is absent stops nothing: on MicroShift the operator runs
// and says on the rollout why it cannot be done.
func SetupWithManager(mgr ctrl.Manager, r *Reconciler, transfers <-chan struct{}) error {
	c, err := ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.SafeMirrorRollout{}).
		WatchesRawSource(source.Func(func(ctx context.Context,
			queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			go forward(ctx, transfers, func() { r.enqueueAll(ctx, queue, 0) })
			return nil
		})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, RateLimiter: rateLimiter()}).
		Build(r)
	if err != nil {
		return fmt.Errorf("building the rollout controller: %w", err)
	}
	return mgr.Add(&kindDiscovery{
		manager: mgr, reconciler: r, controller: c, pending: watches(r.PodBatchPeriod), readable: readableBy(mgr),
		poolControllers: []func(ctrl.Manager) error{
			(&RepauseGuard{Client: mgr.GetClient(), Recorder: r.Recorder, Now: r.Observer.Now}).setupWithManager,
			(&OrphanedPools{Client: mgr.GetClient(), API: mgr.GetAPIReader(), Recorder: r.Recorder,
				Fence: r.Executor.Fence}).setupWithManager,
			(&OrphanedNodes{Client: mgr.GetClient(), API: mgr.GetAPIReader(), Recorder: r.Recorder,
				Fence: r.Executor.Fence}).setupWithManager,
			(&OrphanedPolicy{Client: mgr.GetClient(), API: mgr.GetAPIReader(), Recorder: r.Recorder,
				Fence: r.Executor.Fence}).setupWithManager,
		},
	})
}

// rateLimiter is the pace after failures. The default backs off for up to 16 minutes, and an open
// question is looked at within one (I7).
func rateLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 30*time.Second)
}

func forward(ctx context.Context, from <-chan struct{}, do func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-from:
			do()
		}
	}
}

// kindDiscovery starts the watches of kinds as the API server turns out to have them.
type kindDiscovery struct {
	manager    ctrl.Manager
	reconciler *Reconciler
	controller controller.Controller
	readable   func(client.Object) bool

	mu      sync.Mutex
	pending []watch
	// poolControllers are the controllers that need MachineConfigPools to exist.
	poolControllers []func(ctrl.Manager) error
}

// discoverEvery is how often kinds that are absent are looked for again.
const discoverEvery = 30 * time.Second

// NeedLeaderElection implements manager.LeaderElectionRunnable: the guard is for every replica.
func (d *kindDiscovery) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (d *kindDiscovery) Start(ctx context.Context) error {
	ticker := time.NewTicker(discoverEvery)
	defer ticker.Stop()
	for {
		if err := d.startAvailable(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (d *kindDiscovery) startAvailable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.exists(&mcfgv1.MachineConfigPool{}) {
		for _, setup := range d.poolControllers {
			if err := setup(d.manager); err != nil {
				return fmt.Errorf("setting up a controller of MachineConfigPools: %w", err)
			}
		}
		d.poolControllers = nil
	}
	var later []watch
	for _, w := range d.pending {
		if !d.exists(w.object) || (w.optional && !d.readable(w.object)) {
			if !w.bySelector {
				later = append(later, w)
			}
			continue
		}
		if err := d.controller.Watch(source.Kind(d.manager.GetCache(), w.object, d.enqueue(w.batchPeriod),
			w.predicates...)); err != nil {
			return fmt.Errorf("watching %T: %w", w.object, err)
		}
		d.markCached(w.object)
	}
	d.pending = later
	return nil
}

// readableBy asks for one object of a kind, past the caches. A cache of a kind that may not be
// listed would never be filled.
func readableBy(mgr ctrl.Manager) func(client.Object) bool {
	return func(object client.Object) bool {
		kind, err := apiutil.GVKForObject(object, mgr.GetScheme())
		if err != nil {
			return false
		}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		return mgr.GetAPIReader().List(context.Background(), list, client.Limit(1)) == nil
	}
}

// markCached lets looks read the kind from the caches.
func (d *kindDiscovery) markCached(object client.Object) {
	kind, err := apiutil.GVKForObject(object, d.manager.GetScheme())
	if err == nil && d.reconciler.Observer != nil {
		d.reconciler.Observer.Kinds.MarkCached(kind)
	}
}

func (d *kindDiscovery) exists(object client.Object) bool {
	kind, err := apiutil.GVKForObject(object, d.manager.GetScheme())
	if err != nil {
		return false
	}
	_, err = d.manager.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	return err == nil
}

// enqueue asks for a look at every rollout: there are few, and any of these objects may concern any
// of them. A quiet time folds a burst of events into one look.
func (d *kindDiscovery) enqueue(batchPeriod time.Duration) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	all := func(ctx context.Context, q queue) { d.reconciler.enqueueAll(ctx, q, batchPeriod) }
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, _ event.CreateEvent, q queue) { all(ctx, q) },
		UpdateFunc:  func(ctx context.Context, _ event.UpdateEvent, q queue) { all(ctx, q) },
		DeleteFunc:  func(ctx context.Context, _ event.DeleteEvent, q queue) { all(ctx, q) },
		GenericFunc: func(ctx context.Context, _ event.GenericEvent, q queue) { all(ctx, q) },
	}
}

// enqueueRetry is how often a list of rollouts that has failed is tried again.
const enqueueRetry = time.Second

// enqueueAll enqueues every rollout. When they cannot be listed it goes on trying until they can,
// or the manager ends: the event that asks for it is not sent again, and of a drain that is blocked
// by its budget nothing else may ever change. Events meanwhile wait for the same retry.
func (r *Reconciler) enqueueAll(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request],
	batchPeriod time.Duration) {
	err := r.tryEnqueueAll(ctx, queue, batchPeriod)
	if err == nil || !r.enqueuing.CompareAndSwap(false, true) {
		return
	}
	log.FromContext(ctx).Error(err, "listing SafeMirrorRollouts for an event failed; it is tried again", "every",
		enqueueRetry)
	go func() {
		defer r.enqueuing.Store(false)
		// it ends with ctx, or well
		_ = wait.PollUntilContextCancel(ctx, enqueueRetry, false, func(ctx context.Context) (bool, error) {
			return r.tryEnqueueAll(ctx, queue, 0) == nil, nil
		})
	}()
}

func (r *Reconciler) tryEnqueueAll(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request],
	batchPeriod time.Duration) error {
	var list v1alpha1.SafeMirrorRolloutList
	if err := r.Client.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])}, batchPeriod)
	}
	return nil
}
