package ingress

import (
	"context"
	"sync"
	"testing"
	"time"

	operatorv1 "github.com/openshift/api/operator/v1"
	operatorfake "github.com/openshift/client-go/operator/clientset/versioned/fake"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"
)

var ctx = context.Background()

func controller(replicas *int32) *operatorv1.IngressController {
	return &operatorv1.IngressController{
		ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: operatorNamespace,
			Annotations: map[string]string{ImageAnnotation: "quay.io/router:1"}},
		Spec: operatorv1.IngressControllerSpec{Replicas: replicas},
	}
}

func TestDesiredDeployment(t *testing.T) {
	d := desiredDeployment(controller(nil), "quay.io/router:1", 0.01)
	pod := d.Spec.Template.Spec
	switch {
	case d.Name != "router-default" || d.Namespace != "openshift-ingress" || d.Labels[owningLabel] != "default":
		t.Errorf("metadata is %+v", d.ObjectMeta)
	case *d.Spec.Replicas != 2 || d.Spec.MinReadySeconds != 0:
		t.Errorf("replicas %d, minReadySeconds %d", *d.Spec.Replicas, d.Spec.MinReadySeconds)
	case !pod.HostNetwork || pod.Containers[0].Ports[0].HostPort != 80 || pod.Containers[0].Ports[1].HostPort != 443 ||
		pod.Containers[0].Ports[2].HostPort != 1936:
		t.Errorf("ports are %+v", pod.Containers[0].Ports)
	case d.Spec.Strategy.RollingUpdate.MaxUnavailable.String() != "25%" ||
		d.Spec.Strategy.RollingUpdate.MaxSurge.String() != "0":
		t.Errorf("strategy is %+v", d.Spec.Strategy.RollingUpdate)
	case *pod.TerminationGracePeriodSeconds != 3600 || pod.Containers[0].ImagePullPolicy != corev1.PullIfNotPresent ||
		pod.Affinity != nil:
		t.Errorf("pod is %+v", pod)
	}
}

func TestPlacementReplacesTheDefaults(t *testing.T) {
	ic := controller(nil)
	ic.Spec.NodePlacement = &operatorv1.NodePlacement{
		NodeSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/infra": ""}},
		Tolerations:  []corev1.Toleration{{Key: "infra", Operator: corev1.TolerationOpExists}},
	}
	pod := desiredDeployment(ic, "x", 1).Spec.Template.Spec
	if _, infra := pod.NodeSelector["node-role.kubernetes.io/infra"]; !infra || len(pod.NodeSelector) != 1 ||
		len(pod.Tolerations) != 1 {
		t.Errorf("selector %v, tolerations %v", pod.NodeSelector, pod.Tolerations)
	}
}

// Scaling must not restart the routers that are there.
func TestReplicasAreNotInTheHash(t *testing.T) {
	two, four := desiredDeployment(controller(ptr.To[int32](2)), "x", 1),
		desiredDeployment(controller(ptr.To[int32](4)), "x", 1)
	if two.Spec.Template.Labels[hashLabel] != four.Spec.Template.Labels[hashLabel] {
		t.Error("the pod template depends on replicas")
	}
	if other := desiredDeployment(controller(nil), "y",
		1); other.Spec.Template.Labels[hashLabel] == two.Spec.Template.Labels[hashLabel] {
		t.Error("the hash does not depend on the image")
	}
}

func TestBudgetTable(t *testing.T) {
	for replicas, want := range map[int32]int{2: 1, 3: 1, 4: 1, 5: 2, 8: 2, 9: 3, 12: 3} {
		budget := desiredBudget(controller(&replicas), &appsv1.Deployment{})
		got, err := intstr.GetScaledValueFromIntOrPercent(budget.Spec.MaxUnavailable, int(replicas), true)
		if err != nil || got != want {
			t.Errorf("%d replicas: %d may be away (%v), want %d", replicas, got, err, want)
		}
	}
}

// lab has one IngressController and the operator running.
type lab struct {
	t        *testing.T
	kube     *fake.Clientset
	operator *operatorfake.Clientset
}

func start(t *testing.T, replicas int32) *lab {
	t.Helper()
	l := &lab{t: t, kube: fake.NewClientset(), operator: operatorfake.NewClientset(controller(&replicas))}
	separateStatus(l.operator)
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := Run(running, Options{Kube: l.kube, Operator: l.operator, Scale: 0.01}); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(sync.OnceFunc(func() { cancel(); <-done }))
	return l
}

// separateStatus makes the fake write status and spec apart, one write at a time, as an API server
// does. By itself, a status write that was in progress carries the old spec along and undoes a
// test's edit.
func separateStatus(operator *operatorfake.Clientset) {
	var writing sync.Mutex
	controllers := operatorv1.GroupVersion.WithResource("ingresscontrollers")
	operator.PrependReactor("update", "ingresscontrollers",
		func(action kubetesting.Action) (bool, runtime.Object, error) {
			writing.Lock()
			defer writing.Unlock()
			next := action.(kubetesting.UpdateAction).GetObject().(*operatorv1.IngressController).DeepCopy()
			object, err := operator.Tracker().Get(controllers, next.Namespace, next.Name)
			if err != nil {
				return true, nil, err
			}
			stored := object.(*operatorv1.IngressController).DeepCopy()
			if action.GetSubresource() == "status" {
				stored.Status = next.Status
			} else {
				stored.Spec = next.Spec
			}
			return true, stored, operator.Tracker().Update(controllers, stored, next.Namespace)
		})
}

func (l *lab) controller() *operatorv1.IngressController {
	l.t.Helper()
	ic, err := l.operator.OperatorV1().IngressControllers(operatorNamespace).Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return ic
}

// await looks until the condition holds: the operator is another program, there is nothing to wait
// on.
func (l *lab) await(what string, condition func() bool) {
	l.t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			l.t.Fatalf("%s never came", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *lab) deployment() *appsv1.Deployment {
	d, err := l.kube.AppsV1().Deployments(routerNamespace).Get(ctx, "router-default", metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return d
}

func (l *lab) budget() *policyv1.PodDisruptionBudget {
	b, err := l.kube.PolicyV1().PodDisruptionBudgets(routerNamespace).Get(ctx, "router-default", metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return b
}

func TestDirectEditsAreReverted(t *testing.T) {
	l := start(t, 2)
	l.await("the routers and their budget", func() bool { return l.deployment() != nil && l.budget() != nil })

	d := l.deployment()
	d.Spec.Replicas = ptr.To[int32](5)
	if _, err := l.kube.AppsV1().Deployments(routerNamespace).Update(ctx, d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("2 replicas again", func() bool { return *l.deployment().Spec.Replicas == 2 })

	b := l.budget()
	b.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(2))
	if _, err := l.kube.PolicyV1().PodDisruptionBudgets(routerNamespace).Update(ctx, b,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("the budget again", func() bool { return l.budget().Spec.MaxUnavailable.IntValue() == 1 })
}

func TestScalingTheController(t *testing.T) {
	l := start(t, 2)
	l.await("the routers and their budget", func() bool { return l.deployment() != nil && l.budget() != nil })
	l.scale(1)
	l.await("1 replica, no budget", func() bool { return *l.deployment().Spec.Replicas == 1 && l.budget() == nil })
	l.scale(6)
	l.await("6 replicas, 25%", func() bool {
		return *l.deployment().Spec.Replicas == 6 && l.budget() != nil &&
			l.budget().Spec.MaxUnavailable.String() == "25%"
	})
}

func (l *lab) scale(replicas int32) {
	l.t.Helper()
	ic := l.controller()
	ic.Spec.Replicas = &replicas
	if _, err := l.operator.OperatorV1().IngressControllers(operatorNamespace).Update(ctx, ic,
		metav1.UpdateOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

func TestStatusForTheScaleSubresource(t *testing.T) {
	l := start(t, 2)
	l.await("the routers", func() bool { return l.deployment() != nil })
	d := l.deployment()
	d.Status.AvailableReplicas = 2
	if _, err := l.kube.AppsV1().Deployments(routerNamespace).UpdateStatus(ctx, d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("the status", func() bool {
		ic := l.controller()
		return ic.Status.AvailableReplicas == 2 && ic.Status.Selector == deploymentLabel+"=default" &&
			ic.Status.EndpointPublishingStrategy.HostNetwork.HTTPPort == 80
	})
}

func TestRoutersGoWithTheirController(t *testing.T) {
	l := start(t, 2)
	l.await("the routers", func() bool { return l.deployment() != nil })
	if err := l.operator.OperatorV1().IngressControllers(operatorNamespace).Delete(ctx, "default",
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("their end", func() bool {
		_, err := l.kube.AppsV1().Deployments(routerNamespace).Get(ctx, "router-default", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}
