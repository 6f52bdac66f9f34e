package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/lookout"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// forecastAge is how long the forecast of all nodes is good for, of which only the numbers are shown; and, before anything is paused, that
// of the next ones as well. Right before a release those that may be next are looked at anew each time.
const forecastAge = time.Minute

// forecasting is the last forecast of all nodes, kept in memory: what is lost is made again.
type forecasting struct {
	mu   sync.Mutex
	plan string
	all  rollout.Forecast
}

// forecast says whether the nodes that may be next can be drained. It is made when it can decide something: before anything is paused, and
// when a node could be released. fresh is set right before a release: then the API server is asked as well.
func (l *Live) forecast(ctx context.Context, w *World, prediction predict.Prediction, fresh bool) rollout.Known[rollout.Forecast] {
	o := &w.Observed
	if why := tooEarly(*o, prediction.Pools); why != "" {
		return rollout.Unseen[rollout.Forecast](why)
	}
	l.forecasting.mu.Lock()
	kept := l.forecasting.all
	current := l.forecasting.plan == w.Plan.Digest && o.Now.Sub(kept.At) < forecastAge && !o.Now.Before(kept.At)
	l.forecasting.mu.Unlock()
	if current && o.Record.StartedAt == nil && !fresh {
		return rollout.Seen(kept)
	}
	s := l.snapshot(ctx, w, prediction, fresh)
	if current {
		next := drain.ForetellNext(s)
		if fresh {
			l.askAPI(ctx, s, &next)
		}
		out := next.Summary()
		out.Safe, out.Blocked, out.Unknown = kept.Safe, kept.Blocked, kept.Unknown
		return rollout.Seen(out)
	}
	report := drain.Foretell(s)
	if fresh {
		l.askAPI(ctx, s, &report)
	}
	all := report.Summary()
	l.forecasting.mu.Lock()
	l.forecasting.plan, l.forecasting.all = w.Plan.Digest, all
	l.forecasting.mu.Unlock()
	return rollout.Seen(all)
}

// tooEarly says why no forecast is made: while a node is under way, or the pools are held and not rendered, none could be released.
func tooEarly(o rollout.Observed, pools []rollout.Pool) string {
	if o.Record.StartedAt == nil {
		return ""
	}
	if r := o.Record.Release; r != nil && len(r.Nodes) > 0 {
		return "node " + r.Nodes[0] + " is under way"
	}
	if !slices.ContainsFunc(pools, func(p rollout.Pool) bool { return p.Meaning == rollout.MeansPlanned }) {
		return "no pool has the planned configuration yet"
	}
	return ""
}

// snapshot reads what the forecast is made from. Pods come from the caches, as many as there are; budgets and nodes, which change from one
// moment to the next, are read past them right before a release.
func (l *Live) snapshot(ctx context.Context, w *World, prediction predict.Prediction, fresh bool) drain.Snapshot {
	o := lookout.Options{Mirrors: lookout.Locations(w.Plan)}
	if fresh {
		o.Fresh = l.API
	}
	return lookout.Assemble(lookout.Read(ctx, l.cached(), o), lookout.Change{
		Now: w.Observed.Now, Spec: w.Observed.Rollout, Record: w.Observed.Record, Prediction: prediction, Plan: w.Plan, Results: l.Transfers.Snapshot(),
		Reloads: lookout.Reloads(w.Observed.Rollout, w.Observed.Policy),
	})
}
