package whatif

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/lookout"
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
		f.snapshot.Pools = append(f.snapshot.Pools, drain.Pool{Pool: p.Pool, Drains: p.Cost.Verdict == "" || disrupts(p.Cost.Verdict), Steered: true})
	}
}

// Drains is the forecast of every node's drain, as a rollout would have it now: by the same code, and by what the registries have said.
func (f *Foresight) Drains(a Answers) drain.Report {
	s := f.snapshot
	s.Pulls = lookout.Pulls(f.Plan, a.Results, f.Prediction.Configs, f.allPools())
	return drain.Foretell(s)
}
