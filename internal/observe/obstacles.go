package observe

import (
	"context"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/diagnose"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// evictAfter is how long a drain waits for no reason that can be seen before the API server is asked what it says to evictions. The Machine
// Config Controller itself tries again within a minute.
const evictAfter = 30 * time.Second

// obstacles diagnoses the drains under way, and what keeps the pods of the release from coming back. While no node is, nothing is read for
// it. It is always read from the caches: pods are what there is most of, and no action rests on its being the newest.
func (l *Live) obstacles(ctx context.Context, w *World) rollout.Known[[]rollout.Obstacle] {
	pools, ok := w.Observed.Pools.Get()
	if !ok {
		return rollout.Unseen[[]rollout.Obstacle](w.Observed.Pools.Why())
	}
	source := diagnose.Source{
		Reader: l.cached(), API: l.API, Predictor: &l.predictor, Asked: found(w.Results), Now: w.Observed.Now,
		Evict: diagnose.DryRun(l.DryRun), EvictAfter: evictAfter,
	}
	if r := w.Observed.Record.Release; r != nil && len(r.Nodes) > 0 {
		source.Awaited = &drain.Awaited{Pool: r.Pool, Nodes: r.Nodes, Since: r.IntendedAt.Time}
	}
	result, err := source.Diagnose(ctx, pools)
	if err != nil {
		return rollout.Unseen[[]rollout.Obstacle](err.Error())
	}
	return rollout.Seen(result.Obstacles)
}

// found is what the mirror engine knows of places at which its last look failed.
func found(results map[string]mirror.Result) func(endpoint string) (rollout.PullCause, string, bool) {
	failed := map[string]*mirror.Error{}
	for _, r := range results {
		if r.Err != nil && r.Err.Endpoint != "" {
			failed[r.Err.Endpoint] = r.Err
		}
	}
	return func(endpoint string) (rollout.PullCause, string, bool) {
		e, ok := failed[endpoint]
		if !ok {
			return "", "", false
		}
		words := string(e.Class)
		if e.Err != nil {
			words = e.Err.Error()
		}
		return drain.Cause(e.Class), words, true
	}
}
