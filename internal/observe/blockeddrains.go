package observe

import (
	"context"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/evidence"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// evictionDryRunAfter is how long a drain waits for no reason that can be seen before the API
// server is asked what it says to evictions. The Machine Config Controller itself tries again
// within a minute.
const evictionDryRunAfter = 30 * time.Second

// blockedDrains diagnoses the drains in progress, and what keeps the pods of the release from
// coming back. While no node is, nothing is read for it. It is always read from the caches: pods
// are what there is most of, and no action rests on its being the newest.
func (observer *Observer) blockedDrains(ctx context.Context, obs *Observation) rollout.Value[[]rollout.BlockedDrain] {
	pools, ok := obs.Observed.Pools.Get()
	if !ok {
		return rollout.Unknown[[]rollout.BlockedDrain](obs.Observed.Pools.Why())
	}
	source := evidence.Source{
		Reader: observer.cached(), API: observer.API, Predictor: &observer.predictor,
		LastCheck: lastFailure(obs.Results), Now: obs.Observed.Now,
		DryRunEvict: evidence.DryRun(observer.DryRun), DryRunAfter: evictionDryRunAfter,
	}
	if r := obs.Observed.Record.Release; r != nil && len(r.Nodes) > 0 {
		source.Awaited = &diagnosis.AwaitedRelease{Pool: r.Pool, Nodes: r.Nodes, Since: r.IntendedAt.Time}
	}
	result, err := source.Diagnose(ctx, pools)
	if err != nil {
		return rollout.Unknown[[]rollout.BlockedDrain](err.Error())
	}
	return rollout.Known(result.BlockedDrains)
}

// lastFailure is what the mirror engine knows of places at which its last look failed.
func lastFailure(results map[string]mirror.Result) func(endpoint string) (rollout.PullCause, string, bool) {
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
		detail := string(e.Class)
		if e.Err != nil {
			detail = e.Err.Error()
		}
		return diagnosis.PullCauseOf(e.Class), detail, true
	}
}
