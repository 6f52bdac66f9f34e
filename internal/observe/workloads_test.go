package observe

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// meta is the metadata of an object whose UID is its name.
func metaOf(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}
}

// ownedBy is the metadata of an object of which another is the controller.
func ownedBy(name, kind, owner string) metav1.ObjectMeta {
	m, yes := metaOf(name), true
	m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: owner, UID: types.UID(owner), Controller: &yes}}
	return m
}

func replicas(n int32) *int32 { return &n }

func deployment(want *int32, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metaOf("cart"), Spec: appsv1.DeploymentSpec{Replicas: want},
		Status: appsv1.DeploymentStatus{ReadyReplicas: ready}}
}

func replicaSet(m metav1.ObjectMeta, want, ready int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Replicas: &want},
		Status: appsv1.ReplicaSetStatus{ReadyReplicas: ready}}
}

// podOf is a pod of the controller, created so many minutes after the beginning; it is not ready.
func podOf(name, owner, node string, minute int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: ownedBy(name, "any", owner), Spec: corev1.PodSpec{NodeName: node}}
	p.CreationTimestamp = metav1.NewTime(minicluster.StartTime.Add(time.Duration(minute) * time.Minute))
	return p
}

func ready(p *corev1.Pod) *corev1.Pod {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func waiting(p *corev1.Pod, reason, message string) *corev1.Pod {
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	return p
}

// lackingPod is a workload of the given kind and numbers that lacks a pod.
func lackingPod(kind, name string, desired, ready int32) rollout.Workload {
	return rollout.Workload{Kind: kind, Namespace: "shop", Name: name, Desired: desired, Ready: ready,
		MissingPods: true}
}

func unreadyOf(t *testing.T, objects ...client.Object) []rollout.Workload {
	t.Helper()
	return mustKnow(t, unreadyWorkloads(context.Background(), minicluster.Client(interceptor.Funcs{}, objects...),
		[]string{"worker-0"}))
}

func TestUnreadyWorkloads(t *testing.T) {
	at := func(minute int) time.Time { return minicluster.StartTime.Add(time.Duration(minute) * time.Minute) }
	cases := map[string]struct {
		objects []client.Object
		want    []rollout.Workload
	}{
		"a Deployment that is whole": {[]client.Object{deployment(replicas(2), 2)}, nil},
		"a Deployment that says no number": {[]client.Object{deployment(nil, 0)},
			[]rollout.Workload{lackingPod("Deployment", "cart", 1, 0)}},
		"a Deployment that wants no pods": {[]client.Object{deployment(replicas(0), 0)}, nil},
		"a Deployment that lacks a pod": {[]client.Object{deployment(replicas(2), 1)},
			[]rollout.Workload{lackingPod("Deployment", "cart", 2, 1)}},
		"a ReplicaSet of nobody": {[]client.Object{replicaSet(metaOf("cart"), 2, 1)},
			[]rollout.Workload{lackingPod("ReplicaSet", "cart", 2, 1)}},
		"a ReplicaSet of an Argo Rollout": {[]client.Object{replicaSet(ownedBy("cart-1", "Rollout", "cart"), 2, 1)},
			[]rollout.Workload{lackingPod("ReplicaSet", "cart-1", 2, 1)}},
		"a ReplicaSet of a Deployment": {[]client.Object{deployment(replicas(1), 1),
			replicaSet(ownedBy("cart-1", "Deployment", "cart"), 2, 1)}, nil},
		"a ReplicationController": {[]client.Object{replicationController(2, 1)},
			[]rollout.Workload{lackingPod("ReplicationController", "cart-3", 2, 1)}},
		"a ReplicationController of before": {[]client.Object{replicationController(0, 0)}, nil},
		"a StatefulSet": {[]client.Object{&appsv1.StatefulSet{ObjectMeta: metaOf("cart"),
			Spec: appsv1.StatefulSetSpec{Replicas: replicas(3)}, Status: appsv1.StatefulSetStatus{ReadyReplicas: 2}}},
			[]rollout.Workload{lackingPod("StatefulSet", "cart", 3, 2)}},
		"a DaemonSet": {[]client.Object{&appsv1.DaemonSet{ObjectMeta: metaOf("cart"),
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, NumberReady: 2}}},
			[]rollout.Workload{lackingPod("DaemonSet", "cart", 3, 2)}},
		"a Deployment through its ReplicaSets": {[]client.Object{
			deployment(replicas(2), 0), replicaSet(ownedBy("cart-1", "Deployment", "cart"), 1, 0),
			replicaSet(ownedBy("cart-2", "Deployment", "cart"), 1, 0),
			podOf("cart-1-a", "cart-1", "worker-1", 1), podOf("cart-2-a", "cart-2", "worker-0", 2),
		}, []rollout.Workload{{Kind: "Deployment", Namespace: "shop", Name: "cart", Desired: 2, OnNode: true,
			NewestUnreadyAt: at(2), Message: "pod cart-2-a on node worker-0 is not ready"}}},
		"the newest of several pods": {[]client.Object{
			replicaSet(metaOf("cart"), 3, 0), podOf("b", "cart", "worker-1", 2), podOf("c", "cart", "worker-1", 1),
			podOf("a", "cart", "worker-1", 2),
		}, []rollout.Workload{{Kind: "ReplicaSet", Namespace: "shop", Name: "cart", Desired: 3, NewestUnreadyAt: at(2),
			Message: "pod a on node worker-1 is not ready"}}},
		"ready pods say nothing": {[]client.Object{
			replicaSet(metaOf("cart"), 2, 1), podOf("a", "cart", "worker-1", 1),
			ready(podOf("b", "cart", "worker-0", 2)),
		}, []rollout.Workload{{Kind: "ReplicaSet", Namespace: "shop", Name: "cart", Desired: 2, Ready: 1,
			NewestUnreadyAt: at(1), Message: "pod a on node worker-1 is not ready"}}},
		"pods that have ended are none": {[]client.Object{
			replicaSet(metaOf("cart"), 2, 0), ended(podOf("a", "cart", "worker-0", 1), corev1.PodFailed),
			ended(podOf("b", "cart", "worker-0", 1), corev1.PodSucceeded),
		}, []rollout.Workload{lackingPod("ReplicaSet", "cart", 2, 0)}},
		"nor are those that are being deleted": {[]client.Object{
			replicaSet(metaOf("cart"), 1, 0), terminating(podOf("a", "cart", "worker-0", 1)),
		}, []rollout.Workload{lackingPod("ReplicaSet", "cart", 1, 0)}},
		"nor those of nobody": {[]client.Object{&corev1.Pod{ObjectMeta: metaOf("debug")}}, nil},
		"in the order of their names": {[]client.Object{
			&appsv1.StatefulSet{ObjectMeta: metaOf("a")}, replicaSet(metaOf("b"), 1, 0), replicaSet(metaOf("a"), 1, 0),
		}, []rollout.Workload{lackingPod("ReplicaSet", "a", 1, 0), lackingPod("ReplicaSet", "b", 1, 0),
			lackingPod("StatefulSet", "a", 1, 0)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := unreadyOf(t, c.objects...)
			for i := range got {
				got[i].NewestUnreadyAt = got[i].NewestUnreadyAt.UTC()
			}
			for i := range c.want {
				c.want[i].NewestUnreadyAt = c.want[i].NewestUnreadyAt.UTC()
			}
			if diff := cmp.Diff(append([]rollout.Workload{}, c.want...), got); diff != "" {
				t.Errorf("workloads (-want +got):\n%s", diff)
			}
		})
	}
}

func replicationController(want, ready int32) *corev1.ReplicationController {
	return &corev1.ReplicationController{
		ObjectMeta: ownedBy("cart-3", "DeploymentConfig", "cart"),
		Spec:       corev1.ReplicationControllerSpec{Replicas: &want},
		Status:     corev1.ReplicationControllerStatus{ReadyReplicas: ready},
	}
}

func ended(p *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	p.Status.Phase = phase
	return p
}

func terminating(p *corev1.Pod) *corev1.Pod {
	now := metav1.NewTime(minicluster.StartTime)
	p.DeletionTimestamp, p.Finalizers = &now, []string{"shop/any"}
	return p
}

// TestPodMessage: where the pod is, and what it waits for.
func TestPodMessage(t *testing.T) {
	initialising := waiting(podOf("a", "cart", "worker-0", 1), "PodInitializing", "")
	initialising.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off"}}}}
	unscheduled := podOf("a", "cart", "", 1)
	unscheduled.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionFalse},
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes are available"},
	}
	running := podOf("a", "cart", "worker-0", 1)
	running.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	cases := map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"its image": {waiting(podOf("a", "cart", "worker-0", 1), "ErrImagePull", "manifest unknown"),
			"pod a on node worker-0: ErrImagePull manifest unknown"},
		"its init container": {initialising, "pod a on node worker-0: ImagePullBackOff Back-off"},
		"a node":             {unscheduled, "pod a: not scheduled: 0/2 nodes are available"},
		"its readiness":      {running, "pod a on node worker-0 is not ready"},
		"nobody knows what":  {podOf("a", "cart", "", 1), "pod a is not ready"},
		"init containers only": {waiting(podOf("a", "cart", "worker-0", 1), "PodInitializing", ""),
			"pod a on node worker-0 is not ready"},
		"a long story": {waiting(podOf("a", "cart", "worker-0", 1), "ErrImagePull", strings.Repeat("x", 199)+
			"ä and more"),
			"pod a on node worker-0: ErrImagePull " + strings.Repeat("x", 199) + "…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := podMessage(c.pod); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A list with a hole in it would let the next node go.
func TestUnreadableWorkloadsAreUnknown(t *testing.T) {
	cases := map[string]interceptor.Funcs{
		"Pods":                   minicluster.FailingReads[*corev1.PodList](errDown),
		"Deployments":            minicluster.FailingReads[*appsv1.DeploymentList](errDown),
		"ReplicaSets":            minicluster.FailingReads[*appsv1.ReplicaSetList](errDown),
		"ReplicationControllers": minicluster.FailingReads[*corev1.ReplicationControllerList](errDown),
		"StatefulSets":           minicluster.FailingReads[*appsv1.StatefulSetList](errDown),
		"DaemonSets":             minicluster.FailingReads[*appsv1.DaemonSetList](errDown),
	}
	for name, funcs := range cases {
		t.Run(name, func(t *testing.T) {
			got := unreadyWorkloads(context.Background(), minicluster.Client(funcs), nil)
			if list, known := got.Get(); known || got.Why() != errDown.Error() {
				t.Errorf("known: %v, because %q", list, got.Why())
			}
		})
	}
}
