package snapshot

import (
	"cmp"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Change is what is planned for the cluster, and how its nodes are released.
type Change struct {
	Now time.Time
	// Spec is the effective spec, Record what the rollout has on record, which of a plan is
	// nothing.
	Spec       rollout.Spec
	Record     v1alpha1.Record
	Prediction prediction.Prediction
	Plan       plan.Plan
	// Results are what the registries have said; nil when they were not asked.
	Results map[string]mirror.Result
	// Reloads is true when the node disruption policy of the spec takes effect before anything is
	// applied; see Reloads.
	Reloads bool
}

// Reloads tells whether nodes reload for the rollout: its spec asks for that policy, and the
// cluster has such policies. Where that is not known they are taken to drain.
func Reloads(spec rollout.Spec, policy rollout.Value[rollout.NodeDisruptionPolicy]) bool {
	p, ok := policy.Get()
	return spec.Reload && ok && p.Unsupported == ""
}

// Assemble completes what Read has found by what is planned: the pools with the nodes that can be
// next, and where images come from. The live operator and a plan both forecast drains from it.
func Assemble(s drain.Snapshot, c Change) drain.Snapshot {
	s.Now = c.Now
	pools := c.Prediction.All()
	o := rollout.Observed{Rollout: c.Spec, Record: c.Record}
	o.Record.Pools = recorded(o.Record.Pools, pools)
	for _, p := range pools {
		s.Pools = append(s.Pools, drain.PoolNodes{
			Pool: p, Drains: c.Prediction.CostOf(p, c.Reloads).Disrupts(),
			// A pool that is unpaused for a node has all others of it tainted by the MCO meanwhile;
			// one that stays paused has not.
			TaintsPendingNodes: !c.Spec.Targeted, NextReleases: coming(o, p),
		})
	}
	s.PullAvailability = PullAvailability(c.Plan, c.Results, c.Prediction.Configs, pools)
	return s
}

// recorded are the notes on the pools; a pool without one, because nothing was paused yet, is now
// as it will be on record.
func recorded(have []v1alpha1.PoolRecord, pools []rollout.Pool) []v1alpha1.PoolRecord {
	out := slices.Clone(have)
	for _, p := range pools {
		if !slices.ContainsFunc(have, func(r v1alpha1.PoolRecord) bool { return r.Name == p.Name }) {
			out = append(out, v1alpha1.PoolRecord{Name: p.Name, MaxUnavailable: p.MaxUnavailable})
		}
	}
	return out
}

// coming are the nodes of the next releases, as the core would have them. While the planned
// configuration is not rendered every node is still to come.
func coming(o rollout.Observed, p rollout.Pool) [][]string {
	if p.Registries != rollout.MatchesPlanned {
		p.Rendered = ""
	}
	return rollout.NextReleases(o, p)
}

// operators are the namespaces in which pods of this operator run.
func operators(s *drain.Snapshot) []string {
	var out []string
	for _, p := range s.Pods {
		if p.Labels[nameLabel] == operatorName && !drain.IsPodTerminal(p) && !slices.Contains(out, p.Namespace) {
			out = append(out, p.Namespace)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

const nameLabel = "app.kubernetes.io/name"
