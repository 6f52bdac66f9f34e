package whatif

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/lookout"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// lookOut reads what the forecast of drains is made from. It does not read through the tolerant reader: what may not be read is no
// reason to call a drain safe.
func (f *Foresight) lookOut(ctx context.Context, s Source, pods []*corev1.Pod, single bool) {
	if pods == nil {
		pods = []*corev1.Pod{}
	}
	f.snapshot = lookout.Read(ctx, s.Reader, lookout.Options{Pods: pods, Mirrors: lookout.Locations(f.Plan), Partial: s.Partial})
	f.snapshot.Now, f.snapshot.Single = s.Now, single
	for _, p := range f.Pools {
		f.snapshot.Pools = append(f.snapshot.Pools, drain.Pool{
			Pool: p.Pool, Drains: p.Cost.Verdict == "" || disrupts(p.Cost.Verdict), Steered: !f.targeted(), Next: f.coming(p.Pool),
		})
	}
}

func (f *Foresight) targeted() bool {
	return f.Wish.Rollout.Spec.Release.Mechanism == v1alpha1.MechanismTargeted
}

// coming are the nodes that the first releases can take where several are to be taken at once, as the core would have it: with the pool as
// it is now for how it was before, and nothing rendered yet.
func (f *Foresight) coming(p rollout.Pool) [][]string {
	wanted := f.Wish.Rollout.Spec.Release.MaxUnavailable
	if wanted == nil || p.AtOnce(p.MaxUnavailable, int(*wanted)) == 1 {
		return nil
	}
	before := v1alpha1.PoolRecord{Name: p.Name, MaxUnavailable: p.MaxUnavailable}
	o := rollout.Observed{Rollout: rollout.View{Targeted: f.targeted(), AtOnce: int(*wanted)}, Record: v1alpha1.Record{Pools: []v1alpha1.PoolRecord{before}}}
	if p.Meaning != rollout.MeansPlanned {
		p.Rendered = ""
	}
	return rollout.Coming(o, p)
}

// Drains is the forecast of every node's drain, as a rollout would have it now: by the same code, and by what the registries have said.
func (f *Foresight) Drains(a Answers) drain.Report {
	s := f.snapshot
	s.Pulls = lookout.Pulls(f.Plan, a.Results, f.Prediction.Configs, f.allPools())
	return drain.Foretell(s)
}
