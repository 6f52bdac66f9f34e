package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

var errDown = errors.New("connection refused")

// site is a cluster with a runner, which notes every write, and can be made to fail them.
type site struct {
	*Runner
	t        *testing.T
	writes   []string
	fail     func(verb string) error
	outcomes []pullcheck.CheckResult
	now      time.Time
}

func newSite(t *testing.T, objects ...client.Object) *site {
	t.Helper()
	s := &site{t: t, now: now, fail: func(string) error { return nil }}
	uids := 0
	c := minicluster.Client(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if err := s.fail("create"); err != nil {
				return err
			}
			uids++
			o.SetUID(types.UID(fmt.Sprint("uid-", uids))) // which the fake client leaves to its user
			o.SetCreationTimestamp(metav1.NewTime(s.now))
			err := c.Create(ctx, o, opts...)
			if err == nil {
				s.writes = append(s.writes, "create "+o.GetName())
			}
			return err
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if err := s.fail("delete"); err != nil {
				return err
			}
			current := &corev1.Pod{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(o), current); err != nil {
				return err
			}
			if p := new(client.DeleteOptions).ApplyOptions(opts).Preconditions; p == nil || *p.UID != current.UID {
				return apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, o.GetName(), errors.New("uid"))
			}
			s.writes = append(s.writes, "delete "+o.GetName())
			return c.Delete(ctx, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if err := s.fail(fmt.Sprintf("list %T", l)); err != nil {
				return err
			}
			return c.List(ctx, l, opts...)
		},
	}, objects...)
	s.Runner = &Runner{Client: c, API: c, Namespace: namespace, Limits: pullcheck.DefaultLimits()}
	return s
}

// run takes a step and keeps its outcomes.
func (s *site) run(want ...pullcheck.Check) (pullcheck.Step, error) {
	s.t.Helper()
	s.writes = nil
	step, err := s.Run(context.Background(), shop, want, s.outcomes, time.Time{}, s.now)
	s.outcomes = step.Results
	return step, err
}

func (s *site) mustRun(want ...pullcheck.Check) pullcheck.Step {
	s.t.Helper()
	step, err := s.run(want...)
	if err != nil {
		s.t.Fatal(err)
	}
	return step
}

func (s *site) wrote(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.writes); diff != "" {
		s.t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// pod is what the node makes of the probe's pod.
func (s *site) pod(p pullcheck.Check, edits ...func(*corev1.Pod)) {
	s.t.Helper()
	ctx, pod := context.Background(), &corev1.Pod{}
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: p.Name}, pod); err != nil {
		s.t.Fatal(err)
	}
	pod.Spec.NodeName = p.Node
	for _, edit := range edits {
		edit(pod)
	}
	status := pod.Status
	if err := s.Client.Update(ctx, pod); err != nil {
		s.t.Fatal(err)
	}
	pod.Status = status
	if err := s.Client.Status().Update(ctx, pod); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) names() []string {
	s.t.Helper()
	var list corev1.PodList
	if err := s.Client.List(context.Background(), &list); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, p := range list.Items {
		out = append(out, p.Namespace+"/"+p.Name)
	}
	slices.Sort(out)
	return out
}

func TestRunProvesOneAfterTheOther(t *testing.T) {
	s, a, b := newSite(t), probeOf("w0", "m.local/a/x"), probeOf("w0", "m.local/b/x")
	s.mustRun(a, b)
	s.wrote("create " + a.Name)
	s.mustRun(a, b)
	s.wrote()
	s.pod(a, completed)
	s.mustRun(a, b)
	s.wrote("delete " + a.Name)
	s.mustRun(a, b)
	s.wrote("create " + b.Name)
	s.pod(b, completed)
	if step := s.mustRun(a, b); step.Done {
		t.Error("done before the pod is gone")
	}
	step := s.mustRun(a, b)
	s.wrote()
	if !step.Done || pullcheck.Summarize([]pullcheck.Check{a, b}, step.Results, time.Time{}).Proven != 2 {
		t.Errorf("%+v", step)
	}
}

// The operator dies after any write, or the write fails. What it knew is lost; the next one comes
// to the same end, and never has two pods on the node.
func TestRunGoesOnAfterACrash(t *testing.T) {
	for after := range 6 {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("at write %d, outcomes lost %t", after, lost), func(t *testing.T) {
				s := newSite(t)
				s.failWrite(after)
				s.runToTheEnd(lost, probeOf("w0", "m.local/a/x"), probeOf("w0", "m.local/b/x"))
			})
		}
	}
}

// failWrite fails the n-th write from now on, once.
func (s *site) failWrite(n int) {
	s.fail = func(verb string) error {
		if strings.HasPrefix(verb, "list") {
			return nil
		}
		n--
		if n == -1 {
			return errDown
		}
		return nil
	}
}

// runToTheEnd runs until all is proven, on a node that pulls at once. lost tells whether an error
// takes the outcomes with it.
func (s *site) runToTheEnd(lost bool, want ...pullcheck.Check) {
	s.t.Helper()
	for range 20 {
		step, err := s.run(want...)
		if err != nil && !errors.Is(err, errDown) {
			s.t.Fatal(err)
		}
		if err != nil && lost {
			s.outcomes = nil
		}
		names := s.names()
		if len(names) > 1 || step.Done && len(names) > 0 {
			s.t.Fatalf("done %t, with the pods %v", step.Done, names)
		}
		if step.Done {
			return
		}
		for _, p := range want {
			if slices.Contains(names, namespace+"/"+p.Name) {
				s.pod(p, completed)
			}
		}
	}
	s.t.Error("never done")
}

// A pod that a reader does not see yet is there all the same.
func TestRunIsFineWithAPodThatExists(t *testing.T) {
	s, p := newSite(t), probeOf("w0", "m.local/a/x")
	s.mustRun(p)
	for range 2 {
		refusal, err := s.create(context.Background(), p, shop)
		if refusal != "" || err != nil {
			t.Errorf("%q, %v", refusal, err)
		}
	}
}

// A pod that is not admitted is nobody's failure, and is not tried at every look.
func TestRunTellsOfAdmission(t *testing.T) {
	s, p := newSite(t), probeOf("w0", "m.local/a/x")
	s.fail = func(verb string) error {
		if verb == "create" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, p.Name,
				errors.New(`admission webhook "policy.example.com" denied the request: unsigned`))
		}
		return nil
	}
	step := s.mustRun(p)
	sum := pullcheck.Summarize([]pullcheck.Check{p}, step.Results, time.Time{})
	if sum.Inconclusive != 1 || !strings.Contains(sum.InconclusiveProblems[0].Message,
		"node w0: the API server does not admit the pod that would pull "+p.Image) ||
		!strings.Contains(sum.InconclusiveProblems[0].Message, "unsigned") {
		t.Errorf("%+v", sum)
	}
	s.fail = func(string) error { return nil }
	s.mustRun(p)
	s.wrote()
	s.now = s.now.Add(time.Minute)
	s.mustRun(p)
	s.wrote("create " + p.Name)
}

func TestRunReportsWhatItCannotDo(t *testing.T) {
	for _, verb := range []string{"create", "delete", "list *v1.PodList", "list *v1.EventList"} {
		t.Run(verb, func(t *testing.T) {
			s, p := newSite(t), probeOf("w0", "m.local/a/x")
			before := evicted(probeOf("w9", "m.local/z/x"))
			s.outcomes = []pullcheck.CheckResult{before}
			want := []pullcheck.Check{p}
			if verb != "create" {
				s.mustRun(p)
				s.pod(p, waiting("ImagePullBackOff", ""))
			}
			if verb == "delete" {
				want = nil
			}
			s.fail = func(v string) error {
				if v == verb {
					return errDown
				}
				return nil
			}
			if _, err := s.run(want...); !errors.Is(err, errDown) || !strings.Contains(err.Error(), namespace) {
				t.Errorf("error %v", err)
			}
			if len(s.outcomes) == 0 {
				t.Error("the outcomes are lost with the error")
			}
		})
	}
}

// What old kubelets say in events only is read, and only then.
func TestRunReadsEventsWhereThePodIsSilent(t *testing.T) {
	p := probeOf("w0", "m.local/a/x")
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "e"}, Reason: "Failed",
		Message: `Failed to pull image "x": ` + wordsUnknown}
	event.InvolvedObject.UID = "uid-1"
	s := newSite(t, event)
	s.mustRun(p)
	s.pod(p, waiting("ImagePullBackOff", `Back-off pulling image "x"`))
	step := s.mustRun(p)
	if sum := pullcheck.Summarize([]pullcheck.Check{p}, step.Results, time.Time{}); sum.Failed != 1 ||
		!strings.Contains(sum.Problems[0].Message, "manifest unknown") {
		t.Errorf("%+v", sum)
	}
}

// Sweep takes the probes of the rollout in any state, and nobody else's.
func TestSweep(t *testing.T) {
	a, b := probeOf("w0", "m.local/a/x"), probeOf("w1", "m.local/b/x")
	foreign := pullcheck.NewPod(probeOf("w2", "m.local/c/x"), pullcheck.Owner{Name: "other", UID: "uid-other"},
		namespace, time.Minute)
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "stranger",
		Labels: map[string]string{"safemirror.io/rollout": "shop"}}}
	elsewhere := pullcheck.NewPod(a, shop, "elsewhere", time.Minute)
	s := newSite(t, podOf(a, completed), podOf(b), foreign, stranger, elsewhere)
	left, err := s.Sweep(context.Background(), "shop")
	if err != nil || left != 2 {
		t.Errorf("%d left, %v", left, err)
	}
	want := []string{"elsewhere/" + a.Name, namespace + "/" + foreign.Name, namespace + "/stranger"}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.names()); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if left, err := s.Sweep(context.Background(), "shop"); err != nil || left != 0 {
		t.Errorf("again: %d left, %v", left, err)
	}
	s.fail = func(string) error { return errDown }
	if _, err := s.Sweep(context.Background(), "shop"); !errors.Is(err, errDown) {
		t.Errorf("error %v", err)
	}
}

// Canaries run a few at a time on a node, survive a restart, and whether the layers were shown is
// what it was before the pull.
func TestCanariesRun(t *testing.T) {
	set := canaryOf(4)
	s := newSite(t)
	s.App, s.Limits = pullcheck.CanaryName, pullcheck.CanaryLimits()
	step := s.mustRun(set.Checks...)
	if len(step.Create) != 3 {
		t.Fatalf("%d pods at once, want 3", len(step.Create))
	}
	finish := func(step pullcheck.Step) {
		t.Helper()
		for _, p := range step.Create {
			s.pod(p, completed)
		}
	}
	finish(step)
	later := slices.Clone(set.Checks) // by now the node reports what it has pulled
	for i := range later {
		later[i].ImageAbsent = false
	}
	s.mustRun(later...) // the three are judged and deleted
	finish(s.mustRun(later...))
	step = s.mustRun(later...)
	set.Checks = later
	if sum := set.Summarize(step.Results, s.now.Add(-time.Hour)); sum.Proven != 3 || sum.ManifestOnly != 1 {
		t.Errorf("%+v", sum)
	}
	if left, err := s.Sweep(t.Context(), shop.Name); err != nil || left != 0 {
		t.Errorf("%d pods are left (%v)", left, err)
	}
}

// What one node has pulled proves the kind for a canary and brings nothing to another node.
func TestPreloadIsOnTheNode(t *testing.T) {
	in := canaryInput(2, 1)
	sets, loads := pullcheck.Canaries(in), pullcheck.Preloads(in, nil, now.Add(-time.Hour))
	all := pullcheck.MergeChecks(sets, loads)
	if len(all) != 2 || !all[0].NodeSpecific || !all[1].NodeSpecific || all[0].Name != sets[0].Checks[0].Name {
		t.Fatalf("wanted %+v", all)
	}
	s := newSite(t)
	s.App, s.Limits = pullcheck.CanaryName, pullcheck.CanaryLimits()
	step := s.mustRun(all...)
	if len(step.Create) != 2 {
		t.Fatalf("%d pods, want one on each node", len(step.Create))
	}
	s.pod(step.Create[0], completed)
	step = s.mustRun(all...)
	if sum := sets[0].Summarize(step.Results, s.now.Add(-time.Hour)); sum.Proven != 1 {
		t.Errorf("the canary: %+v", sum)
	}
	sum := loads[0].Summarize(step.Results, s.now.Add(-time.Hour))
	if sum.Wanted != 2 || sum.Loaded != 1 || sum.Ready != 1 || !cmp.Equal(sum.Waiting, []string{"w1"}) ||
		!cmp.Equal(sum.Nodes, []string{"w0", "w1"}) {
		t.Errorf("the preload: %+v", sum)
	}
}
