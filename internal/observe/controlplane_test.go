package observe

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func clusterOperator(name string, condition configv1.ClusterStatusConditionType,
	status configv1.ConditionStatus) *configv1.ClusterOperator {
	o := &configv1.ClusterOperator{ObjectMeta: metav1.ObjectMeta{Name: name}}
	o.Status.Conditions = []configv1.ClusterOperatorStatusCondition{{Type: condition, Status: status, Reason: "Why",
		Message: "2 nodes are at revision 7"}}
	return o
}

func operatorPod(namespace, name, node string, labels map[string]string, ready corev1.ConditionStatus) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
	p.Spec.NodeName = node
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	return p
}

func guard(node string, ready corev1.ConditionStatus) *corev1.Pod {
	return operatorPod("openshift-etcd", "etcd-guard-"+node, node, map[string]string{"app": "guard"}, ready)
}

func TestControlPlane(t *testing.T) {
	etcd := clusterOperator("etcd", configv1.OperatorProgressing, configv1.ConditionFalse)
	cases := map[string]struct {
		objects []client.Object
		want    []string // the names, with a star when it passes by itself
	}{
		"nothing that could roll": {},
		"at rest":                 {[]client.Object{etcd, guard("master-0", corev1.ConditionTrue)}, nil},
		"it rolls": {[]client.Object{clusterOperator("etcd", configv1.OperatorProgressing,
			configv1.ConditionTrue)}, []string{"etcd*"}},
		"it is degraded": {[]client.Object{clusterOperator("kube-apiserver", configv1.OperatorDegraded,
			configv1.ConditionTrue)}, []string{"kube-apiserver"}},
		"it is not available": {[]client.Object{clusterOperator("openshift-apiserver",
			configv1.OperatorAvailable, configv1.ConditionFalse)}, []string{"openshift-apiserver"}},
		"available is well": {[]client.Object{clusterOperator("kube-scheduler", configv1.OperatorAvailable,
			configv1.ConditionTrue)}, nil},
		"another condition": {[]client.Object{clusterOperator("etcd", configv1.OperatorUpgradeable,
			configv1.ConditionFalse)}, nil},
		"the MCO's is our own doing": {[]client.Object{clusterOperator("machine-config", configv1.OperatorDegraded,
			configv1.ConditionTrue)}, nil},
		"a guard is not ready": {[]client.Object{etcd, guard("master-0", corev1.ConditionTrue),
			guard("master-1", corev1.ConditionFalse)}, []string{"etcd-guard-master-1*"}},
		"another pod there is not ready": {[]client.Object{etcd,
			operatorPod("openshift-etcd", "installer", "master-0", nil, corev1.ConditionFalse)}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range mustKnow(t, controlPlane(context.Background(),
				minicluster.Client(interceptor.Funcs{}, c.objects...))) {
				name := p.Name
				if p.Transient {
					name += "*"
				}
				got = append(got, name)
				if !strings.Contains(p.Message, p.Name) {
					t.Errorf("message %q does not name %s", p.Message, p.Name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("not readable", func(t *testing.T) {
		if got, known := controlPlane(context.Background(),
			minicluster.Client(minicluster.FailingReads[*configv1.ClusterOperator](errDown))).Get(); known {
			t.Errorf("known: %v", got)
		}
	})
	t.Run("guards are not readable", func(t *testing.T) {
		if got, known := controlPlane(context.Background(),
			minicluster.Client(minicluster.FailingReads[*corev1.PodList](errDown), etcd)).Get(); known {
			t.Errorf("known: %v", got)
		}
	})
	t.Run("no such kind", func(t *testing.T) {
		if got := mustKnow(t, controlPlane(context.Background(), withoutKinds(nil, "ClusterOperator"))); len(got) > 0 {
			t.Errorf("%v", got)
		}
	})
}

func TestOperatorReplicas(t *testing.T) {
	ours := map[string]string{appNameLabel: "safe-mirror-operator"}
	objects := cluster(
		operatorPod(operatorNamespace, "op-1", "worker-0", ours, corev1.ConditionTrue),
		operatorPod(operatorNamespace, "op-2", "worker-1", ours, corev1.ConditionTrue),
		operatorPod(operatorNamespace, "op-3", "worker-2", ours, corev1.ConditionFalse),
		operatorPod(operatorNamespace, "probe", "worker-2", nil, corev1.ConditionTrue),
		operatorPod("openshift-machine-config-operator", "machine-config-operator-1", "worker-1",
			map[string]string{"k8s-app": "machine-config-operator"}, corev1.ConditionTrue),
	)
	observer := newObserver(objects...)
	observer.PodName = "op-1"
	obs := mustObserve(t, observer)
	if diff := cmp.Diff(rollout.OperatorReplicas{Replicas: 3, LeaderNode: "worker-0",
		StandbyNodes: []string{"worker-1"}}, obs.Observed.Operator); diff != "" {
		t.Errorf("self (-want +got):\n%s", diff)
	}
	for _, n := range poolOf(t, obs, "worker").Nodes {
		if n.RunsMCO != (n.Name == "worker-1") {
			t.Errorf("node %s: MCO %t", n.Name, n.RunsMCO)
		}
	}
	for name, pod := range map[string]string{"no election": "", "a pod that is not there": "op-9"} {
		t.Run(name, func(t *testing.T) {
			observer := newObserver(objects...)
			observer.PodName = pod
			if got := mustObserve(t, observer).Observed.Operator; got.LeaderNode != "" || len(got.StandbyNodes) > 0 {
				t.Errorf("self %+v, want nothing", got)
			}
		})
	}
	t.Run("two of the MCO", func(t *testing.T) {
		second := operatorPod("openshift-machine-config-operator", "machine-config-operator-2", "worker-0",
			map[string]string{"k8s-app": "machine-config-operator"}, corev1.ConditionTrue)
		for _, n := range poolOf(t, mustObserve(t, newObserver(append(objects, second)...)), "worker").Nodes {
			if n.RunsMCO {
				t.Errorf("node %s is taken for the MCO's; its own rule does not work with two pods", n.Name)
			}
		}
	})
}
