package trace

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func worker() Pool {
	return Pool{Rendered: "new", Reported: "old", Generation: 3, ObservedGeneration: 2, Machines: 2}
}

func idle() Node {
	return Node{Pools: []string{"worker"}, CurrentConfig: "old", DesiredConfig: "old", State: "Done",
		DesiredDrain: "uncordon-old", LastAppliedDrain: "uncordon-old", Ready: true}
}

func TestSteps(t *testing.T) {
	cases := map[string]struct {
		before, after Entry
		want          string
	}{
		"a node is picked": {
			Entry{Name: "w", Node: ptr(idle())},
			Entry{Name: "w", Node: ptr(with(idle(), func(n *Node) { n.DesiredConfig = "new" }))},
			"node Done: is given what is wanted of it"},
		"a node is given something else": {
			Entry{Name: "w", Node: ptr(idle())},
			Entry{Name: "w", Node: ptr(with(idle(), func(n *Node) { n.DesiredConfig = "odd" }))},
			"node Done: is given something else"},
		"a drain is asked for": {
			Entry{Name: "w", Node: ptr(with(idle(), func(n *Node) { n.DesiredConfig, n.State = "new", "Working" }))},
			Entry{Name: "w", Node: ptr(with(idle(),
				func(n *Node) { n.DesiredConfig, n.State, n.DesiredDrain = "new", "Working", "drain-new" }))},
			"node Working with a target: wants drain for what is wanted of it"},
		"a node goes down": {
			Entry{Name: "w", Node: ptr(idle())},
			Entry{Name: "w", Node: ptr(with(idle(), func(n *Node) { n.Ready = false }))}, ""},
		"a pool is fenced": {
			Entry{Name: "worker", Pool: ptr(worker())},
			Entry{Name: "worker", Pool: ptr(with(worker(), func(p *Pool) { p.ObservedGeneration = 3 }))},
			"pool paused=false: observes its newest generation"},
		"a pool is behind": {
			Entry{Name: "worker", Pool: ptr(worker())},
			Entry{Name: "worker", Pool: ptr(with(worker(),
				func(p *Pool) { p.Generation, p.ObservedGeneration = 5, 4 }))},
			"pool paused=false: observes an older generation"},
		"a pool is paused": {
			Entry{Name: "worker", Pool: ptr(worker())},
			Entry{Name: "worker", Pool: ptr(with(worker(), func(p *Pool) { p.Paused = true }))}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := NewStepReader()
			f.Next(Entry{Name: "worker", Pool: ptr(worker())})
			if step, changed := f.Next(c.before); changed && c.before.Node != nil {
				t.Errorf("the first entry of an object is the step %q", step)
			}
			got, changed := f.Next(c.after)
			if got != c.want || changed != (c.want != "") {
				t.Errorf("step %q, want %q", got, c.want)
			}
		})
	}
	t.Run("an object that comes back is new", func(t *testing.T) {
		f := NewStepReader()
		f.Next(Entry{Name: "w", Node: ptr(idle())})
		f.Next(DeletedEntry(time.Time{}, kindNode, "w"))
		if step, changed := f.Next(Entry{Name: "w",
			Node: ptr(with(idle(), func(n *Node) { n.DesiredConfig = "new" }))}); changed {
			t.Errorf("step %q", step)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// What is recorded is what the API server holds, one line for each version that differs.
func TestRecord(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{mcfgv1.Install, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	watching := &watched{WithWatch: c, ready: make(chan struct{}, 2)}
	ctx, stop := context.WithCancel(context.Background())
	lines := &counted{arrived: make(chan struct{}, 16)}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	end := make(chan error, 1)
	go func() { end <- Record(ctx, watching, lines, func() time.Time { return at }) }()
	<-watching.ready
	<-watching.ready

	two := intstr.FromInt32(2)
	pool := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: "worker"},
		Spec: mcfgv1.MachineConfigPoolSpec{Paused: true, MaxUnavailable: &two}}
	create(t, c, pool)
	<-lines.arrived
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w", Labels: map[string]string{rolePrefix + "worker": ""}}}
	create(t, c, node)
	<-lines.arrived
	node.Labels["other"] = "" // makes no difference
	if err := c.Update(ctx, node); err != nil {
		t.Fatal(err)
	}
	node.Spec.Unschedulable = true
	if err := c.Update(ctx, node); err != nil {
		t.Fatal(err)
	}
	<-lines.arrived
	stop()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	got, err := Read(strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{At: at, Kind: kindPool, Name: "worker", Pool: &Pool{Paused: true, MaxUnavailable: "2"}},
		{At: at, Kind: kindNode, Name: "w", Node: &Node{Pools: []string{"worker"}, Ready: true}},
		{At: at, Kind: kindNode, Name: "w", Node: &Node{Pools: []string{"worker"}, Ready: true, Unschedulable: true}},
	}
	for i := range got {
		if got[i].Pool != nil {
			got[i].Pool.Generation = 0
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

func create(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Create(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

// watched tells when a watch has begun: what happens before is not seen.
type watched struct {
	client.WithWatch
	ready chan struct{}
}

func (w *watched) Watch(ctx context.Context, list client.ObjectList, opts ...client.ListOption) (watch.Interface,
	error) {
	out, err := w.WithWatch.Watch(ctx, list, opts...)
	w.ready <- struct{}{}
	return out, err
}

// counted tells when a line has arrived.
type counted struct {
	bytes.Buffer
	arrived chan struct{}
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Buffer.Write(p)
	c.arrived <- struct{}{}
	return n, err
}

func TestReadErrorNamesTheLine(t *testing.T) {
	_, err := Read(strings.NewReader("{}\nnonsense\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v, want one that names line 2", err)
	}
}
