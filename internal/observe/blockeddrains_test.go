package observe

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// blockedCluster is the cluster while worker-1 is drained and a budget of zero keeps its only pod.
func blockedCluster() []client.Object {
	objects := minicluster.Edit(cluster(), "worker-1", func(n *corev1.Node) {
		n.Annotations[minicluster.DesiredConfig], n.Annotations[minicluster.DaemonState] = "rendered-worker-1",
			"Working"
		n.Annotations["machineconfiguration.openshift.io/desiredDrain"] = "drain-rendered-worker-1"
		n.Spec.Unschedulable = true
		n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable,
			TimeAdded: &metav1.Time{Time: minicluster.StartTime.Add(-time.Minute)}}}
	})
	labels := map[string]string{"app": "shop"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-a", Labels: labels},
		Spec: corev1.PodSpec{NodeName: "worker-1"}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}}
	budget.Spec.MinAvailable, budget.Spec.Selector = &intstr.IntOrString{IntVal: 1},
		&metav1.LabelSelector{MatchLabels: labels}
	return append(objects, pod, budget,
		minicluster.MachineConfig("rendered-worker-1", minicluster.RegistriesFile(minicluster.BaseRegistriesConf)))
}

func TestBlockedDrains(t *testing.T) {
	got := mustKnow(t, mustObserve(t, newObserver(blockedCluster()...)).Observed.BlockedDrains)
	if len(got) != 1 || got[0].Node != "worker-1" || got[0].Reason != rollout.DrainBlockBudgetZero ||
		!strings.Contains(got[0].String(), "PDB shop/shop allows 0") {
		t.Errorf("got %v", got)
	}
}

// TestUnreadableDrains: pods and budgets are not read for it while no node is updating, and a
// diagnosis that fails is unknown, and not "nothing".
func TestUnreadableDrains(t *testing.T) {
	down := minicluster.FailingReads[*policyv1.PodDisruptionBudgetList](errDown)
	if got := mustKnow(t, mustObserve(t, newObserverWith(down, cluster()...)).Observed.BlockedDrains); len(got) > 0 {
		t.Errorf("at rest: %v", got)
	}
	if _, ok := mustObserve(t, newObserverWith(down, blockedCluster()...)).Observed.BlockedDrains.Get(); ok {
		t.Error("budgets cannot be read, and something is known all the same")
	}
	if got := mustKnow(t, mustObserve(t,
		newObserverWith(interceptor.Funcs{}, cluster()...)).Observed.BlockedDrains); len(got) > 0 {
		t.Errorf("at rest: %v", got)
	}
}

func TestLastFailure(t *testing.T) {
	failureAt := lastFailure(map[string]mirror.Result{
		"a": {Err: &mirror.Error{Class: mirror.Missing, Endpoint: "mirror.local/acme/shop:v1",
			Err: errors.New("HTTP 404")}},
		"b": {},
	})
	if cause, detail, ok := failureAt("mirror.local/acme/shop:v1"); !ok || cause != rollout.PullMissing ||
		detail != "HTTP 404" {
		t.Errorf("got %s, %q, %t", cause, detail, ok)
	}
	if _, _, ok := failureAt("quay.io/acme/shop:v1"); ok {
		t.Error("nobody has looked at the source")
	}
}
