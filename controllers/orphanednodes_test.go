package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// cordonedBy is a cluster whose node worker-0 a remedy of shop has cordoned; by wrote its spec
// last.
func cordonedBy(by string, changes ...func(*corev1.Node)) []client.Object {
	record := v1alpha1.RemedyRecord{
		ID: "remedy-1", Action: v1alpha1.Relocate, Node: "worker-1", Kind: "Node", Name: "worker-0",
		UID:           "uid-worker-0",
		OriginalValue: rollout.Schedulable, IntendedValue: rollout.Cordoned,
		DecidedAt: metav1.NewTime(minicluster.StartTime),
		Deadline:  metav1.NewTime(minicluster.StartTime.Add(time.Minute)),
	}
	return minicluster.Edit(minicluster.Objects("worker-0", "worker-1"), "worker-0", func(n *corev1.Node) {
		n.UID, n.Spec.Unschedulable = "uid-worker-0", true
		n.Annotations[remediation.Annotation] = remediation.NewNote("shop", record).String()
		n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: by, Operation: metav1.ManagedFieldsOperationUpdate,
			APIVersion: "v1",
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:unschedulable":{}}}`)}}
		for _, c := range changes {
			c(n)
		}
	})
}

// A node that a remedy had cordoned is restored when its rollout is gone; what somebody else did
// to it since stays.
func TestOrphanedNodes(t *testing.T) {
	const took = "worker-0 Normal NodeGivenBack: SafeMirrorRollout shop is gone, and the note of its remedy Relocate was taken off this node: it "
	cases := map[string]struct {
		objects         []client.Object
		event           string
		cordoned, noted bool
	}{
		"ours":            {cordonedBy(pool.FieldManager), took + "takes pods again", false, false},
		"somebody else's": {cordonedBy("kubectl-cordon"), took + "stays cordoned", true, false},
		"uncordoned since": {cordonedBy(pool.FieldManager, func(n *corev1.Node) { n.Spec.Unschedulable = false }),
			took + "takes pods again", false, false},
		"it is in progress": {cordonedBy(pool.FieldManager,
			func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = "rendered-worker-9" }),
			took + "stays cordoned", true, false},
		"its rollout is there": {append(cordonedBy(pool.FieldManager), minicluster.Rollout("shop")), "", true, true},
		"of another node": {cordonedBy(pool.FieldManager, func(n *corev1.Node) {
			n.Annotations[remediation.Annotation] = strings.ReplaceAll(n.Annotations[remediation.Annotation],
				"worker-0", "worker-7")
		}), "", true, true},
		"nobody can read it": {cordonedBy(pool.FieldManager,
			func(n *corev1.Node) { n.Annotations[remediation.Annotation] = "?" }), "", true, true},
		"nobody's": {cordonedBy(pool.FieldManager,
			func(n *corev1.Node) { delete(n.Annotations, remediation.Annotation) }), "", true, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cl, events := minicluster.Client(interceptor.Funcs{}, c.objects...), &eventRecorder{}
			got, err := (&OrphanedNodes{Client: cl, API: cl, Recorder: events}).Reconcile(context.Background(),
				request("worker-0"))
			if err != nil || got != (ctrl.Result{}) {
				t.Fatalf("%+v, %v", got, err)
			}
			if said := strings.Join(events.events, "\n"); !strings.HasPrefix(said, c.event) ||
				(c.event == "") != (said == "") {
				t.Errorf("events %q, want %q", said, c.event)
			}
			n := get(t, cl, "worker-0", &corev1.Node{})
			if noted := n.Annotations[remediation.Annotation] != ""; n.Spec.Unschedulable != c.cordoned ||
				noted != c.noted {
				t.Errorf("cordoned %t, noted %t; want %t, %t", n.Spec.Unschedulable, noted, c.cordoned, c.noted)
			}
		})
	}
}

// While what matters cannot be read, or the patch is refused, nothing is said to have been done.
func TestOrphanedNodesUnreadable(t *testing.T) {
	conflict := &patchCounter{refuse: func(client.Object) error { return errDown }}
	cases := map[string]interceptor.Funcs{
		"the node":         minicluster.FailingReads[*corev1.Node](errDown),
		"the rollout":      minicluster.FailingReads[*v1alpha1.SafeMirrorRollout](errDown),
		"the patch failed": conflict.funcs(),
	}
	for name, funcs := range cases {
		t.Run(name, func(t *testing.T) {
			cl, events := minicluster.Client(funcs, cordonedBy(pool.FieldManager)...), &eventRecorder{}
			if _, err := (&OrphanedNodes{Client: cl, API: cl, Recorder: events}).Reconcile(context.Background(),
				request("worker-0")); !errors.Is(err, errDown) {
				t.Errorf("error %v", err)
			}
			if len(events.events) > 0 {
				t.Errorf("events %v", events.events)
			}
		})
	}
}

// The end of a rollout is looked at for the nodes that carry its notes.
func TestNodesNotedBy(t *testing.T) {
	cases := map[string]struct {
		client client.Client
		name   string
		want   []reconcile.Request
	}{
		"its own": {minicluster.Client(interceptor.Funcs{}, cordonedBy("")...), "shop",
			[]reconcile.Request{request("worker-0")}},
		"another's": {minicluster.Client(interceptor.Funcs{}, cordonedBy("")...), "books", nil},
		"unreadable": {minicluster.Client(minicluster.FailingReads[*corev1.NodeList](errDown), cordonedBy("")...),
			"shop", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := (&OrphanedNodes{Client: c.client}).nodesNotedBy(context.Background(), minicluster.Rollout(c.name))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}
