package pool

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// atRest is a worker that runs the earlier configuration, changed by the test.
func atRest(changes ...func(*corev1.Node)) *corev1.Node {
	n := someNode("worker-0", "worker")
	n.Annotations = map[string]string{currentConfig: "earlier", desiredConfig: "earlier", state: "Done", "of": "others"}
	for _, change := range changes {
		change(&n)
	}
	return &n
}

func withAnnotation(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Annotations[key] = value }
}

func TestSetDesiredConfig(t *testing.T) {
	cases := map[string]struct {
		node *corev1.Node
		busy string // why it is left alone
	}{
		"at rest":      {node: atRest()},
		"told already": {node: atRest(withAnnotation(desiredConfig, "planned"))},
		"on its way": {node: atRest(withAnnotation(desiredConfig, "other")),
			busy: `on its way from "earlier" to "other"`},
		"its daemon fails": {node: atRest(withAnnotation(state, "Degraded")), busy: `state "Degraded"`},
		"new":              {node: atRest(func(n *corev1.Node) { n.Annotations = nil }), busy: `on its way from ""`},
		"cordoned": {node: atRest(func(n *corev1.Node) { n.Spec.Unschedulable = true }),
			busy: "cordoned or not Ready"},
		"NotReady": {node: atRest(func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
		}), busy: "cordoned or not Ready"},
		"of a layered pool": {node: atRest(withAnnotation(currentImage, "quay.io/acme/os@sha256:1")),
			busy: "an image of its own"},
		"to be layered soon": {node: atRest(withAnnotation(desiredImage, "quay.io/acme/os@sha256:1")),
			busy: "an image of its own"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cl := context.Background(), fakeCluster(c.node)
			before := nodeIn(t, cl)
			err := SetDesiredConfig(ctx, cl, before, "planned")
			var busy *NodeBusyError
			if errors.As(err, &busy) != (c.busy != "") || (err != nil && !strings.Contains(err.Error(), c.busy)) ||
				(err == nil) != (c.busy == "") {
				t.Errorf("error %v, want %q", err, c.busy)
			}
			want := before.DeepCopy()
			if c.busy == "" {
				want.Annotations[desiredConfig] = "planned"
			}
			got := nodeIn(t, cl)
			want.ResourceVersion, got.ResourceVersion = "", ""
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("node (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("changed since it was read", func(t *testing.T) {
		cl := fakeCluster(atRest())
		stale, now := nodeIn(t, cl), nodeIn(t, cl)
		now.Spec.Unschedulable = true
		if err := cl.Update(context.Background(), now); err != nil {
			t.Fatal(err)
		}
		if err := SetDesiredConfig(context.Background(), cl, stale, "planned"); !apierrors.IsConflict(err) {
			t.Errorf("error %v, want a conflict", err)
		}
	})
}

func nodeIn(t *testing.T, c client.Client) *corev1.Node {
	t.Helper()
	n := &corev1.Node{}
	if err := c.Get(context.Background(), client.ObjectKey{Name: "worker-0"}, n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRecordTargets(t *testing.T) {
	ours := somePauseRecord()
	window := rollout.UnpauseWindow{IntendedAt: began, Deadline: began, Target: "rendered-worker",
		Nodes: []string{"worker-0"}, Closed: true}
	targeted := *changed(ours, func(record *rollout.PauseRecord) { record.Release = &window })
	after := *changed(ours, func(record *rollout.PauseRecord) {
		r := window
		r.MaxUnavailable = 2 // that of the unpause window before, which is what the pool has
		record.Release = &r
	})
	afterWindow := *changed(ours, func(record *rollout.PauseRecord) { record.Release = closedWindow() })
	books := rollout.PauseRecord{Rollout: "books"}
	cases := map[string]struct {
		mcp     poolBuilder
		want    poolState
		notOurs bool
	}{
		"a paused pool": {newPool("worker").paused().maxUnavailable("10%").record(ours),
			poolState{true, percent("10%"), &targeted}, false},
		"after an unpause window": {newPool("worker").paused().maxUnavailable("2").record(afterWindow),
			poolState{true, number(2), &after}, false},
		"the prior values stay": {newPool("worker").paused().record(*changed(ours,
			func(record *rollout.PauseRecord) { record.PriorMaxUnavailable = "7" })), poolState{true, nil,
			changed(targeted, func(record *rollout.PauseRecord) { record.PriorMaxUnavailable = "7" })}, false},
		"a pool that somebody unpaused": {newPool("worker").record(ours), poolState{false, nil, &ours}, true},
		"one without a pause record":    {newPool("worker").paused(), poolState{true, nil, nil}, true},
		"one of another rollout":        {newPool("worker").paused().record(books), poolState{true, nil, &books}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client,
				p *mcfgv1.MachineConfigPool) error {
				return RecordTargets(ctx, cl, p, targeted)
			})
			check(t, c.want, got, err, c.notOurs)
		})
	}
}

// Whoever has lost the answer to the announcement comes by to tell the nodes: it is not written
// once more.
func TestRecordTargetsTwice(t *testing.T) {
	targeted := *changed(somePauseRecord(), func(record *rollout.PauseRecord) {
		record.Release = &rollout.UnpauseWindow{IntendedAt: began, Deadline: began, Target: "rendered-worker",
			Nodes: []string{"worker-0"}, Closed: true}
	})
	for name, c := range map[string]struct {
		now   []string
		write bool
	}{
		"the same":      {[]string{"worker-0"}, false},
		"another batch": {[]string{"worker-1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cl := context.Background(), fakeCluster(newPool("worker").paused().record(targeted).MachineConfigPool)
			p := &mcfgv1.MachineConfigPool{}
			if err := cl.Get(ctx, client.ObjectKey{Name: "worker"}, p); err != nil {
				t.Fatal(err)
			}
			before := p.ResourceVersion
			next := *changed(targeted, func(record *rollout.PauseRecord) {
				r := *record.Release
				r.Nodes = c.now
				record.Release = &r
			})
			if err := RecordTargets(ctx, cl, p, next); err != nil {
				t.Fatal(err)
			}
			if err := cl.Get(ctx, client.ObjectKey{Name: "worker"}, p); err != nil {
				t.Fatal(err)
			}
			if wrote := p.ResourceVersion != before; wrote != c.write {
				t.Errorf("written: %t, want %t", wrote, c.write)
			}
		})
	}
}

// A release by name sets no maxUnavailable, so none is taken back.
func TestRestoreAfterATargetedRelease(t *testing.T) {
	targeted := *changed(somePauseRecord(), func(record *rollout.PauseRecord) {
		record.Release = &rollout.UnpauseWindow{Closed: true, Nodes: []string{"worker-0"}}
	})
	got, err := patched(t, newPool("worker").paused().maxUnavailable("0").record(targeted),
		func(ctx context.Context, cl client.Client, p *mcfgv1.MachineConfigPool) error {
			return Restore(ctx, cl, p, false, "10%")
		})
	check(t, poolState{false, number(0), nil}, got, err, false)
}

func TestUnmanagedNodes(t *testing.T) {
	pools := []mcfgv1.MachineConfigPool{*newPool("worker").MachineConfigPool, *newPool("infra").MachineConfigPool,
		*newPool("edge").MachineConfigPool, *newPool("master").MachineConfigPool}
	windows := someNode("windows", "infra", "edge")
	windows.Labels[corev1.LabelOSStable] = "windows"
	nodes := []corev1.Node{
		someNode("plain", "worker"), someNode("one", "worker", "infra"), someNode("two", "worker", "infra", "edge"),
		someNode("compact", "master", "worker", "infra", "edge"), someNode("none"), windows,
	}
	if diff := cmp.Diff([]UnmanagedNode{{Node: "two", Pools: []string{"edge", "infra"}}},
		UnmanagedNodes(pools, nodes)); diff != "" {
		t.Errorf("strays (-want +got):\n%s", diff)
	}
}

func TestUpdateOrderOfNode(t *testing.T) {
	n := atRest(func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = "eu-1a" })
	n.CreationTimestamp.Time = began
	if got := fromNode(n); got.Zone != "eu-1a" || !got.Created.Equal(began) {
		t.Errorf("zone %q, created %s", got.Zone, got.Created)
	}
}
