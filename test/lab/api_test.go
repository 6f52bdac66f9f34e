//go:build lab

package lab

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func startLab(t *testing.T, o Options) *Lab {
	t.Helper()
	o.Log = logWriter{t}
	l, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func createNamespace(t *testing.T, l *Lab, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := l.kube.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func hasNamespace(t *testing.T, l *Lab, name string) bool {
	t.Helper()
	_, err := l.kube.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestLabsRunSideBySide(t *testing.T) {
	one := startLab(t, Options{APIOnly: true})
	two := startLab(t, Options{APIOnly: true})
	createNamespace(t, one, "only-in-one")
	if hasNamespace(t, two, "only-in-one") {
		t.Error("the second lab sees the first one's namespace")
	}
	dir := one.Dir()
	one.Stop()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is there after Stop: %v", dir, err)
	}
	createNamespace(t, two, "two-lives-on")
}

// TestAPIOnly shares one lab: a start costs more than all of the tests. The reset comes last.
func TestAPIOnly(t *testing.T) {
	l := startLab(t, Options{APIOnly: true})
	t.Run("a ServiceAccount has the rights of its manifests only", func(t *testing.T) { testServiceAccount(t, l) })
	t.Run("the audit log has the refused eviction", func(t *testing.T) { testAudit(t, l) })
	t.Run("a guest dies at the reset, and nothing outlives it", func(t *testing.T) { testReset(t, l) })
}

const reader = `
apiVersion: v1
kind: ServiceAccount
metadata: {namespace: default, name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, namespace: default, name: reader}]
`

func testServiceAccount(t *testing.T, l *Lab) {
	if err := l.Apply(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	path, err := l.ServiceAccountKubeconfig(t.Context(), "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("listing nodes: %v", err)
	}
	if _, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing pods: %v, want forbidden", err)
	}
}

// Without a controller manager the budget's status is not computed, and the API server then refuses
// every eviction.
func testAudit(t *testing.T, l *Lab) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "router", Labels: map[string]string{"app": "router"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "router", Image: "quay.io/acme/router:v1"}}},
	}
	one := intstr.FromInt32(1)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "router"},
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one,
			Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}},
	}
	ctx := t.Context()
	pod, err := l.kube.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodRunning // a Pending pod may always be evicted
	if _, err := l.kube.CoreV1().Pods("default").UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.kube.PolicyV1().PodDisruptionBudgets("default").Create(ctx, budget,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "router", Namespace: "default"}}
	// The client would try ten times, every ten seconds, before it told us.
	err = l.kube.CoreV1().RESTClient().Post().MaxRetries(0).Namespace("default").Resource("pods").Name("router").
		SubResource("eviction").Body(eviction).Do(ctx).Error()
	if !apierrors.IsTooManyRequests(err) {
		t.Fatalf("evicting: %v, want a refusal", err)
	}
	events, err := l.Audit()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Subresource == "eviction" {
			if e.Code != http.StatusTooManyRequests || !strings.Contains(e.Message, "disruption budget") ||
				e.User != "lab:admin" {
				t.Errorf("the eviction is logged as %+v", e)
			}
			return
		}
	}
	t.Error("the audit log has no eviction")
}

func testReset(t *testing.T, l *Lab) {
	createNamespace(t, l, "made-later")
	talker, err := l.Run("talker", exec.Command("sh", "-c", "echo hello; exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Eventually(t.Context(), 5*time.Second, "nothing in the log", func(context.Context) (bool, string, error) {
		log, err := os.ReadFile(talker.Log)
		return string(log) == "hello\n", string(log), err
	}); err != nil {
		t.Error(err)
	}
	stopped, err := l.Run("stopped", exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	stopped.Stop()

	if err := l.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-talker.Done():
	default:
		t.Error("a guest outlived the reset")
	}
	if hasNamespace(t, l, "made-later") {
		t.Error("a namespace outlived the reset")
	}
	events, err := l.Audit()
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(events, func(e AuditEvent) bool { return e.Name == "made-later" }) {
		t.Error("the audit log has events from before the reset")
	}
}
