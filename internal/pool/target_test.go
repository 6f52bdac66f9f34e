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

func annotated(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Annotations[key] = value }
}

func TestTarget(t *testing.T) {
	cases := map[string]struct {
		node *corev1.Node
		busy string // why it is left alone
	}{
		"at rest":          {node: atRest()},
		"told already":     {node: atRest(annotated(desiredConfig, "planned"))},
		"on its way":       {node: atRest(annotated(desiredConfig, "other")), busy: `on its way from "earlier" to "other"`},
		"its daemon fails": {node: atRest(annotated(state, "Degraded")), busy: `state "Degraded"`},
		"new":              {node: atRest(func(n *corev1.Node) { n.Annotations = nil }), busy: `on its way from ""`},
		"cordoned":         {node: atRest(func(n *corev1.Node) { n.Spec.Unschedulable = true }), busy: "cordoned or not Ready"},
		"NotReady": {node: atRest(func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
		}), busy: "cordoned or not Ready"},
		"of a layered pool":  {node: atRest(annotated(currentImage, "quay.io/acme/os@sha256:1")), busy: "an image of its own"},
		"to be layered soon": {node: atRest(annotated(desiredImage, "quay.io/acme/os@sha256:1")), busy: "an image of its own"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cl := context.Background(), fakeCluster(c.node)
			before := nodeIn(t, cl)
			err := Target(ctx, cl, before, "planned")
			var busy *NotAtRest
			if errors.As(err, &busy) != (c.busy != "") || (err != nil && !strings.Contains(err.Error(), c.busy)) || (err == nil) != (c.busy == "") {
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
		if err := Target(context.Background(), cl, stale, "planned"); !apierrors.IsConflict(err) {
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

func TestAnnounce(t *testing.T) {
	ours := someLedger()
	release := rollout.Pulse{IntendedAt: began, Deadline: began, Target: "rendered-worker", Nodes: []string{"worker-0"}, Closed: true}
	told := *with(ours, func(l *rollout.Ledger) { l.Release = &release })
	after := *with(ours, func(l *rollout.Ledger) {
		r := release
		r.Room = 2 // that of the pulse before, which is what the pool has
		l.Release = &r
	})
	pulsed := *with(ours, func(l *rollout.Ledger) { l.Release = closedPulse() })
	books := rollout.Ledger{Rollout: "books"}
	cases := map[string]struct {
		mcp     poolBuilder
		want    held
		notOurs bool
	}{
		"a paused pool":                 {mcp("worker").paused().maxUnavailable("10%").ledger(ours), held{true, percent("10%"), &told}, false},
		"after a pulse":                 {mcp("worker").paused().maxUnavailable("2").ledger(pulsed), held{true, number(2), &after}, false},
		"the prior values stay":         {mcp("worker").paused().ledger(*with(ours, func(l *rollout.Ledger) { l.PriorMaxUnavailable = "7" })), held{true, nil, with(told, func(l *rollout.Ledger) { l.PriorMaxUnavailable = "7" })}, false},
		"a pool that somebody unpaused": {mcp("worker").ledger(ours), held{false, nil, &ours}, true},
		"one without a ledger":          {mcp("worker").paused(), held{true, nil, nil}, true},
		"one of another rollout":        {mcp("worker").paused().ledger(books), held{true, nil, &books}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client, p *mcfgv1.MachineConfigPool) error {
				return Announce(ctx, cl, p, told)
			})
			judge(t, c.want, got, err, c.notOurs)
		})
	}
}

// Whoever has lost the answer to the announcement comes by to tell the nodes: it is not written once more.
func TestAnnouncedBefore(t *testing.T) {
	told := *with(someLedger(), func(l *rollout.Ledger) {
		l.Release = &rollout.Pulse{IntendedAt: began, Deadline: began, Target: "rendered-worker", Nodes: []string{"worker-0"}, Closed: true}
	})
	for name, c := range map[string]struct {
		now   []string
		write bool
	}{
		"the same":      {[]string{"worker-0"}, false},
		"another batch": {[]string{"worker-1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cl := context.Background(), fakeCluster(mcp("worker").paused().ledger(told).MachineConfigPool)
			p := &mcfgv1.MachineConfigPool{}
			if err := cl.Get(ctx, client.ObjectKey{Name: "worker"}, p); err != nil {
				t.Fatal(err)
			}
			before := p.ResourceVersion
			next := *with(told, func(l *rollout.Ledger) {
				r := *l.Release
				r.Nodes = c.now
				l.Release = &r
			})
			if err := Announce(ctx, cl, p, next); err != nil {
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
	told := *with(someLedger(), func(l *rollout.Ledger) { l.Release = &rollout.Pulse{Closed: true, Nodes: []string{"worker-0"}} })
	got, err := patched(t, mcp("worker").paused().maxUnavailable("0").ledger(told), func(ctx context.Context, cl client.Client, p *mcfgv1.MachineConfigPool) error {
		return Restore(ctx, cl, p, false, "10%")
	})
	judge(t, held{false, number(0), nil}, got, err, false)
}

func TestStrays(t *testing.T) {
	pools := []mcfgv1.MachineConfigPool{*mcp("worker").MachineConfigPool, *mcp("infra").MachineConfigPool, *mcp("edge").MachineConfigPool, *mcp("master").MachineConfigPool}
	windows := someNode("windows", "infra", "edge")
	windows.Labels[corev1.LabelOSStable] = "windows"
	nodes := []corev1.Node{
		someNode("plain", "worker"), someNode("one", "worker", "infra"), someNode("two", "worker", "infra", "edge"),
		someNode("compact", "master", "worker", "infra", "edge"), someNode("none"), windows,
	}
	if diff := cmp.Diff([]Stray{{Node: "two", Pools: []string{"edge", "infra"}}}, Strays(pools, nodes)); diff != "" {
		t.Errorf("strays (-want +got):\n%s", diff)
	}
}

func TestTheTurnOfANode(t *testing.T) {
	n := atRest(func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = "eu-1a" })
	n.CreationTimestamp.Time = began
	if got := nodeView(n); got.Zone != "eu-1a" || !got.Created.Equal(began) {
		t.Errorf("zone %q, created %s", got.Zone, got.Created)
	}
}
