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
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/metrics"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/report"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/status"
)

// Reconciler carries a SafeMirrorRollout through its phases: observe, decide, execute, report.
type Reconciler struct {
	Client   client.Client
	Observer *observe.Observer
	Executor *execute.Executor
	Recorder events.EventRecorder
	// Reports writes the report beside the rollout; nil writes none.
	Reports *report.Writer
	// Metrics takes over each status; optional.
	Metrics *metrics.Collector
	// PodBatchPeriod is how long events of pods and workloads are gathered before the next look.
	PodBatchPeriod time.Duration

	// enqueuing is true while a list of all rollouts is tried again for an event.
	enqueuing atomic.Bool
}

// minRequeue is how long to wait before the next look when there is more to do at once: long enough
// for the watch events of one's own writes, which then need no look of their own.
const minRequeue = 20 * time.Millisecond

// refusedRequeue is how long to wait after an action was refused on a fresh look. What has changed
// is reported by a watch sooner; a refusal that no watch ends (the lease has to be renewed first)
// is not asked for fifty times a second.
const refusedRequeue = 500 * time.Millisecond

// Reconcile is one turn of the loop.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obs, err := r.Observer.Observe(ctx, req.Name)
	if err != nil {
		if apierrors.IsNotFound(err) {
			r.Metrics.RemoveRollout(req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	decision := rollout.Decide(obs.Observed)
	failure := r.act(ctx, obs, decision)
	if finalizerRemoved(decision, failure) {
		return ctrl.Result{}, nil
	}
	var refused *execute.Refused
	switch { // neither is a failure: the next look decides anew
	case errors.As(failure, &refused):
		decision.RecheckAt, failure = obs.Observed.Now.Add(refusedRequeue), nil
	case apierrors.IsConflict(failure):
		decision.RecheckAt, failure = obs.Observed.Now, nil
	}
	written, writeAgainAt := r.writeReport(ctx, obs)
	if !writeAgainAt.IsZero() && (decision.RecheckAt.IsZero() || writeAgainAt.Before(decision.RecheckAt)) {
		decision.RecheckAt = writeAgainAt
	}
	if err := r.updateStatus(ctx, obs, decision, written, failure); err != nil {
		return ctrl.Result{}, err
	}
	return requeue(obs.Observed.Now, decision, failure)
}

// act carries out the decision's actions in order. The first failure ends the turn: what comes
// after may depend on it.
func (r *Reconciler) act(ctx context.Context, obs *observe.Observation, d rollout.Decision) error {
	for _, a := range d.Actions {
		if err := r.Executor.Execute(ctx, obs, a); err != nil {
			return fmt.Errorf("%s: %w", a.Key(), err)
		}
		if !isRepeated(a) {
			log.FromContext(ctx).Info("done", "action", a.Key(), "phase", d.Phase, "why", d.Why)
		}
	}
	return nil
}

// isRepeated tells whether the action is asked for again and again, until what it asks for is
// there.
func isRepeated(a rollout.Action) bool {
	switch a.(type) {
	case rollout.EnsureTransfers, rollout.RetryMirroring:
		return true
	default:
		return false
	}
}

// gone: after the finalizer is off there may be nobody left to report to.
func finalizerRemoved(d rollout.Decision, failure error) bool {
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

// updateStatus writes the status once, when it has changed, and tells of a change of phase or
// reason by an event. The write carries the resourceVersion: the record is never written over a
// newer one.
func (r *Reconciler) updateStatus(ctx context.Context, obs *observe.Observation, d rollout.Decision,
	reportReference v1alpha1.ReportReference, failure error) error {
	after := obs.Rollout.DeepCopy()
	after.Status = status.Of(obs.Rollout.Status, obs.Observed, d, failure)
	after.Status.Report = reportReference
	r.Metrics.SetRollout(after.Name, after.Status)
	if equality.Semantic.DeepEqual(obs.Rollout.Status, after.Status) {
		return nil
	}
	if failure == nil && finalizerAdded(d) {
		// The finalizer was put on in this very turn, so the object has moved on; the status
		// follows in the next one.
		return nil
	}
	if err := r.writeStatus(ctx, obs.Rollout, after); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, e := range status.Events(obs.Rollout.Status, after.Status) {
		r.Recorder.Eventf(after, nil, e.Type, e.Reason, e.Action, "%s", e.Note)
	}
	return nil
}

// writeReport writes what was found out into the objects beside the rollout. Should that fail, the
// rollout goes on without: nothing is decided by them. again is when there is more to write.
func (r *Reconciler) writeReport(ctx context.Context, obs *observe.Observation) (written v1alpha1.ReportReference,
	writeAgainAt time.Time) {
	written = obs.Rollout.Status.Report
	if _, known := obs.Observed.Plan.Get(); !known || r.Reports == nil || !obs.Rollout.DeletionTimestamp.IsZero() {
		return written, time.Time{}
	}
	fresh, writeAgainAt, err := r.Reports.Report(ctx, obs.Rollout, obs.Plan, obs.Inventory, obs.Results)
	if err != nil {
		log.FromContext(ctx).Error(err, "the report is not written; the rollout goes on without")
		return written, writeAgainAt
	}
	return fresh, writeAgainAt
}

func finalizerAdded(d rollout.Decision) bool {
	for _, a := range d.Actions {
		if _, ok := a.(rollout.EnsureFinalizer); ok {
			return true
		}
	}
	return false
}

// requeue says when to look again. Nothing is polled: watches report what changes, and this is for
// what no watch reports.
func requeue(now time.Time, d rollout.Decision, failure error) (ctrl.Result, error) {
	switch {
	case failure != nil:
		return ctrl.Result{}, failure
	case d.RecheckAt.IsZero():
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(d.RecheckAt.Sub(now), minRequeue)}, nil
}
