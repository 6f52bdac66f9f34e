package printer

import (
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// decideVerdict says what it comes to. What is known to break or to be refused comes before what is
// not known.
func decideVerdict(f *preview.Preview, r PlanReport, a preview.RegistryChecks) Verdict {
	if f.AlreadyApplied && len(f.Problems) == 0 && len(f.ExistingProblems) == 0 {
		return verdict(NothingToDo, fmt.Sprintf("the cluster has these mirror sets, and all %s run what follows from them", plural(r.Cluster.Nodes, "node", "nodes")))
	}
	if reasons := blockingReasons(r); len(reasons) > 0 {
		return verdict(Blocked, reasons...)
	}
	if reasons := unknownReasons(r, a); len(reasons) > 0 {
		return verdict(CannotTell, reasons...)
	}
	return verdict(Changes, "safe as far as seen: "+summary(r))
}

func verdict(c VerdictCode, reasons ...string) Verdict {
	message := reasons[0]
	if more := len(reasons) - 1; more > 0 {
		message += fmt.Sprintf(" (and %s)", plural(more, "more reason", "more reasons"))
	}
	return Verdict{Code: c, Message: message, Reasons: reasons}
}

// blockingReasons are the reasons why it would break something, be refused, or not begin.
func blockingReasons(r PlanReport) []string {
	var out []string
	if n := len(r.Breaks); n > 0 {
		out = append(out, fmt.Sprintf("%s in use could not be pulled any more: %s",
			plural(n, "reference", "references"), abbreviate(r.Breaks, 3)))
	}
	for _, h := range r.Blockers {
		out = append(out, h.Message)
	}
	return out
}

// unknownReasons are the reasons why nobody can tell.
func unknownReasons(r PlanReport, a preview.RegistryChecks) []string {
	var out []string
	for _, g := range r.Gaps {
		if g.Essential {
			out = append(out, fmt.Sprintf("%s was not seen: %s", g.Source, g.Why))
		}
	}
	if n := len(r.AtRisk); n > 0 {
		ask := "; --ask-registries finds out"
		if r.RegistriesChecked {
			ask = ", and the registries have not said otherwise"
		}
		out = append(out, fmt.Sprintf("%s in use may not be pullable any more (%s)%s",
			plural(n, "reference", "references"), abbreviate(r.AtRisk, 3), ask))
	}
	if a.Unanswered > 0 {
		out = append(out, fmt.Sprintf("%s not been answered for in time: a longer --timeout may help",
			plural(a.Unanswered, "reference has", "references have")))
	}
	return out
}

// summary is what changes, in numbers.
func summary(r PlanReport) string {
	parts := []string{fmt.Sprintf("%d of %s change", r.References.Changed,
		plural(r.References.Total, "reference", "references"))}
	if r.Estimate.Images > 0 {
		parts = append(parts, plural(r.Estimate.Images, "image has", "images have")+" to be at a mirror first")
	}
	disruption := map[registriesconf.NodeEffect]int{}
	for _, p := range r.Pools {
		disruption[p.Effect] += p.Nodes
	}
	for _, v := range []registriesconf.NodeEffect{registriesconf.EffectReboot, registriesconf.EffectDrain,
		registriesconf.EffectReload} {
		if n := disruption[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", plural(n, "node", "nodes"), disruptionText[v]))
		}
	}
	if r.Change.Passes > 1 && r.Estimate.Nodes > 0 {
		parts = append(parts, "twice, because sources are blocked in a second pass (spec.sourcePolicy is Staged)")
	}
	if r.Estimate.Nodes == 0 {
		parts = append(parts, "no node is disturbed")
	}
	return strings.Join(parts, ", ")
}

var disruptionText = map[registriesconf.NodeEffect]string{
	registriesconf.EffectReboot: "to drain and reboot", registriesconf.EffectDrain: "to drain",
	registriesconf.EffectReload: "to reload without a drain",
}

// minutesPerNode is how long a node takes, in minutes, at best and at worst as far as that can be
// said beforehand.
var minutesPerNode = map[registriesconf.NodeEffect]Range{
	registriesconf.EffectReload: {1, 2}, registriesconf.EffectDrain: {2, 10}, registriesconf.EffectReboot: {6, 20},
}

const assumption = "%s at a time, 1 to 2 minutes for each that reloads, 2 to 10 for one that drains, 6 to 20 for one that reboots; " +
	"volumes, virtual machines and budgets that refuse evictions take longer"

// estimate adds up what a rollout would take.
func estimate(f *preview.Preview, r PlanReport, a preview.RegistryChecks) Estimate {
	out := Estimate{Release: estimateRelease(f, r)}
	out.Assumption = fmt.Sprintf(assumption, atMost(out.Release.MaxConcurrent))
	fill := map[string]bool{}
	r.items(func(i ReferenceChange) {
		if i.Target != "" && i.Needed && (i.Forecast == plan.ToMirror || i.Forecast == plan.Proven) {
			fill[i.Target] = true
		}
	})
	out.Images = len(fill)
	for _, p := range r.Pools {
		if !p.changes() {
			continue
		}
		out.Nodes += p.Nodes
		out.Evictions += p.Evictions
		batches := (p.Nodes + max(1, p.MaxConcurrent) - 1) / max(1, p.MaxConcurrent)
		out.Minutes.From += batches * minutesPerNode[p.Effect].From
		out.Minutes.To += batches * minutesPerNode[p.Effect].To
	}
	if n := r.Change.Passes; n > 1 {
		out.Evictions, out.Minutes = out.Evictions*n, Range{out.Minutes.From * n, out.Minutes.To * n}
	}
	if a.Results != nil {
		out.Copy = &CopyEstimate{Images: a.Copy.Images, Bytes: a.Copy.Bytes, Requests: a.Copy.Requests,
			Unknown: a.Copy.Unknown}
	}
	return out
}

// abbreviate names the first few.
func abbreviate(names []string, limit int) string {
	if len(names) <= limit {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
}
