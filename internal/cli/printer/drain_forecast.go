package printer

import (
	"fmt"
	"strconv"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// addDrainForecast adds the forecast of drains to the pools that change, and to what would hold a
// rollout before it pauses anything.
func (r *PlanReport) addDrainForecast(f *preview.Preview, a preview.RegistryChecks) {
	if f.AlreadyApplied {
		return
	}
	advisory := f.Change.Rollout.Spec.Release.Forecast == v1alpha1.ForecastAdvisory
	forecast := f.DrainForecast(a)
	for i := range r.Pools {
		pool := &r.Pools[i]
		if !pool.changes() {
			continue
		}
		for _, n := range forecast.Nodes {
			if n.Pool != pool.Name {
				continue
			}
			pool.Drains = append(pool.Drains, drainOf(n))
			if n.Position == 1 && n.Result == rollout.DrainBlocked && !advisory {
				r.addBlockers(n)
			}
		}
		for _, g := range forecast.Concurrent {
			if g.Pool == pool.Name {
				pool.Concurrent = &ConcurrentDrains{Size: g.Size, Reasons: messages(g.Problems)}
			}
		}
	}
}

func drainOf(n forecast.NodeReport) DrainForecast {
	return DrainForecast{Node: n.Node, First: n.Position == 1, Result: string(n.Result), Reasons: messages(n.Problems),
		Remarks: orEmpty(n.Remarks)}
}

func messages(problems []rollout.Problem) []string {
	out := []string{}
	for _, p := range problems {
		out = append(out, p.Message)
	}
	return out
}

// addBlockers adds each reason once, however many nodes it is one for.
func (r *PlanReport) addBlockers(n forecast.NodeReport) {
	for _, p := range n.Problems {
		f := Notice{Object: p.Kind + " " + p.Name,
			Message: fmt.Sprintf("the drain of %s would be refused: %s", n.Node, p.Message)}
		if p.Namespace != "" {
			f.Object = p.Kind + " " + p.Namespace + "/" + p.Name
		}
		known := false
		for _, h := range r.Blockers {
			known = known || h.Object == f.Object
		}
		if !known {
			r.Blockers = append(r.Blockers, f)
		}
	}
}

// drains tells how the drains of a pool would go: in numbers, and of each that would not.
func (t *textWriter) drains(p PoolForecast) {
	if len(p.Drains) == 0 {
		return
	}
	count := map[string]int{}
	var bad []DrainForecast
	for _, d := range p.Drains {
		count[d.Result]++
		if d.Result != string(rollout.DrainSafe) {
			bad = append(bad, d)
		}
	}
	t.paragraph("  ", fmt.Sprintf("%s: of %s, one at a time, %d would go through, %d would be refused, and of %d nobody can tell", p.Name,
		plural(len(p.Drains), "drain", "drains"), count[string(rollout.DrainSafe)], count[string(rollout.DrainBlocked)],
		count[string(rollout.DrainUnknown)]))
	for _, d := range firstN(bad, t.limit) {
		for _, reason := range d.Reasons {
			t.paragraph("    - ", fmt.Sprintf("%s %s: %s", d.Node, d.Result, reason))
		}
	}
	t.more(len(bad), "drains")
	if g := p.Concurrent; g != nil && len(g.Reasons) > 0 {
		t.paragraph("    - ", fmt.Sprintf("%s may be taken at once, and %s can be: %s",
			plural(p.MaxConcurrent, "node", "nodes"), strconv.Itoa(g.Size), g.Reasons[0]))
	}
	if t.limit <= defaultLimit {
		return
	}
	for _, d := range p.Drains {
		for _, remark := range d.Remarks {
			t.paragraph("    . ", d.Node+": "+remark)
		}
	}
}
