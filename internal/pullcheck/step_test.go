package pullcheck

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
)

// summary of a step.
type summary struct {
	Create, Delete, Open []string
	Outcomes             map[string]State
	Done                 bool
	Recheck              time.Duration
}

func summarize(s Step) summary {
	out := summary{Done: s.Done, Outcomes: map[string]State{}}
	for _, p := range s.Create {
		out.Create = append(out.Create, p.Node+" "+p.Scope)
	}
	for _, d := range s.Delete {
		out.Delete = append(out.Delete, string(d.UID))
	}
	for _, o := range s.InProgress {
		out.Open = append(out.Open, o.Check.Node+" "+o.Check.Scope)
	}
	for _, o := range s.Results {
		out.Outcomes[o.Node+" "+o.Scope] = o.Pull.State
	}
	if !s.RecheckAt.IsZero() {
		out.Recheck = s.RecheckAt.Sub(now)
	}
	return out
}

func outcome(p Check, s State, ago time.Duration, attempts int) CheckResult {
	return CheckResult{Check: p, Pull: PullResult{State: s, Message: "node " + p.Node + ": " + string(s)},
		At: now.Add(-ago), Attempts: attempts}
}

func TestNextStep(t *testing.T) {
	a0, b0, a1 := checkOf("w0", "m.local/a/x"), checkOf("w0", "m.local/b/x"), checkOf("w1", "m.local/a/x")
	otherZone := a1
	otherZone.Group.Zone = "b"
	otherZone.Name += "b"
	smaller := a0
	smaller.Image, smaller.Name = "m.local/a/y@"+digestOf(3), "safe-mirror-probe-y"
	criticalOne := smaller
	criticalOne.Critical = true
	label := func(key, value string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Labels[key] = value } }
	stale := func(p *corev1.Pod) { p.Annotations[mirrorset.AnnotationUID] = "uid-before" }
	missing := waiting("ErrImagePull", messageUnknown)
	uid := func(p Check) string { return "uid-of-" + p.Name }
	recorded := outcome(a0, Pulled, time.Second, 0)
	recorded.Pod = podOf(a0).UID
	cases := map[string]struct {
		want    []Check
		pods    []*corev1.Pod
		results []CheckResult
		bound   time.Duration // how old a proof may be; 0 for any age
		atOnce  int
		is      summary
	}{
		"nothing wanted": {is: summary{Done: true}},
		"the first": {want: []Check{a0, b0, otherZone},
			is: summary{Create: []string{"w0 m.local/a"}}},
		"the first on two nodes": {want: []Check{a0, b0, otherZone}, atOnce: 2,
			is: summary{Create: []string{"w0 m.local/a", "w1 m.local/a"}}},
		"in progress": {want: []Check{a0, b0}, pods: []*corev1.Pod{podOf(a0)}, atOnce: 9,
			is: summary{Open: []string{"w0 m.local/a"}, Recheck: 250 * time.Second}},
		"another rollout's probe": {want: []Check{a0},
			pods: []*corev1.Pod{podOf(b0, label(mirrorset.LabelRollout, "other"))}, atOnce: 9},
		"another rollout's probe, elsewhere": {want: []Check{a0},
			pods: []*corev1.Pod{podOf(a1, label(mirrorset.LabelRollout, "other"))}},
		"proven": {want: []Check{a0, b0}, pods: []*corev1.Pod{podOf(a0, completed)},
			atOnce: 9, is: summary{Delete: []string{uid(a0)}, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"the pod is gone": {want: []Check{a0, b0}, results: []CheckResult{recorded},
			is: summary{Create: []string{"w0 m.local/b"}, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"the pod is going": {want: []Check{a0, b0},
			pods: []*corev1.Pod{podOf(a0, completed, terminating)}, results: []CheckResult{recorded},
			is: summary{Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"all proven": {want: []Check{a0}, results: []CheckResult{recorded},
			is: summary{Done: true, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"all proven, the pod is going": {want: []Check{a0},
			pods: []*corev1.Pod{podOf(a0, completed, terminating)}, results: []CheckResult{recorded},
			is: summary{Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"the deletion failed": {want: []Check{a0}, pods: []*corev1.Pod{podOf(a0, completed)},
			results: []CheckResult{recorded},
			is:      summary{Delete: []string{uid(a0)}, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"proven by another node of the kind": {want: []Check{a1}, results: []CheckResult{recorded},
			is: summary{Done: true, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"not by a node of another kind": {want: []Check{otherZone}, results: []CheckResult{recorded},
			is: summary{Create: []string{"w1 m.local/a"}}},
		"proven by another image": {want: []Check{smaller}, results: []CheckResult{recorded},
			is: summary{Done: true, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"a critical one is not": {want: []Check{criticalOne}, results: []CheckResult{recorded},
			is: summary{Create: []string{"w0 m.local/a"}}},
		"the proof is too old": {want: []Check{a0},
			results: []CheckResult{outcome(a0, Pulled, time.Hour, 0)}, bound: time.Minute,
			is: summary{Create: []string{"w0 m.local/a"}, Outcomes: map[string]State{"w0 m.local/a": Pulled}}},
		"failed": {want: []Check{a0, b0}, pods: []*corev1.Pod{podOf(a0, missing)},
			is: summary{Delete: []string{uid(a0)}, Outcomes: map[string]State{"w0 m.local/a": Failed}}},
		"failed, and others meanwhile": {want: []Check{a0, b0},
			results: []CheckResult{outcome(a0, Failed, 50*time.Second, 1)},
			is: summary{Create: []string{"w0 m.local/b"}, Outcomes: map[string]State{"w0 m.local/a": Failed},
				Recheck: 10 * time.Second}},
		"failed, again": {want: []Check{a0},
			results: []CheckResult{outcome(a0, Failed, time.Minute, 1)},
			is:      summary{Create: []string{"w0 m.local/a"}, Outcomes: map[string]State{"w0 m.local/a": Failed}}},
		"failed often": {want: []Check{a0},
			results: []CheckResult{outcome(a0, Failed, 29*time.Minute, 99)},
			is:      summary{Outcomes: map[string]State{"w0 m.local/a": Failed}, Recheck: time.Minute}},
		"evicted": {want: []Check{a0}, pods: []*corev1.Pod{podOf(a0, terminating)},
			is: summary{Outcomes: map[string]State{"w0 m.local/a": Evicted}}},
		"not wanted any more": {want: []Check{b0}, pods: []*corev1.Pod{podOf(a0)},
			is: summary{Delete: []string{uid(a0)}}},
		"not wanted and going":     {want: []Check{b0}, pods: []*corev1.Pod{podOf(a0, terminating)}},
		"nothing wanted, one left": {pods: []*corev1.Pod{podOf(a0)}, is: summary{Delete: []string{uid(a0)}}},
		"of an earlier rollout of this name": {want: []Check{a0}, pods: []*corev1.Pod{podOf(a0, completed, stale)},
			is: summary{Delete: []string{uid(a0)}}},
		"old outcomes go": {results: []CheckResult{outcome(a0, Pulled, time.Hour, 0),
			outcome(a1, Evicted, 31*time.Minute, 1)}, is: summary{Done: true}},
		"recent troubles of a node stay": {results: []CheckResult{outcome(a1, Evicted, 29*time.Minute, 1)},
			is: summary{Done: true, Outcomes: map[string]State{"w1 m.local/a": Evicted}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := StepInput{Owner: shop, Wanted: c.want, Results: c.results, Now: now, Limits: DefaultLimits()}
			if c.bound > 0 {
				in.NotOlderThan = now.Add(-c.bound)
			}
			if c.atOnce > 0 {
				in.Limits.ConcurrentNodes = c.atOnce
			}
			for _, p := range c.pods {
				in.Pods = append(in.Pods, *p)
			}
			got := NextStep(in)
			if diff := cmp.Diff(c.is, summarize(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("step (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, NextStep(in)); diff != "" {
				t.Errorf("a second look sees something else:\n%s", diff)
			}
		})
	}
}

// Attempts count per pod, not per look, and a proof ends the count.
func TestAttempts(t *testing.T) {
	p := checkOf("w0", "m.local/a/x")
	var results []CheckResult
	for _, c := range []struct {
		pod   string
		state State
		want  int
	}{{"1", Failed, 1}, {"1", Failed, 1}, {"2", Inconclusive, 2}, {"", Inconclusive, 3}, {"", Inconclusive, 4},
		{"3", Pulled, 0}, {"4", Failed, 1}} {
		results = record(results, CheckResult{Check: p, Pod: types.UID(c.pod), Pull: PullResult{State: c.state},
			At: now})
		if len(results) != 1 || results[0].Attempts != c.want {
			t.Fatalf("after pod %q: %+v, want %d attempts", c.pod, results, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for attempts, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 2: 2 * time.Minute,
		5: 16 * time.Minute, 6: 30 * time.Minute, 1000: 30 * time.Minute} {
		if got := DefaultLimits().backoff(attempts); got != want {
			t.Errorf("after %d attempts: %s, want %s", attempts, got, want)
		}
	}
}

func TestExcludedNodes(t *testing.T) {
	p, limits := checkOf("w0", "m.local/a/x"), DefaultLimits()
	cases := map[string]struct {
		outcome CheckResult
		want    bool
	}{
		"evicted":           {outcome(p, Evicted, time.Minute, 1), true},
		"not placed":        {outcome(p, Unschedulable, time.Minute, 1), true},
		"long ago":          {outcome(p, Evicted, 30*time.Minute, 1), false},
		"the mirror failed": {outcome(p, Failed, time.Minute, 1), false},
		"proven":            {outcome(p, Pulled, time.Minute, 0), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ExcludedNodes([]CheckResult{c.outcome}, now, limits); (got["w0"] != "") != c.want {
				t.Errorf("shunned %v", got)
			}
		})
	}
}

// fakeNodes plays nodes, scheduler and evil chance around Next.
type fakeNodes struct {
	t        *testing.T
	rand     *rand.Rand
	now      time.Time
	pods     map[string]*corev1.Pod
	uids     int
	broken   map[string]bool // nodes that cannot pull yet
	outcomes []CheckResult
}

// Whatever happens to the pods, a node never has two, nothing is created beyond the nodes at once,
// and in the end all is proven and every pod gone.
func TestNeverTwoChecksOnANode(t *testing.T) {
	for seed := range int64(150) {
		w := &fakeNodes{t: t, rand: rand.New(rand.NewSource(seed)), now: now, pods: map[string]*corev1.Pod{},
			broken: map[string]bool{"w1": true}}
		want, _ := SelectChecks(shop.Name, randomImages(w.rand), randomTargets(w.rand), DefaultLimits())
		limits := DefaultLimits()
		limits.ConcurrentNodes = 1 + w.rand.Intn(3)
		done := false
		for round := 0; !done && round < 5000; round++ {
			if round == 1000 {
				w.broken, w.rand = nil, rand.New(rand.NewSource(-1))
			}
			done = w.round(want, limits, round < 1000)
		}
		if !done || len(w.pods) > 0 {
			t.Fatalf("seed %d: not done: %d pods, %+v", seed, len(w.pods), Summarize(want, w.outcomes, time.Time{}))
		}
		if sum := Summarize(want, w.outcomes, time.Time{}); sum.Proven != len(want) || sum.Open() != 0 {
			t.Fatalf("seed %d: %+v", seed, sum)
		}
	}
}

// round is one step of the runner, and what happens until the next.
func (w *fakeNodes) round(want []Check, limits Limits, chaos bool) bool {
	in := StepInput{Owner: shop, Wanted: want, Results: w.outcomes, Now: w.now, Limits: limits}
	for _, p := range w.pods {
		in.Pods = append(in.Pods, *p)
	}
	step := NextStep(in)
	if chaos && w.rand.Intn(10) == 0 {
		w.outcomes = nil // the operator is restarted before the step is done
		return false
	}
	w.outcomes = step.Results
	for _, d := range step.Delete {
		w.pods[d.Pod.Name].DeletionTimestamp = &metav1.Time{Time: w.now}
	}
	for _, p := range step.Create {
		w.create(p)
	}
	nodes := map[string]int{}
	for _, p := range w.pods {
		if nodes[nodeOf(p)]++; nodes[nodeOf(p)] > 1 || len(nodes) > limits.ConcurrentNodes {
			w.t.Fatalf("node %s has %d probes, and %d nodes have some", nodeOf(p), nodes[nodeOf(p)], len(nodes))
		}
	}
	w.now = w.now.Add(time.Duration(1+w.rand.Intn(60)) * time.Second)
	for _, p := range w.pods {
		w.advancePod(p, chaos)
	}
	return step.Done
}

func (w *fakeNodes) create(p Check) {
	w.uids++
	pod := NewPod(p, shop, namespace, time.Minute)
	pod.UID, pod.CreationTimestamp = types.UID(fmt.Sprint(w.uids)), metav1.NewTime(w.now)
	if w.pods[p.Name] != nil {
		w.t.Fatalf("probe %s is created twice", p.Name)
	}
	w.pods[p.Name] = pod
}

// advancePod lets one thing happen to a pod.
func (w *fakeNodes) advancePod(p *corev1.Pod, chaos bool) {
	switch what := w.rand.Intn(10); {
	case p.DeletionTimestamp != nil:
		delete(w.pods, p.Name)
	case chaos && what == 0:
		p.DeletionTimestamp = &metav1.Time{Time: w.now} // somebody deletes it
	case chaos && what == 1:
		p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
	case p.Spec.NodeName == "":
		p.Spec.NodeName, p.Status.StartTime = nodeOf(p), &metav1.Time{Time: w.now}
	case w.broken[p.Spec.NodeName] && what < 5:
		waiting("ErrImagePull", messageX509)(p)
	case w.broken[p.Spec.NodeName]:
		waiting("ImagePullBackOff", `Back-off pulling image "x": ErrImagePull: `+messageDial)(p)
	default:
		completed(p)
	}
}
