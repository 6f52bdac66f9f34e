package scenario

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func readyPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func TestPDBMonitor(t *testing.T) {
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	invalid := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like"}}}
	for _, tc := range []struct {
		name      string
		selector  *metav1.LabelSelector
		desired   int32
		protected int
		violation string
	}{
		{name: "enough are left", selector: web, desired: 1, protected: 1},
		{name: "too few are left", selector: web, desired: 2, protected: 1, violation: "leaves 1 healthy; PDB web requires 2"},
		{name: "other pods", selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, desired: 2},
		{name: "an invalid selector", selector: invalid, desired: 1, violation: "PDB shop/web has an invalid selector"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &PDBMonitor{pods: map[types.UID]*corev1.Pod{}, budgets: map[types.UID]*policyv1.PodDisruptionBudget{}}
			m.see(watch.Event{Type: watch.Added, Object: &policyv1.PodDisruptionBudget{
				ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "pdb"},
				Spec:       policyv1.PodDisruptionBudgetSpec{Selector: tc.selector},
				Status:     policyv1.PodDisruptionBudgetStatus{DesiredHealthy: tc.desired},
			}})
			m.see(watch.Event{Type: watch.Added, Object: readyPod("web-1")})
			m.see(watch.Event{Type: watch.Added, Object: readyPod("web-2")})
			m.see(watch.Event{Type: watch.Deleted, Object: readyPod("web-1")})
			got := m.Report()
			if got.ProtectedDeletions != tc.protected {
				t.Errorf("%d protected deletions, want %d", got.ProtectedDeletions, tc.protected)
			}
			if tc.violation == "" && len(got.Violations) > 0 ||
				tc.violation != "" && (len(got.Violations) != 1 || !strings.Contains(got.Violations[0], tc.violation)) {
				t.Errorf("violations %q, want one with %q", got.Violations, tc.violation)
			}
		})
	}
}
