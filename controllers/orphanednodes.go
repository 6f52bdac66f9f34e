package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
)

// OrphanedNodes uncordons nodes that a remedy of a rollout that no longer exists had cordoned, and
// takes its note off. What somebody else has done to the node since stays: a cordon of his, or
// none; and so does that of a node on its way, which its daemon takes off.
type OrphanedNodes struct {
	Client   client.Client
	API      client.Reader
	Recorder events.EventRecorder
	// Fence checks before each write that this process is the leader.
	Fence *execute.Fence
}

// Reconcile looks at one node.
func (r *OrphanedNodes) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	n := &corev1.Node{}
	if err := r.API.Get(ctx, req.NamespacedName, n); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	note, ok := remediation.ReadNote(n)
	// A note that cannot be read is not undone, and neither is one that names another object.
	if !ok || !note.IsAbout(n) {
		return ctrl.Result{}, nil
	}
	if gone, err := isGone(ctx, r.API, note.Rollout); err != nil || !gone {
		return ctrl.Result{}, err
	}
	if err := r.Fence.Check(ctx, "uncordoning node "+n.Name); err != nil {
		return requeueRefused(err)
	}
	if err := execute.Uncordon(ctx, r.Client, r.API, note.Remedy); err != nil {
		return ctrl.Result{}, err
	}
	after := &corev1.Node{}
	if err := r.API.Get(ctx, req.NamespacedName, after); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	what := "it takes pods again"
	if after.Spec.Unschedulable {
		what = "it stays cordoned, because it is in progress, or somebody else cordoned it since"
	}
	r.Recorder.Eventf(n, nil, corev1.EventTypeNormal, "NodeGivenBack", "Restore",
		"SafeMirrorRollout %s is gone, and the note of its remedy %s was taken off this node: %s", note.Rollout,
		note.Remedy.Action, what)
	return ctrl.Result{}, nil
}

func (r *OrphanedNodes) setupWithManager(mgr ctrl.Manager) error {
	noted := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetAnnotations()[remediation.Annotation] != "" })
	return watchOrphans(mgr, "orphaned-nodes", &corev1.Node{}, r.nodesNotedBy, r, noted)
}

// nodesNotedBy are the nodes that carry a note of the rollout.
func (r *OrphanedNodes) nodesNotedBy(ctx context.Context, o client.Object) []reconcile.Request {
	var nodes corev1.NodeList
	if err := r.Client.List(ctx, &nodes); err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range nodes.Items {
		if note, ok := remediation.ReadNote(&nodes.Items[i]); ok && note.Rollout == o.GetName() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&nodes.Items[i])})
		}
	}
	return out
}
