package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/evidence"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/metrics"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/status"
)

// Reconciler carries a SafeMirrorRollout through its phases: observe, decide, execute, report.
type Reconciler struct {
	Client   client.Client
	Observe  *observe.Live
	Execute  *execute.Executor
	Recorder events.EventRecorder
	// Evidence writes the report beside the rollout; nil writes none.
	Evidence *evidence.Writer
	// Metrics takes over each status; optional.
	Metrics *metrics.Collector
	// PodQuiet is how long events of pods and workloads are gathered before the next look.
	PodQuiet time.Duration

	// enqueuing is true while a list of all rollouts is tried again for an event.
	enqueuing atomic.Bool
}

// soon is how long to wait before the next look when there is more to do at once: long enough for the watch events of one's own
// writes, which then need no look of their own.
const soon = 20 * time.Millisecond

// refusedWait is how long to wait after an action was refused on a fresh look. What has changed is reported by a watch sooner; a
// refusal that no watch ends (the lease has to be renewed first) is not asked for fifty times a second.
const refusedWait = 500 * time.Millisecond

// Reconcile is one turn of the loop.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	world, err := r.Observe.Observe(ctx, req.Name)
	if err != nil {
		if apierrors.IsNotFound(err) {
			r.Metrics.Gone(req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	decision := rollout.Decide(world.Observed)
	failure := r.act(ctx, world, decision)
	if gone(decision, failure) {
		return ctrl.Result{}, nil
	}
	var refused *execute.Refused
	switch { // neither is a failure: the next look decides anew
	case errors.As(failure, &refused):
		decision.RecheckAt, failure = world.Observed.Now.Add(refusedWait), nil
	case apierrors.IsConflict(failure):
		decision.RecheckAt, failure = world.Observed.Now, nil
	}
	written, again := r.writeEvidence(ctx, world)
	if !again.IsZero() && (decision.RecheckAt.IsZero() || again.Before(decision.RecheckAt)) {
		decision.RecheckAt = again
	}
	if err := r.report(ctx, world, decision, written, failure); err != nil {
		return ctrl.Result{}, err
	}
	return next(world.Observed.Now, decision, failure)
}

// act carries out the decision's actions in order. The first failure ends the turn: what comes after may depend on it.
func (r *Reconciler) act(ctx context.Context, w *observe.World, d rollout.Decision) error {
	for _, a := range d.Actions {
		if err := r.Execute.Execute(ctx, w, a); err != nil {
			return fmt.Errorf("%s: %w", a.Key(), err)
		}
		if !background(a) {
			log.FromContext(ctx).Info("done", "action", a.Key(), "phase", d.Phase, "why", d.Why)
		}
	}
	return nil
}

// background tells whether the action is asked for again and again, until what it asks for is there.
func background(a rollout.Action) bool {
	switch a.(type) {
	case rollout.EnsureTransfers, rollout.MirrorAgain:
		return true
	default:
		return false
	}
}

// gone: after the finalizer is off there may be nobody left to report to.
func gone(d rollout.Decision, failure error) bool {
	if failure != nil {
		return false
	}
	for _, a := range d.Actions {
		if _, ok := a.(rollout.RemoveFinalizer); ok {
			return true
		}
	}
	return false
}

// report writes the status once, when it has changed, and tells of a change of phase or reason by an event. The write carries the
// resourceVersion: the record is never written over a newer one.
func (r *Reconciler) report(ctx context.Context, w *observe.World, d rollout.Decision, evidence v1alpha1.ReportReference, failure error) error {
	after := w.Rollout.DeepCopy()
	after.Status = status.Of(w.Rollout.Status, w.Observed, d, failure)
	after.Status.Report = evidence
	r.Metrics.Rollout(after.Name, after.Status)
	if equality.Semantic.DeepEqual(w.Rollout.Status, after.Status) {
		return nil
	}
	if failure == nil && added(d) {
		// The finalizer was put on in this very turn, so the object has moved on; the status follows in the next one.
		return nil
	}
	patch := client.MergeFromWithOptions(w.Rollout, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, after, patch, client.FieldOwner(pool.FieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, e := range status.Events(w.Rollout.Status, after.Status) {
		r.Recorder.Eventf(after, nil, e.Type, e.Reason, e.Action, "%s", e.Note)
	}
	return nil
}

// writeEvidence writes what was found out into the objects beside the rollout. Should that fail, the rollout goes on without: nothing is
// decided by them. again is when there is more to write.
func (r *Reconciler) writeEvidence(ctx context.Context, w *observe.World) (written v1alpha1.ReportReference, again time.Time) {
	written = w.Rollout.Status.Report
	if _, known := w.Observed.Plan.Get(); !known || r.Evidence == nil || !w.Rollout.DeletionTimestamp.IsZero() {
		return written, time.Time{}
	}
	fresh, again, err := r.Evidence.Report(ctx, w.Rollout, w.Plan, w.Inventory, w.Results)
	if err != nil {
		log.FromContext(ctx).Error(err, "the report is not written; the rollout goes on without")
		return written, again
	}
	return fresh, again
}

func added(d rollout.Decision) bool {
	for _, a := range d.Actions {
		if _, ok := a.(rollout.EnsureFinalizer); ok {
			return true
		}
	}
	return false
}

// next says when to look again. Nothing is polled: watches report what changes, and this is for what no watch reports.
func next(now time.Time, d rollout.Decision, failure error) (ctrl.Result, error) {
	switch {
	case failure != nil:
		return ctrl.Result{}, failure
	case d.RecheckAt.IsZero():
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(d.RecheckAt.Sub(now), soon)}, nil
}
