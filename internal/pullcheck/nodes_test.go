package pullcheck

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func names(targets []SelectedNode) []string {
	var out []string
	for _, t := range targets {
		out = append(out, t.Group.String()+": "+t.Node)
	}
	return out
}

func TestOneNodeOfEachGroup(t *testing.T) {
	arm := func(n *Node) { n.Object.Status.NodeInfo.Architecture = "arm64" }
	cases := map[string]struct {
		nodes    []Node
		excluded map[string]string
		want     []string
	}{
		"none": {},
		"the first by name": {
			nodes: []Node{node("w2", "worker"), node("w0", "worker"), node("w1", "worker")},
			want:  []string{"pool worker, amd64, zone a: w0"},
		},
		"one of each pool, architecture and zone": {
			nodes: []Node{
				node("m0", "master"), node("m1", "master", zone("b")), node("w0", "worker"), node("w1", "worker", arm),
				node("w2", "worker", zone("b")),
				node("w3", "worker", zone("b")), node("i0", "infra", zone("")),
			},
			want: []string{
				"pool infra, amd64: i0", "pool master, amd64, zone a: m0", "pool master, amd64, zone b: m1",
				"pool worker, amd64, zone a: w0",
				"pool worker, amd64, zone b: w2", "pool worker, arm64, zone a: w1",
			},
		},
		"another one when the first is shunned": {
			nodes:    []Node{node("w0", "worker"), node("w1", "worker")},
			excluded: map[string]string{"w0": "evicted"},
			want:     []string{"pool worker, amd64, zone a: w1"},
		},
		"a shunned one when there is no other": {
			nodes:    []Node{node("w0", "worker"), node("w1", "worker", func(n *Node) { n.State.Ready = false })},
			excluded: map[string]string{"w0": "evicted"},
			want:     []string{"pool worker, amd64, zone a: w0"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, skipped := SelectNodes(c.nodes, c.excluded, DefaultLimits(), now)
			if diff := cmp.Diff(c.want, names(got)); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if len(skipped) > 0 {
				t.Errorf("gaps %v", skipped)
			}
		})
	}
}

func TestUnusableNodesAreSkipped(t *testing.T) {
	pressure := func(status corev1.ConditionStatus, ago time.Duration) func(*Node) {
		return func(n *Node) {
			n.Object.Status.Conditions = []corev1.NodeCondition{{
				Type: corev1.NodeDiskPressure, Status: status, Message: "kubelet has disk pressure",
				LastHeartbeatTime: metav1.NewTime(now.Add(-ago)),
			}}
		}
	}
	cases := map[string]struct {
		edit func(*Node)
		want string
	}{
		"cordoned":             {func(n *Node) { n.State.Unschedulable = true }, "is cordoned"},
		"cordoned this moment": {func(n *Node) { n.Object.Spec.Unschedulable = true }, "is cordoned"},
		"not ready":            {func(n *Node) { n.State.Ready = false }, "is not ready"},
		"being deleted": {func(n *Node) { n.Object.DeletionTimestamp = &metav1.Time{Time: now} },
			"is being deleted"},
		"told to take another": {func(n *Node) { n.State.DesiredConfig = "rendered-1" },
			`is being updated by the Machine Config Operator: its state is "Done", it runs "rendered-0" and is to run "rendered-1"`},
		"at work":  {func(n *Node) { n.State.State = "Working" }, "is being updated"},
		"degraded": {func(n *Node) { n.State.State = "Degraded" }, "is being updated"},
		"not managed yet": {func(n *Node) { n.State.CurrentConfig, n.State.DesiredConfig = "", "" },
			"is being updated"},
		"a drain is asked for": {func(n *Node) { n.State.DesiredDrain = "drain-1" },
			"is being drained or uncordoned: drain-1"},
		"no architecture": {func(n *Node) { n.Object.Status.NodeInfo.Architecture = "" },
			"has not reported its architecture"},
		"disk pressure": {pressure(corev1.ConditionTrue, 0),
			"has the condition DiskPressure True: kubelet has disk pressure"},
		"disk pressure unknown": {pressure(corev1.ConditionUnknown, 0), "has the condition DiskPressure Unknown"},
		"disk pressure not told": {func(n *Node) { n.Object.Status.Conditions = nil },
			"does not report whether its disk is under pressure"},
		"disk pressure told of old": {pressure(corev1.ConditionFalse, 11*time.Minute),
			"has not reported on its disk since 2026-03-01T11:49:00Z"},
		"no disk size": {func(n *Node) { n.Object.Status.Capacity = nil },
			"does not report the size of its disk"},
		"no allocatable disk": {func(n *Node) { n.Object.Status.Allocatable = nil },
			"does not report the size of its disk"},
		"no images": {func(n *Node) { n.Object.Status.Images = nil }, "does not report its images"},
		"full": {func(n *Node) { n.Object.Status.Images[0].SizeBytes = 75 << 30 },
			"has too little room: its images take 75 GiB of 90 GiB, and 15 % of 100 GiB have to stay free"},
		"kept free by an administrator": {taint("maintenance", "true", corev1.TaintEffectNoSchedule),
			"carries the taint maintenance=true:NoSchedule"},
		"memory pressure": {taint("node.kubernetes.io/memory-pressure", "", corev1.TaintEffectNoSchedule),
			"carries the taint node.kubernetes.io/memory-pressure:NoSchedule"},
		"about to be scaled down": {taint("ToBeDeletedByClusterAutoscaler", "1", corev1.TaintEffectNoSchedule),
			"carries the taint ToBeDeletedByClusterAutoscaler"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bad, good := node("w0", "worker", c.edit), node("w1", "worker")
			if got, _ := SelectNodes([]Node{bad, good}, nil, DefaultLimits(), now); len(got) == 0 ||
				got[len(got)-1].Node != "w1" {
				t.Errorf("targets %v, want w1", names(got))
			}
			// Another node of the pool, elsewhere, tells what the whole pool carries.
			got, skipped := SelectNodes([]Node{bad, node("w9", "worker", zone("z"))}, nil, DefaultLimits(), now)
			if len(got) != 1 || len(skipped) != 1 ||
				!strings.Contains(skipped[0].String(), ": no node of this kind can be used now: w0 "+c.want) {
				t.Errorf("targets %v, gaps %v, want one that says %q", names(got), skipped, c.want)
			}
		})
	}
}

func TestSkippedNodesAreNamed(t *testing.T) {
	var nodes []Node
	for i := range 5 {
		nodes = append(nodes, node(fmt.Sprintf("w%d", i), "worker", func(n *Node) { n.State.Unschedulable = true }))
	}
	_, skipped := SelectNodes(nodes, nil, DefaultLimits(), now)
	want := "pool worker, amd64, zone a: no node of this kind can be used now: w0 is cordoned; w1 is cordoned; w2 is cordoned; and 2 more"
	if len(skipped) != 1 || skipped[0].String() != want {
		t.Errorf("gaps %v, want %s", skipped, want)
	}
}

// A probe tolerates what all nodes of the pool carry, as the pool's DaemonSets do, and nothing
// else.
func TestTolerations(t *testing.T) {
	role := taint("node-role.kubernetes.io/master", "", corev1.TaintEffectNoSchedule)
	infra := taint("node-role.kubernetes.io/infra", "reserved", corev1.TaintEffectNoExecute)
	updating := taint("UpdateInProgress", "", corev1.TaintEffectPreferNoSchedule)
	cases := map[string]struct {
		nodes []Node
		want  []corev1.Toleration
	}{
		"none":                     {[]Node{node("w0", "worker")}, nil},
		"a taint that only steers": {[]Node{node("w0", "worker", updating)}, nil},
		"the control plane's": {
			[]Node{node("m0", "master", role), node("m1", "master", role)},
			[]corev1.Toleration{{Key: "node-role.kubernetes.io/master", Operator: corev1.TolerationOpEqual,
				Effect: corev1.TaintEffectNoSchedule}},
		},
		"two, in order": {
			[]Node{node("m0", "master", role, infra), node("m1", "master", infra, role)},
			[]corev1.Toleration{
				{Key: "node-role.kubernetes.io/infra", Operator: corev1.TolerationOpEqual, Value: "reserved",
					Effect: corev1.TaintEffectNoExecute},
				{Key: "node-role.kubernetes.io/master", Operator: corev1.TolerationOpEqual,
					Effect: corev1.TaintEffectNoSchedule},
			},
		},
		"of one node only": {[]Node{node("m0", "master"), node("m1", "master", role)}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, skipped := SelectNodes(c.nodes, nil, DefaultLimits(), now)
			if len(got) != 1 {
				t.Fatalf("targets %v, gaps %v", names(got), skipped)
			}
			if diff := cmp.Diff(c.want, got[0].Tolerations); diff != "" {
				t.Errorf("tolerations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFreeDiskBytes(t *testing.T) {
	cases := map[string]struct {
		headroom float64
		images   []int64
		want     int64
	}{
		"allocatable less images less headroom": {0.15, []int64{10 << 30, 5 << 30}, 60 << 30},
		"no headroom asked for":                 {0, []int64{10 << 30}, 80 << 30},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := node("w0", "worker").Object
			n.Status.Images = nil
			for _, b := range c.images {
				n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: b})
			}
			if got, reason := freeDiskBytes(n, c.headroom, now); got != c.want {
				t.Errorf("%d bytes (%s), want %d", got, reason, c.want)
			}
		})
	}
	small := node("w0", "worker").Object
	small.Status.Allocatable[corev1.ResourceEphemeralStorage] = resource.MustParse("25Gi")
	if got, reason := freeDiskBytes(small, 0.15, now); got != 0 || reason == "" {
		t.Errorf("%d bytes (%s), want none: exactly the headroom is left", got, reason)
	}
}

func TestPresentDigests(t *testing.T) {
	n := node("w0", "worker").Object
	n.Status.Images = []corev1.ContainerImage{
		{Names: []string{"quay.io/a/b@" + digestOf(5), "mirror.local/a/b@" + digestOf(5), "quay.io/a/b:v1"}},
		{Names: []string{"quay.io/c@" + digestOf(2)}}, {},
	}
	if diff := cmp.Diff([]string{digestOf(2), digestOf(5)}, presentDigests(n)); diff != "" {
		t.Errorf("present (-want +got):\n%s", diff)
	}
}

func TestFormatBytes(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 KiB", 9 << 20: "9216 KiB", 10 << 20: "10 MiB", 300 << 20: "300 MiB",
		11 << 30: "11 GiB"} {
		if got := formatBytes(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
