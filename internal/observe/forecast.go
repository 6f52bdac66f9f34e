package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/lookout"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
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
	o := lookout.Options{Namespace: l.Namespace, Mirrors: lookout.Locations(w.Plan)}
	if fresh {
		o.Fresh = l.API
	}
	s := lookout.Read(ctx, l.cached(), o)
	s.Now = w.Observed.Now
	s.Pods = slices.DeleteFunc(slices.Clone(s.Pods), probe.IsProbe)
	s.Single = singleNode(s.Nodes)
	for _, p := range prediction.Pools {
		verdict := prediction.Costs[p.Name].Verdict
		reloads := verdict == registries.Reload || verdict == registries.None || w.Observed.Rollout.Reload // that policy is in effect before anything is applied
		s.Pools = append(s.Pools, drain.Pool{
			Pool: p, Drains: len(p.Riders) > 0 || !reloads,
			// A pool that is unpaused for a node has all others of it tainted by the MCO meanwhile; one that stays paused has not.
			Steered: !w.Observed.Rollout.Targeted, Next: rollout.Coming(w.Observed, p),
		})
	}
	s.Pulls = lookout.Pulls(w.Plan, l.Transfers.Snapshot(), prediction.Configs, prediction.Pools)
	return s
}

// singleNode: the MCO does not drain the only node of a cluster, which says so on the node.
func singleNode(nodes []*corev1.Node) bool {
	return len(nodes) == 1 && nodes[0].Annotations["machineconfiguration.openshift.io/controlPlaneTopology"] == "SingleReplica"
}
