//go:build lab

package e2e

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestInfraPool carries a custom pool of tainted nodes through, as a stage of its own. A node that
// is in two custom pools is no pool's, and would pull as before for ever: nothing begins until it
// is taken out of one, or of both.
func TestInfraPool(t *testing.T) {
	if !inShard(t, 6) {
		return
	}
	u := startScenario(t, scenario.Infra(), func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Release.Stages = []v1alpha1.ReleaseStage{{Name: "infra", Pool: scenario.InfraPool},
			{Name: "workers", Pool: "worker", Approval: v1alpha1.ApprovalRequired}}
	})
	refused := await(u.ctx, t, u.cluster, u.rollout.Name, "the node in two custom pools is named",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return mentions(r, v1alpha1.ReasonPoolNotReady,
				[]string{scenario.BetweenPools, "edge and infra", "take all of their labels but one off the node"})
		})
	if p := refused.Status.Phase; p != "Preflight" {
		t.Errorf("refused in phase %s, want Preflight: nothing may have been touched", p)
	}
	err := u.cluster.PatchNode(u.ctx, scenario.BetweenPools,
		`{"metadata":{"labels":{"node-role.kubernetes.io/infra":null,"node-role.kubernetes.io/edge":null}},"spec":{"unschedulable":false}}`)
	if err != nil {
		t.Fatal(err)
	}
	atWorkers := u.atGate(t, "workers")
	for _, p := range atWorkers.Status.Pools {
		if want := map[string]int32{scenario.InfraPool: 2}[p.Name]; p.Updated != want {
			t.Errorf("after the first stage %d nodes of pool %s are updated, want %d", p.Updated, p.Name, want)
		}
	}
	u.openGate(t, "workers")
	u.awaitComplete(t)
	if p := poolOf(u.current(t), "worker"); p.Total != 2 || p.Updated != 2 {
		t.Errorf("the node that was in two pools is a worker now, and has the configuration as the other has; the status says %+v", p)
	}
}

// current is the rollout as it is.
func (u *rolloutRun) current(t *testing.T) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	return await(u.ctx, t, u.cluster, u.rollout.Name, "it is there",
		func(*v1alpha1.SafeMirrorRollout) bool { return true })
}

// TestTopologies runs one rollout on each installation that is not a control plane and workers.
func TestTopologies(t *testing.T) {
	for i, k := range []struct {
		topology lab.Topology
		replicas int32
		nodes    int32
		drains   bool
	}{
		{topology: lab.SingleNode, replicas: 1, nodes: 1},
		{topology: lab.Compact, replicas: 2, nodes: 3, drains: true},
	} {
		t.Run(string(k.topology), func(t *testing.T) {
			if !inShard(t, 5+i) {
				return
			}
			onLab(t, lab.Options{Topology: k.topology})
			s := scenario.Plain(k.replicas, nil)
			u := startScenario(t, s)
			if _, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
				rolloutTime); err != nil {
				t.Fatal(err)
			}
			// A single node is not drained, so no pod has had to pull yet.
			if err := s.Restart(u.ctx, u.cluster, k.replicas); err != nil {
				t.Fatal(err)
			}
			u.awaitComplete(t)
			if got := len(evictions(t)); (got > 0) != k.drains {
				t.Errorf("%d evictions", got)
			}
			if n := u.current(t).Status.Nodes.Updated; n != k.nodes {
				t.Errorf("%d nodes are updated, want %d", n, k.nodes)
			}
		})
	}
}

// onLab lets the test have a lab of another kind as the shared one.
func onLab(t *testing.T, o lab.Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	other, err := lab.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	usual := shared
	shared = other
	t.Cleanup(func() { shared = usual; other.Stop() })
}

// evictions are those that were granted.
func evictions(t *testing.T) []lab.AuditEvent {
	t.Helper()
	audit, err := shared.Audit()
	if err != nil {
		t.Fatal(err)
	}
	var out []lab.AuditEvent
	for _, e := range audit {
		if e.Subresource == "eviction" && e.Code < 300 {
			out = append(out, e)
		}
	}
	return out
}
