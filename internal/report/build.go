package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// New makes the report. Answers without results mean that registries were not asked.
func New(f *whatif.Foresight, a whatif.Answers) Report {
	out := Report{
		Format: Format, Wish: wishOf(f.Wish), Cluster: clusterOf(f),
		References: countReferences(f), Asked: a.Results != nil,
		Changes: classes(f.Plan, a), Held: held(f), Traps: traps(f), Accepted: risks(f),
		Pools: []Pool{}, Immediate: []Switch{}, Gaps: []Gap{}, Breaks: []string{}, AtRisk: []string{}, Shadows: []Shadow{},
	}
	for _, p := range f.Pools {
		out.Pools = append(out.Pools, poolOf(p, f))
	}
	for _, s := range f.Immediate {
		out.Immediate = append(out.Immediate, Switch{By: s.By, Owner: s.Owner.String(), Images: orEmpty(s.Images)})
	}
	for _, g := range f.Gaps {
		out.Gaps = append(out.Gaps, Gap{Source: g.Source, Why: g.Why, Decides: g.Essential, Absent: g.Absent})
	}
	out.addDrains(f, a)
	out.sortOut()
	out.Expect = expect(f, out, a)
	out.Verdict = judge(f, out, a)
	return out
}

func wishOf(w whatif.Wish) Wish {
	out := Wish{Name: w.Rollout.Name, Plain: w.Plain()}
	if n := w.Passes(); n > 1 {
		out.Passes = n
	}
	return out
}

func clusterOf(f *whatif.Foresight) Cluster {
	c, _ := f.Cluster.Get()
	out := Cluster{Version: f.Release, Upgrading: c.Upgrading, Unsupported: c.Unsupported}
	for _, p := range f.Pools {
		out.Nodes += len(p.Nodes)
	}
	return out
}

func countReferences(f *whatif.Foresight) References {
	changed := map[string]bool{}
	for _, i := range f.Plan.Items {
		changed[i.Name] = true // pools that differ have items of their own for one reference
	}
	out := References{Total: len(f.Inventory.References), Changed: len(changed), Unreadable: orEmpty(f.Plan.Unreadable)}
	for i := range f.Inventory.References {
		switch f.Inventory.References[i].Class {
		case inventory.Blocking:
			out.Blocking++
		case inventory.Advisory:
			out.Advisory++
		default:
			out.Historical++
		}
	}
	return out
}

// severity is the order of the classes, the worst first.
var severity = []registries.Change{
	registries.RewriteError, registries.NewlyBlocked, registries.LosesMirror, registries.GainsMirror, registries.OrderChanged,
	registries.Unblocked, registries.Unchanged,
}

// classes sorts the items into classes, and within a class by how bad their outlook is.
func classes(p plan.Plan, a whatif.Answers) []Class {
	byChange := map[registries.Change]*Class{}
	for _, i := range p.Items {
		c := byChange[i.Change]
		if c == nil {
			c = &Class{Change: i.Change}
			byChange[i.Change] = c
		}
		c.Count++
		if i.Reference.Class == inventory.Blocking {
			c.Blocking++
		}
		c.Items = append(c.Items, itemOf(p, i, a))
	}
	out := []Class{}
	for _, change := range severity {
		if c := byChange[change]; c != nil {
			slices.SortStableFunc(c.Items, func(a, b Item) int {
				return cmp.Or(badness(a.Outlook)-badness(b.Outlook), cmp.Compare(a.Reference, b.Reference))
			})
			out = append(out, *c)
		}
	}
	return out
}

var outlooks = []plan.Outlook{plan.Lost, plan.AtRisk, plan.ToFill, plan.Proven, plan.Accepted, plan.Spared, plan.NoWorse}

func badness(o plan.Outlook) int { return slices.Index(outlooks, o) }

func itemOf(p plan.Plan, i plan.Item, a whatif.Answers) Item {
	out := Item{
		Reference: i.Name, Outlook: p.Outlook(i, a.Results), Needed: i.Reference.Class == inventory.Blocking, OwnerCount: i.Reference.Count,
		Owners: []string{}, Pools: i.Pools, Before: endpoints(i.Before), After: endpoints(i.After), Fill: i.Fill, Scope: i.After.Scope, ShadowedBy: i.Shadow,
		Mirror: p.Failure(i, a.Results),
	}
	if i.Reference.Image != i.Name {
		out.Spelt = i.Reference.Image
	}
	if out.Outlook == plan.AtRisk && i.Kept() && a.Results == nil {
		out.Outlook = plan.ToFill // every place of today is still tried; what is new has to hold the image or say that it does not
	}
	for _, o := range i.Reference.Owners {
		out.Owners = append(out.Owners, o.String())
	}
	if out.Outlook == plan.Lost || out.Outlook == plan.AtRisk {
		out.Message = p.Loss(i, a.Results)
	}
	return out
}

func endpoints(r registries.Resolution) []Endpoint {
	out := []Endpoint{}
	for _, e := range r.Endpoints {
		out = append(out, Endpoint{Reference: e.Reference, Blocked: e.Blocked, Insecure: e.Insecure})
	}
	return out
}

// sortOut fills the lists that are drawn from the items.
func (r *Report) sortOut() {
	shadows := map[[2]string]*Shadow{}
	var order [][2]string
	r.items(func(i Item) {
		switch i.Outlook {
		case plan.Lost:
			r.Breaks = append(r.Breaks, i.Reference)
		case plan.AtRisk:
			r.AtRisk = append(r.AtRisk, i.Reference)
		default:
		}
		if i.ShadowedBy == "" {
			return
		}
		key := [2]string{i.ShadowedBy, i.Scope}
		if shadows[key] == nil {
			shadows[key] = &Shadow{Object: key[0], Scope: key[1]}
			order = append(order, key)
		}
		shadows[key].References = append(shadows[key].References, i.Reference)
	})
	slices.SortFunc(order, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, key := range order {
		r.Shadows = append(r.Shadows, *shadows[key])
	}
}

func (r *Report) items(each func(Item)) {
	for _, c := range r.Changes {
		for _, i := range c.Items {
			each(i)
		}
	}
}

func held(f *whatif.Foresight) []Finding {
	out := []Finding{}
	for _, b := range f.Held {
		object := b.Kind + " " + b.Name
		if b.Namespace != "" {
			object = b.Kind + " " + b.Namespace + "/" + b.Name
		}
		out = append(out, Finding{Object: object, Message: b.Message})
	}
	return out
}

func traps(f *whatif.Foresight) []Finding {
	out := []Finding{}
	for _, t := range f.Traps {
		out = append(out, Finding{Object: t.Kind + "/" + t.Name, Message: t.Field + ": " + t.Message})
	}
	for _, e := range f.Entangled {
		out = append(out, Finding{Message: e.String()})
	}
	for _, r := range f.Restless {
		out = append(out, Finding{Message: r, Standing: true})
	}
	for _, b := range f.Broken {
		out = append(out, Finding{Object: b.Kind + "/" + b.Name, Standing: true,
			Message: b.Field + ": " + b.Message + " (the Machine Config Operator refuses all mirror sets of the cluster for it, today)"})
	}
	for _, t := range f.Standing {
		out = append(out, Finding{Object: t.Kind + "/" + t.Name, Message: t.Field + ": " + t.Message, Standing: true})
	}
	return out
}

func risks(f *whatif.Foresight) []Risk {
	out := []Risk{}
	accepted := f.Wish.Rollout.Spec.Inventory.AcceptedRisks
	for _, r := range accepted {
		out = append(out, Risk{Pattern: r.Pattern, Reason: r.Reason})
	}
	for _, i := range f.Plan.Items {
		if at := i.AcceptedBy(accepted); at >= 0 {
			out[at].Count++
		}
	}
	return out
}

func poolOf(p whatif.Pool, f *whatif.Foresight) Pool {
	out := Pool{
		Name: p.Name, Nodes: len(p.Nodes), Updated: p.Updated(), Paused: p.Paused, Verdict: p.Cost.Verdict, Rule: p.Cost.Rule,
		AtOnce: p.AtOnce(p.MaxUnavailable, wanted(f)),
		First:  orEmpty(p.Next.First), Others: []Later{}, Drains: []Drain{}, Evictions: p.Evictions, MostOnANode: p.Most, Riders: orEmpty(p.Riders),
	}
	if f.Done {
		out.Verdict, out.Rule, out.First = registries.None, "every node has it", []string{}
		return out
	}
	if !out.changes() {
		out.First = []string{}
		return out
	}
	for _, l := range p.Next.Others {
		out.Others = append(out.Others, Later(l))
	}
	return out
}

// changes tells whether nodes of the pool take a new configuration.
func (p Pool) changes() bool { return p.Verdict != "" && p.Verdict != registries.None }

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
