package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func TestNodeChanged(t *testing.T) {
	cases := map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"nothing": {func(*corev1.Node) {}, false},
		"a heartbeat": {func(n *corev1.Node) {
			n.ResourceVersion = "9"
			n.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(minicluster.StartTime.Add(time.Minute))
			n.Status.Conditions[0].Message = "kubelet is posting ready status"
		}, false},
		"its images": {func(n *corev1.Node) {
			n.Status.Images = []corev1.ContainerImage{{Names: []string{"quay.io/acme/app:v1"}}}
		}, false},
		"its room": {func(n *corev1.Node) {
			n.Status.Allocatable = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		}, false},
		"it is cordoned":           {func(n *corev1.Node) { n.Spec.Unschedulable = true }, true},
		"it is tainted":            {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "UpdateInProgress"}} }, true},
		"it is taken":              {func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = "rendered-worker-1" }, true},
		"it moves to another pool": {func(n *corev1.Node) { n.Labels["node-role.kubernetes.io/infra"] = "" }, true},
		"it is not ready":          {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, true},
		"it has another condition": {func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions,
				corev1.NodeCondition{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue})
		}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := minicluster.Node("worker-0", "worker"), minicluster.Node("worker-0", "worker")
			c.change(after)
			if got := nodeChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
				t.Errorf("moves: %t, want %t", got, c.want)
			}
		})
	}
	t.Run("come and go", func(t *testing.T) {
		n := client.Object(minicluster.Node("worker-0", "worker"))
		p := nodeChanged()
		if !p.Create(event.CreateEvent{Object: n}) || !p.Delete(event.DeleteEvent{Object: n}) ||
			!p.Update(event.UpdateEvent{ObjectOld: &corev1.Pod{}, ObjectNew: n}) {
			t.Error("left out")
		}
	})
}

func TestDeletions(t *testing.T) {
	n := client.Object(minicluster.Rollout("shop"))
	p := deletionsOnly()
	if !p.Delete(event.DeleteEvent{Object: n}) {
		t.Error("a deletion is left out")
	}
	if p.Create(event.CreateEvent{Object: n}) || p.Update(event.UpdateEvent{ObjectOld: n, ObjectNew: n}) ||
		p.Generic(event.GenericEvent{Object: n}) {
		t.Error("something else is not")
	}
}
