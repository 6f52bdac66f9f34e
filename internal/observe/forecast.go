package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/snapshot"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// forecastMaxAge is how long the forecast of all nodes is good for, of which only the numbers are
// shown; and, before anything is paused, that of the next ones as well. Right before a release
// those that may be next are looked at anew each time.
const forecastMaxAge = time.Minute

// forecastCache is the last forecast of all nodes, kept in memory: what is lost is made again.
type forecastCache struct {
	mu   sync.Mutex
	plan string
	all  rollout.Forecast
}

// forecast says whether the nodes that may be next can be drained. It is made when it can decide
// something: before anything is paused, and when a node could be released. fresh is set right
// before a release: then the API server is asked as well.
func (observer *Observer) forecast(ctx context.Context, obs *Observation, predicted prediction.Prediction,
	fresh bool) rollout.Value[rollout.Forecast] {
	o := &obs.Observed
	if why := whyNoForecast(*o, predicted.Pools); why != "" {
		return rollout.Unknown[rollout.Forecast](why)
	}
	observer.forecastCache.mu.Lock()
	cached := observer.forecastCache.all
	stillValid := observer.forecastCache.plan == obs.Plan.Digest && o.Now.Sub(cached.At) < forecastMaxAge &&
		!o.Now.Before(cached.At)
	observer.forecastCache.mu.Unlock()
	if stillValid && o.Record.StartedAt == nil && !fresh {
		return rollout.Known(cached)
	}
	s := observer.snapshot(ctx, obs, predicted, fresh)
	if stillValid {
		next := forecast.ForecastNext(s)
		if fresh {
			observer.dryRunEvictions(ctx, s, &next)
		}
		out := next.Summary()
		out.Safe, out.Blocked, out.Unknown = cached.Safe, cached.Blocked, cached.Unknown
		return rollout.Known(out)
	}
	report := forecast.ForecastAll(s)
	if fresh {
		observer.dryRunEvictions(ctx, s, &report)
	}
	all := report.Summary()
	observer.forecastCache.mu.Lock()
	observer.forecastCache.plan, observer.forecastCache.all = obs.Plan.Digest, all
	observer.forecastCache.mu.Unlock()
	return rollout.Known(all)
}

// whyNoForecast says why no forecast is made: while a node is updating, or the pools are held and
// not rendered, none could be released.
func whyNoForecast(o rollout.Observed, pools []rollout.Pool) string {
	if o.Record.StartedAt == nil {
		return ""
	}
	if r := o.Record.Release; r != nil && len(r.Nodes) > 0 {
		return "node " + r.Nodes[0] + " is updating"
	}
	if !slices.ContainsFunc(pools, func(p rollout.Pool) bool { return p.Registries == rollout.MatchesPlanned }) {
		return "no pool has the planned configuration yet"
	}
	return ""
}

// snapshot reads what the forecast is made from. Pods come from the caches, as many as there are;
// budgets and nodes, which change from one moment to the next, are read past them right before a
// release.
func (observer *Observer) snapshot(ctx context.Context, obs *Observation, predicted prediction.Prediction,
	fresh bool) drain.Snapshot {
	o := snapshot.Options{Mirrors: snapshot.MirrorLocations(obs.Plan)}
	if fresh {
		o.Uncached = observer.API
	}
	return snapshot.Assemble(snapshot.Read(ctx, observer.cached(), o), snapshot.Change{
		Now: obs.Observed.Now, Spec: obs.Observed.Rollout, Record: obs.Observed.Record, Prediction: predicted,
		Plan: obs.Plan, Results: observer.Transfers.Snapshot(),
		Reloads: snapshot.Reloads(obs.Observed.Rollout, obs.Observed.NodeDisruptionPolicy),
	})
}
