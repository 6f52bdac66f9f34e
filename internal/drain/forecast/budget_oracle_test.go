package forecast

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// pdbStatus is what the disruption controller writes into the status of a budget, and what the
// eviction API answers then, pod by pod.
type pdbStatus struct {
	Expected, Desired, Healthy, Allowed int32
	Answers                             map[string]int
}

// oracle is the platform's own arithmetic a second time, in integers, written from its sources
// (kubernetes 1.37, pkg/controller/disruption/disruption.go and
// pkg/registry/core/pod/storage/eviction.go) and from the objects alone: it shares no line with
// what it judges.
func oracle(s *clusterBuilder, b *policyv1.PodDisruptionBudget) pdbStatus {
	out := pdbStatus{Answers: map[string]int{}}
	var matched []*corev1.Pod
	for _, p := range s.Pods { // getPodsForPdb: all that the selector matches, those that have ended too
		if p.Namespace == b.Namespace && p.Labels["app"] == b.Spec.Selector.MatchLabels["app"] {
			matched = append(matched, p)
		}
	}
	scaled := func(v *intstr.IntOrString, of int32) int32 { // percentages round up
		if v.Type == intstr.Int {
			return v.IntVal
		}
		percent, _ := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
		return int32((percent*int(of) + 99) / 100)
	}
	switch {
	case b.Spec.MaxUnavailable != nil:
		out.Expected = expectedScaleOf(s, matched)
		if out.Desired = out.Expected - scaled(b.Spec.MaxUnavailable, out.Expected); out.Desired < 0 {
			out.Desired = 0
		}
	case b.Spec.MinAvailable.Type == intstr.Int:
		out.Expected, out.Desired = int32(len(matched)), b.Spec.MinAvailable.IntVal
	default:
		out.Expected = expectedScaleOf(s, matched)
		out.Desired = scaled(b.Spec.MinAvailable, out.Expected)
	}
	ready := func(p *corev1.Pod) bool {
		for _, c := range p.Status.Conditions {
			if c.Type == "Ready" {
				return c.Status == "True"
			}
		}
		return false
	}
	for _, p := range matched { // countHealthyPods
		granted, disrupted := b.Status.DisruptedPods[p.Name]
		if p.DeletionTimestamp == nil && (!disrupted || s.Now.Sub(granted.Time) >= 2*time.Minute) && ready(p) {
			out.Healthy++
		}
	}
	if out.Expected > 0 && out.Healthy > out.Desired { // updatePdbStatus
		out.Allowed = out.Healthy - out.Desired
	}
	always := b.Spec.UnhealthyPodEvictionPolicy != nil && *b.Spec.UnhealthyPodEvictionPolicy == "AlwaysAllow"
	for _, p := range matched { // EvictionREST.Create, canIgnorePDB, checkAndDecrement
		code := 429
		switch phase := p.Status.Phase; {
		case phase == "Succeeded" || phase == "Failed" || phase == "Pending" || p.DeletionTimestamp != nil,
			!ready(p) && (always || out.Healthy >= out.Desired && out.Desired > 0), out.Allowed > 0:
			code = 201
		}
		out.Answers[p.Name] = code
	}
	return out
}

// expectedScaleOf is getExpectedScale: the controllers of the pods, each once; of a ReplicaSet that
// is a Deployment's the Deployment.
func expectedScaleOf(s *clusterBuilder, pods []*corev1.Pod) int32 {
	scale := map[types.UID]int32{}
	for _, p := range pods {
		if len(p.OwnerReferences) == 0 {
			continue
		}
		uid := p.OwnerReferences[0].UID
		for _, x := range s.workloads.StatefulSets {
			if x.UID == uid {
				scale[uid] = *x.Spec.Replicas
			}
		}
		for _, rs := range s.workloads.ReplicaSets {
			if rs.UID != uid {
				continue
			}
			if len(rs.OwnerReferences) == 0 {
				scale[uid] = *rs.Spec.Replicas
				continue
			}
			for _, d := range s.workloads.Deployments {
				if d.UID == rs.OwnerReferences[0].UID {
					scale[d.UID] = *d.Spec.Replicas
				}
			}
		}
	}
	var sum int32
	for _, n := range scale {
		sum += n
	}
	return sum
}

// randomBudget is one budget over the pods of several controllers, in whatever state they are.
func randomBudget(seed uint64) *clusterBuilder {
	g := rand.New(rand.NewPCG(seed, 7))
	pick := func(list ...string) string { return list[g.IntN(len(list))] }
	s := workers(3)
	for i := range 1 + g.IntN(3) {
		var on []string
		for range g.IntN(6) {
			on = append(on, pick("n1", "n1", "n2", "n3")+
				pick("", "", "", ":unready", ":crash", ":pull", ":terminating", ":stuck", ":done"))
		}
		s.app(fmt.Sprintf("web%d=%d", i, g.IntN(7)), strings.Join(on, " "),
			func(p *corev1.Pod) { p.Labels["app"] = "web" })
	}
	s.shuffleOwners(g)
	if g.IntN(3) == 0 {
		s.Pods = append(s.Pods, podNamed("bare", "n1", "web"))
	}
	s.budget("web", pick("max 0", "max 1", "max 2", "max 5", "max 25%", "max 33%", "max 50%", "max 100%", "min 0",
		"min 1", "min 3", "min 7", "min 1%", "min 34%", "min 50%", "min 100%"),
		func(b *policyv1.PodDisruptionBudget) {
			switch g.IntN(3) {
			case 0:
				alwaysAllow(b)
			case 1:
				ifHealthy := policyv1.IfHealthyBudget
				b.Spec.UnhealthyPodEvictionPolicy = &ifHealthy
			}
			for _, p := range s.Pods {
				if g.IntN(8) == 0 {
					ago := []time.Duration{time.Second, 2*time.Minute - time.Second, 2 * time.Minute,
						time.Hour}[g.IntN(4)]
					b.Status.DisruptedPods = map[string]metav1.Time{p.Name: metav1.NewTime(noon.Add(-ago))}
				}
			}
		})
	return s
}

// shuffleOwners gives some Deployments a second ReplicaSet, takes the Deployment away from others,
// and makes one a StatefulSet.
func (s *clusterBuilder) shuffleOwners(g *rand.Rand) {
	for _, rs := range s.workloads.ReplicaSets[:len(s.workloads.ReplicaSets):len(s.workloads.ReplicaSets)] {
		switch g.IntN(4) {
		case 0:
			second := rs.DeepCopy()
			second.Name, second.UID = rs.Name+"-new", rs.UID+"-new"
			one := int32(1)
			second.Spec.Replicas = &one
			s.workloads.ReplicaSets = append(s.workloads.ReplicaSets, second)
			s.reassign(rs, second.UID, "ReplicaSet", func() bool { return g.IntN(2) == 0 })
		case 1:
			rs.OwnerReferences = nil
		case 2:
			n := *rs.Spec.Replicas
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: rs.Name, UID: rs.UID +
				"-set"}, Spec: appsv1.StatefulSetSpec{Replicas: &n}}
			s.workloads.StatefulSets = append(s.workloads.StatefulSets, set)
			s.reassign(rs, set.UID, "StatefulSet", func() bool { return true })
		}
	}
}

// reassign gives pods of the ReplicaSet to another controller.
func (s *clusterBuilder) reassign(rs *appsv1.ReplicaSet, to types.UID, kind string, which func() bool) {
	for _, p := range s.Pods {
		if p.OwnerReferences[0].UID == rs.UID && which() {
			p.OwnerReferences[0].UID, p.OwnerReferences[0].Kind = to, kind
		}
	}
}

// TestBudgetsMatchDisruptionController: the numbers of a budget, and the answer to the eviction of
// each of its pods, for 200 worlds. They have to differ enough to tell something.
func TestBudgetsMatchDisruptionController(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(200) {
		s := randomBudget(seed)
		all := drain.NewBudgets(s.Budgets, s.Pods, drain.NewScales(s.workloads), s.Now)
		b := all.All[0]
		got := pdbStatus{Expected: b.Expected, Desired: b.Desired, Healthy: b.Healthy, Allowed: b.Allowed(),
			Answers: map[string]int{}}
		for _, p := range b.Pods {
			got.Answers[p.Name] = all.CheckEviction(p).Code
		}
		want := oracle(s, s.Budgets[0])
		if diff := cmp.Diff(want, got); diff != "" || b.FromStatus || b.NotComputed != "" {
			t.Fatalf("seed %d, %s (-platform +ours):\n%s", seed, b, diff)
		}
		seen[fmt.Sprintf("allows %d", min(want.Allowed, 2))]++
		for _, code := range want.Answers {
			seen[strconv.Itoa(code)]++
		}
	}
	for _, what := range []string{"allows 0", "allows 1", "allows 2", "201", "429"} {
		if seen[what] < 10 {
			t.Errorf("only %d worlds, or pods, with %s: %v", seen[what], what, seen)
		}
	}
}
