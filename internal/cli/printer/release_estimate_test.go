package printer

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

func TestEstimateReleaseOfLargePools(t *testing.T) {
	cases := map[string]struct {
		mechanism v1alpha1.ReleaseMechanism
		nodes     int
		verdict   registriesconf.NodeEffect
		says      string
	}{
		"small": {nodes: 99, verdict: registriesconf.EffectDrain},
		"large": {nodes: 200, verdict: registriesconf.EffectDrain,
			says: "pool worker has 200 nodes: after its first unpause the Machine Config Operator needs about 1m41s"},
		"by name already": {mechanism: v1alpha1.MechanismTargeted, nodes: 200, verdict: registriesconf.EffectDrain},
		"left alone":      {nodes: 200, verdict: registriesconf.EffectNone},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &preview.Preview{Change: preview.ProposedChange{Rollout: &v1alpha1.SafeMirrorRollout{}}}
			f.Change.Rollout.Spec.Release.Mechanism = c.mechanism
			got := estimateRelease(f, PlanReport{Pools: []PoolForecast{{Name: "worker", Nodes: c.nodes,
				Effect: c.verdict, MaxConcurrent: 2}, {Name: "infra", Nodes: 3, Effect: c.verdict, MaxConcurrent: 1}}})
			if (got.Advice == "") != (c.says == "") || !strings.HasPrefix(got.Advice, c.says) {
				t.Errorf("advice %q, want %q", got.Advice, c.says)
			}
			if want := 2; c.verdict == registriesconf.EffectDrain && got.MaxConcurrent != want {
				t.Errorf("%d at once, want %d", got.MaxConcurrent, want)
			}
		})
	}
}

func TestEstimateCountsBatches(t *testing.T) {
	f := &preview.Preview{Change: preview.ProposedChange{Rollout: &v1alpha1.SafeMirrorRollout{}}}
	got := estimate(f, PlanReport{Pools: []PoolForecast{{Name: "worker", Nodes: 5, Effect: registriesconf.EffectDrain,
		MaxConcurrent: 2}}}, preview.RegistryChecks{})
	if want := (Range{6, 30}); got.Minutes != want || !strings.HasPrefix(got.Assumption, "up to 2 nodes at a time") {
		t.Errorf("%v minutes, want %v; %s", got.Minutes, want, got.Assumption)
	}
}
