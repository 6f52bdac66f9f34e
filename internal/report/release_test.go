package report

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

func TestTheReleaseOfLargePools(t *testing.T) {
	cases := map[string]struct {
		mechanism v1alpha1.ReleaseMechanism
		nodes     int
		verdict   registries.Verdict
		says      string
	}{
		"small":           {nodes: 99, verdict: registries.Drain},
		"large":           {nodes: 200, verdict: registries.Drain, says: "pool worker has 200 nodes: after its first unpause the Machine Config Operator needs about 1m41s"},
		"by name already": {mechanism: v1alpha1.MechanismTargeted, nodes: 200, verdict: registries.Drain},
		"left alone":      {nodes: 200, verdict: registries.None},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &whatif.Foresight{Wish: whatif.Wish{Rollout: &v1alpha1.SafeMirrorRollout{}}}
			f.Wish.Rollout.Spec.Release.Mechanism = c.mechanism
			got := release(f, Report{Pools: []Pool{{Name: "worker", Nodes: c.nodes, Verdict: c.verdict, AtOnce: 2}, {Name: "infra", Nodes: 3, Verdict: c.verdict, AtOnce: 1}}})
			if (got.Advice == "") != (c.says == "") || !strings.HasPrefix(got.Advice, c.says) {
				t.Errorf("advice %q, want %q", got.Advice, c.says)
			}
			if want := 2; c.verdict == registries.Drain && got.AtOnce != want {
				t.Errorf("%d at once, want %d", got.AtOnce, want)
			}
		})
	}
}

func TestBatchesTakeLessTime(t *testing.T) {
	f := &whatif.Foresight{Wish: whatif.Wish{Rollout: &v1alpha1.SafeMirrorRollout{}}}
	got := expect(f, Report{Pools: []Pool{{Name: "worker", Nodes: 5, Verdict: registries.Drain, AtOnce: 2}}}, whatif.Answers{})
	if want := (Range{6, 30}); got.Minutes != want || !strings.HasPrefix(got.Assumption, "up to 2 nodes at a time") {
		t.Errorf("%v minutes, want %v; %s", got.Minutes, want, got.Assumption)
	}
}
