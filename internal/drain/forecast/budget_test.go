package forecast

import (
	"fmt"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the budget of an IngressController allows with so many replicas, of which none, one or two
// are broken: a quarter rounds up, so one that is broken uses it up until there are five.
func TestBudgetArithmetic(t *testing.T) {
	quarter := map[int][3]int32{ // replicas: allowed with 0, 1, 2 broken
		3: {1, 0, 0}, 4: {1, 0, 0}, 5: {2, 1, 0}, 6: {2, 1, 0}, 7: {2, 1, 0}, 8: {2, 1, 0},
		9: {3, 2, 1}, 10: {3, 2, 1}, 11: {3, 2, 1}, 12: {3, 2, 1},
	}
	check := func(wants string, replicas int, want [3]int32) {
		for broken, allowed := range want {
			pods := ""
			for i := range replicas {
				pods += " n1"
				if i < broken {
					pods += ":crash"
				}
			}
			s := workers(1).app("web", pods).budget("web", wants)
			b := drain.NewBudgets(s.Budgets, s.Pods, drain.NewScales(s.workloads), noon).All[0]
			if b.Allowed() != allowed {
				t.Errorf("%s, %d replicas, %d broken: %s, want %d", wants, replicas, broken, b, allowed)
			}
		}
	}
	check("max 1", 2, [3]int32{1, 0, 0})
	for replicas, want := range quarter {
		check("max 25%", replicas, want)
	}
	for _, c := range []struct {
		wants    string
		replicas int
		want     [3]int32
	}{
		{"min 50%", 3, [3]int32{1, 0, 0}}, {"min 50%", 4, [3]int32{2, 1, 0}}, {"min 2", 3, [3]int32{1, 0, 0}},
		{"min 100%", 3, [3]int32{0, 0, 0}}, {"max 100%", 2, [3]int32{2, 1, 0}}, {"max 5", 3, [3]int32{3, 2, 1}},
	} {
		check(c.wants, c.replicas, c.want)
	}
}

// Which pods count, and for whom.
func TestBudgetNumbers(t *testing.T) {
	disrupted := func(ago time.Duration) func(*policyv1.PodDisruptionBudget) {
		return func(b *policyv1.PodDisruptionBudget) {
			b.Status.DisruptedPods = map[string]metav1.Time{"web-a": metav1.NewTime(noon.Add(-ago))}
		}
	}
	reported := func(b *policyv1.PodDisruptionBudget) {
		b.Status.ExpectedPods, b.Status.DesiredHealthy = 3, 2
	}
	cases := map[string]struct {
		cluster *clusterBuilder
		want    string // expected desired healthy allowed
	}{
		"one that is being deleted is not healthy": {workers(1).app("web", "n1 n1:terminating n1").budget("web",
			"max 1"), "3 2 2 0"},
		"nor is one whose eviction was granted": {workers(1).app("web", "n1 n1 n1").budget("web", "max 1",
			disrupted(time.Minute)), "3 2 2 0"},
		"unless it is still there after two minutes": {workers(1).app("web", "n1 n1 n1").budget("web", "max 1",
			disrupted(3*time.Minute)), "3 2 3 1"},
		"a whole number of pods counts those there are": {workers(1).app("web=5", "n1 n1 n1").budget("web", "min 2"),
			"3 2 3 1"},
		"a percentage counts what the controllers want": {workers(1).app("web=5", "n1 n1 n1").budget("web", "min 40%"),
			"5 2 3 1"},
		"and so does maxUnavailable": {workers(1).app("web=5", "n1 n1 n1").budget("web", "max 2"),
			"5 3 3 0"},
		"without pods nothing is allowed": {workers(1).app("web=0", "").budget("web", "max 1"),
			"0 0 0 0"},
		"an owner that is not known is taken at its word": {func() *clusterBuilder {
			s := workers(1).app("web", "n1 n1 n1").budget("web", "max 1", reported)
			s.workloads = drain.Workloads{}
			return s
		}(), "3 2 3 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := drain.NewBudgets(c.cluster.Budgets, c.cluster.Pods, drain.NewScales(c.cluster.workloads), noon).All[0]
			if got := fmt.Sprint(b.Expected, b.Desired, b.Healthy, b.Allowed()); got != c.want {
				t.Errorf("expected desired healthy allowed: %s, want %s", got, c.want)
			}
		})
	}
}

// What the eviction API answers, in its own order of questions.
func TestEvictionResponses(t *testing.T) {
	cases := map[string]struct {
		cluster *clusterBuilder
		want    int // for the first pod
	}{
		"no budget":      {workers(1).app("web", "n1"), 201},
		"one is allowed": {workers(1).app("web", "n1 n1").budget("web", "max 1"), 201},
		"none is":        {workers(1).app("web", "n1 n1:crash").budget("web", "max 1"), 429},
		"two budgets": {workers(1).app("web", "n1 n1").budget("web",
			"max 1").budgetNamed("all", "web", "max 1"), 500},
		"two budgets, and it has ended": {workers(1).app("web", "n1:done n1").budget("web",
			"max 1").budgetNamed("all", "web", "max 1"), 201},
		"it is Pending": {workers(1).app("web", "n1:pull n1:crash n1").budget("web",
			"max 1"), 201},
		"it is being deleted": {workers(1).app("web", "n1:terminating n1:crash").budget("web",
			"max 0"), 201},
		"not ready, and enough others are": {workers(1).app("web", "n1:unready n1 n1").budget("web",
			"max 1"), 201},
		"not ready, and not enough others are": {workers(1).app("web", "n1:unready n1:crash n1").budget("web",
			"max 1"), 429},
		"not ready, and its budget lets it go": {workers(1).app("web", "n1:unready n1:crash n1").budget("web", "max 1",
			alwaysAllow), 201},
		"ready, and its budget lets others go": {workers(1).app("web", "n1 n1:crash n1:crash").budget("web", "max 1",
			alwaysAllow), 429},
		"not ready, and nobody has to be ready": {workers(1).app("web", "n1:unready").budget("web", "max 1"), 429},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := drain.NewBudgets(c.cluster.Budgets, c.cluster.Pods, drain.NewScales(c.cluster.workloads),
				noon).CheckEviction(c.cluster.Pods[0])
			if got.Code != c.want {
				t.Errorf("%d, want %d", got.Code, c.want)
			}
		})
	}
}
