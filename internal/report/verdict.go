package report

import (
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// judge says what it comes to. What is known to break or to be refused comes before what is not known.
func judge(f *whatif.Foresight, r Report, a whatif.Answers) Verdict {
	if f.Done && len(f.Problems) == 0 && len(f.Broken) == 0 {
		return verdict(NothingToDo, fmt.Sprintf("the cluster has these mirror sets, and all %s run what follows from them", plural(r.Cluster.Nodes, "node", "nodes")))
	}
	if reasons := blocking(r); len(reasons) > 0 {
		return verdict(Blocked, reasons...)
	}
	if reasons := undecided(r, a); len(reasons) > 0 {
		return verdict(CannotTell, reasons...)
	}
	return verdict(Changes, "safe as far as seen: "+summary(r))
}

func verdict(c Code, reasons ...string) Verdict {
	message := reasons[0]
	if more := len(reasons) - 1; more > 0 {
		message += fmt.Sprintf(" (and %s)", plural(more, "more reason", "more reasons"))
	}
	return Verdict{Code: c, Message: message, Reasons: reasons}
}

// blocking are the reasons why it would break something, be refused, or not begin.
func blocking(r Report) []string {
	var out []string
	if n := len(r.Breaks); n > 0 {
		out = append(out, fmt.Sprintf("%s in use could not be pulled any more: %s", plural(n, "reference", "references"), some(r.Breaks, 3)))
	}
	for _, h := range r.Held {
		out = append(out, h.Message)
	}
	return out
}

// undecided are the reasons why nobody can tell.
func undecided(r Report, a whatif.Answers) []string {
	var out []string
	for _, g := range r.Gaps {
		if g.Decides {
			out = append(out, fmt.Sprintf("%s was not seen: %s", g.Source, g.Why))
		}
	}
	if n := len(r.AtRisk); n > 0 {
		ask := "; --ask-registries finds out"
		if r.Asked {
			ask = ", and the registries have not said otherwise"
		}
		out = append(out, fmt.Sprintf("%s in use may not be pullable any more (%s)%s", plural(n, "reference", "references"), some(r.AtRisk, 3), ask))
	}
	if a.Late > 0 {
		out = append(out, fmt.Sprintf("%s not been answered for in time: a longer --timeout may help", plural(a.Late, "reference has", "references have")))
	}
	return out
}

// summary is what changes, in numbers.
func summary(r Report) string {
	parts := []string{fmt.Sprintf("%d of %s change", r.References.Changed, plural(r.References.Total, "reference", "references"))}
	if r.Expect.Images > 0 {
		parts = append(parts, plural(r.Expect.Images, "image has", "images have")+" to be at a mirror first")
	}
	disruption := map[registries.Verdict]int{}
	for _, p := range r.Pools {
		disruption[p.Verdict] += p.Nodes
	}
	for _, v := range []registries.Verdict{registries.Reboot, registries.Drain, registries.Reload} {
		if n := disruption[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", plural(n, "node", "nodes"), doing[v]))
		}
	}
	if r.Wish.Passes > 1 && r.Expect.Nodes > 0 {
		parts = append(parts, "twice, because sources are blocked in a second pass (spec.sourcePolicy is Staged)")
	}
	if r.Expect.Nodes == 0 {
		parts = append(parts, "no node is disturbed")
	}
	return strings.Join(parts, ", ")
}

var doing = map[registries.Verdict]string{
	registries.Reboot: "to drain and reboot", registries.Drain: "to drain", registries.Reload: "to reload without a drain",
}

// pace is how long a node takes, in minutes, at best and at worst as far as that can be said beforehand.
var pace = map[registries.Verdict]Range{
	registries.Reload: {1, 2}, registries.Drain: {2, 10}, registries.Reboot: {6, 20},
}

const assumption = "%s at a time, 1 to 2 minutes for each that reloads, 2 to 10 for one that drains, 6 to 20 for one that reboots; " +
	"volumes, virtual machines and budgets that refuse evictions take longer"

// expect adds up what a rollout would take.
func expect(f *whatif.Foresight, r Report, a whatif.Answers) Expect {
	out := Expect{Release: release(f, r)}
	out.Assumption = fmt.Sprintf(assumption, upTo(out.Release.AtOnce))
	fill := map[string]bool{}
	r.items(func(i Item) {
		if i.Fill != "" && i.Needed && (i.Outlook == plan.ToFill || i.Outlook == plan.Proven) {
			fill[i.Fill] = true
		}
	})
	out.Images = len(fill)
	for _, p := range r.Pools {
		if !p.changes() {
			continue
		}
		out.Nodes += p.Nodes
		out.Evictions += p.Evictions
		batches := (p.Nodes + max(1, p.AtOnce) - 1) / max(1, p.AtOnce)
		out.Minutes.From += batches * pace[p.Verdict].From
		out.Minutes.To += batches * pace[p.Verdict].To
	}
	if n := r.Wish.Passes; n > 1 {
		out.Evictions, out.Minutes = out.Evictions*n, Range{out.Minutes.From * n, out.Minutes.To * n}
	}
	if a.Results != nil {
		out.Copy = &Copy{Images: a.Copy.Images, Bytes: a.Copy.Bytes, Requests: a.Copy.Requests, Unknown: a.Copy.Unknown}
	}
	return out
}

// some names the first few.
func some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
