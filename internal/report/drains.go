package report

import (
	"fmt"
	"strconv"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// addDrains adds the forecast of drains to the pools that change, and to what would hold a rollout before it pauses anything.
func (r *Report) addDrains(f *whatif.Foresight, a whatif.Answers) {
	if f.Done {
		return
	}
	advisory := f.Wish.Rollout.Spec.Release.Forecast == v1alpha1.ForecastAdvisory
	forecast := f.Drains(a)
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
			if n.Turn == 1 && n.Outlook == rollout.OutlookBlocked && !advisory {
				r.hold(n)
			}
		}
		for _, g := range forecast.Together {
			if g.Pool == pool.Name {
				pool.Together = &Together{Size: g.Size, Reasons: messages(g.Problems)}
			}
		}
	}
}

func drainOf(n drain.NodeReport) Drain {
	return Drain{Node: n.Node, First: n.Turn == 1, Outlook: string(n.Outlook), Reasons: messages(n.Problems), Remarks: orEmpty(n.Remarks)}
}

func messages(problems []rollout.Problem) []string {
	out := []string{}
	for _, p := range problems {
		out = append(out, p.Message)
	}
	return out
}

// hold adds each reason once, however many nodes it is one for.
func (r *Report) hold(n drain.NodeReport) {
	for _, p := range n.Problems {
		f := Finding{Object: p.Kind + " " + p.Name, Message: fmt.Sprintf("the drain of %s would be refused: %s", n.Node, p.Message)}
		if p.Namespace != "" {
			f.Object = p.Kind + " " + p.Namespace + "/" + p.Name
		}
		known := false
		for _, h := range r.Held {
			known = known || h.Object == f.Object
		}
		if !known {
			r.Held = append(r.Held, f)
		}
	}
}

// drains tells how the drains of a pool would go: in numbers, and of each that would not.
func (t *text) drains(p Pool) {
	if len(p.Drains) == 0 {
		return
	}
	count := map[string]int{}
	var bad []Drain
	for _, d := range p.Drains {
		count[d.Outlook]++
		if d.Outlook != string(rollout.OutlookSafe) {
			bad = append(bad, d)
		}
	}
	t.paragraph("  ", fmt.Sprintf("%s: of %s, one at a time, %d would go through, %d would be refused, and of %d nobody can tell", p.Name,
		plural(len(p.Drains), "drain", "drains"), count[string(rollout.OutlookSafe)], count[string(rollout.OutlookBlocked)], count[string(rollout.OutlookUnknown)]))
	for _, d := range first(bad, t.most) {
		for _, reason := range d.Reasons {
			t.paragraph("    - ", fmt.Sprintf("%s %s: %s", d.Node, d.Outlook, reason))
		}
	}
	t.more(len(bad), "drains")
	if g := p.Together; g != nil && len(g.Reasons) > 0 {
		t.paragraph("    - ", fmt.Sprintf("%s may be taken at once, and %s can be: %s", plural(p.AtOnce, "node", "nodes"), strconv.Itoa(g.Size), g.Reasons[0]))
	}
	if t.most <= worst {
		return
	}
	for _, d := range p.Drains {
		for _, remark := range d.Remarks {
			t.paragraph("    . ", d.Node+": "+remark)
		}
	}
}
