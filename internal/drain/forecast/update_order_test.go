package forecast

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// nodes are written as "name zone age-in-seconds flags", zone - for none; flags are cordoned, down,
// degraded.
func nodesOf(lines ...string) rollout.Pool {
	p := rollout.Pool{Name: "worker"}
	for _, line := range lines {
		f := strings.Fields(line)
		age, _ := time.ParseDuration(f[2])
		state := rollout.Node{Name: f[0], Ready: true, State: "Done", Created: noon.Add(-age),
			Zone: strings.Trim(f[1], "-")}
		for _, flag := range f[3:] {
			switch flag {
			case "cordoned":
				state.Unschedulable = true
			case "down":
				state.Ready = false
			case "degraded":
				state.State = "Degraded"
			case "mco":
				state.RunsMCO = true
			}
		}
		p.Nodes = append(p.Nodes, state)
	}
	return p
}

func TestUpdateOrderOf(t *testing.T) {
	cases := map[string]struct {
		nodes   []string
		control bool
		first   string
		others  []string
	}{
		"the oldest": {nodes: []string{"a - 1h", "b - 3h", "c - 2h"}, first: "b",
			others: []string{"c", "a"}},
		"zones before age": {nodes: []string{"a z2 9h", "b z1 1h", "c z1 2h"}, first: "c",
			others: []string{"b", "a"}},
		"no zone comes last": {nodes: []string{"a - 9h", "b z1 1h"}, first: "b", others: []string{"a"}},
		"equals are a set": {nodes: []string{"a z1 1h", "b z1 1h", "c z1 30m"}, first: "a b",
			others: []string{"c"}},
		"a second is all there is": {nodes: []string{"a - 1h0m0.2s", "b - 1h0m0.1s"}, first: "a b"},
		"cordoned and down ones are never": {nodes: []string{"a z1 9h cordoned", "b z1 8h down", "c z1 1h"}, first: "c",
			others: []string{"a never", "b never"}},
		"a failing one is taken again": {nodes: []string{"a z1 9h degraded", "b z1 8h"}, first: "a",
			others: []string{"b"}},
		"nobody": {nodes: []string{"a z1 9h cordoned"}, others: []string{"a never"}},
		"the MCO's own comes last": {nodes: []string{"a - 9h mco", "b - 8h", "c - 7h"}, control: true,
			first: "b", others: []string{"c", "a"}},
		"or it is the only one": {nodes: []string{"a - 9h mco"}, control: true, first: "a"},
		"or it is on a worker": {nodes: []string{"a - 9h mco", "b - 8h"}, first: "a",
			others: []string{"b"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := nodesOf(c.nodes...)
			p.ControlPlane = c.control
			got := drain.UpdateOrderOf(p)
			if first := strings.Join(got.First, " "); first != c.first {
				t.Errorf("first %q, want %q", first, c.first)
			}
			var others []string
			for _, l := range got.Others {
				if l.Why == "" {
					t.Errorf("%s is not first for no reason", l.Node)
				}
				others = append(others, strings.TrimSpace(l.Node+map[bool]string{true: " never"}[l.NotCandidate]))
			}
			if diff := cmp.Diff(c.others, others); diff != "" {
				t.Errorf("others (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilterActionOf(t *testing.T) {
	yes := true
	daemon := func(p *corev1.Pod) {
		p.OwnerReferences[0].Kind, p.OwnerReferences[0].APIVersion = "DaemonSet", "apps/v1"
	}
	cases := map[string]struct {
		change func(*corev1.Pod)
		want   drain.FilterAction
	}{
		"a running pod":      {func(*corev1.Pod) {}, drain.ActionEvict},
		"a bare pod":         {func(p *corev1.Pod) { p.OwnerReferences = nil }, drain.ActionEvictUnmanaged},
		"one of a DaemonSet": {daemon, drain.ActionIgnore},
		"one of a DaemonSet, that has ended": {func(p *corev1.Pod) { daemon(p); p.Status.Phase = corev1.PodFailed },
			drain.ActionTerminating},
		"one of a DaemonSet that is gone":  {func(p *corev1.Pod) { daemon(p); p.Labels = map[string]string{"orphan": "yes"} }, drain.ActionEvictUnmanaged},
		"one of another kind of that name": {func(p *corev1.Pod) { daemon(p); p.OwnerReferences[0].APIVersion = "apps.kruise.io/v1alpha1" }, drain.ActionEvict},
		"a static pod":                     {func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, drain.ActionIgnore},
		"a static pod, whatever the value": {func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: ""} }, drain.ActionIgnore},
		"one that has ended": {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
			drain.ActionTerminating},
		"one that has failed": {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
			drain.ActionTerminating},
		"one that is leaving": {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} },
			drain.ActionTerminating},
		"one that waits, and is on a node": {func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, drain.ActionEvict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Controller: &yes}}}, Spec: corev1.PodSpec{NodeName: "a"}}
			c.change(p)
			if got := drain.FilterActionOf(p, func(p *corev1.Pod) bool { return p.Labels["orphan"] != "" }); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
