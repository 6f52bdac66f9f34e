package printer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// NewPlanReport makes the report. Answers without results mean that registries were not asked.
func NewPlanReport(f *preview.Preview, a preview.RegistryChecks) PlanReport {
	out := PlanReport{
		Format: FormatVersion, Change: changeOf(f.Change), Cluster: clusterOf(f),
		References: countReferences(f), RegistriesChecked: a.Results != nil,
		Changes: classes(f.Plan, a), Blockers: blockers(f), Traps: traps(f), Accepted: risks(f),
		Pools: []PoolForecast{}, Immediate: []ImmediateConsumer{}, Gaps: []CoverageGap{}, Breaks: []string{},
		AtRisk: []string{}, Shadows: []Shadow{},
	}
	for _, p := range f.Pools {
		out.Pools = append(out.Pools, poolOf(p, f))
	}
	for _, s := range f.Immediate {
		out.Immediate = append(out.Immediate,
			ImmediateConsumer{By: s.By, Owner: s.Owner.String(), Images: orEmpty(s.Images)})
	}
	for _, g := range f.Gaps {
		out.Gaps = append(out.Gaps, CoverageGap{Source: g.Source, Why: g.Why, Essential: g.Essential, Absent: g.Absent})
	}
	out.addDrainForecast(f, a)
	out.fillReferenceLists()
	out.Estimate = estimate(f, out, a)
	out.Verdict = decideVerdict(f, out, a)
	return out
}

func changeOf(w preview.ProposedChange) ProposedChange {
	out := ProposedChange{Name: w.Rollout.Name, Plain: w.IsPlain()}
	if n := w.Passes(); n > 1 {
		out.Passes = n
	}
	return out
}

func clusterOf(f *preview.Preview) Cluster {
	c, _ := f.Cluster.Get()
	out := Cluster{Version: f.ClusterVersion, Upgrading: c.Upgrading, Unsupported: c.Unsupported}
	for _, p := range f.Pools {
		out.Nodes += len(p.Nodes)
	}
	return out
}

func countReferences(f *preview.Preview) ReferenceCounts {
	changed := map[string]bool{}
	for _, i := range f.Plan.Items {
		changed[i.Name] = true // pools that differ have items of their own for one reference
	}
	out := ReferenceCounts{Total: len(f.Inventory.References), Changed: len(changed),
		Unreadable: orEmpty(f.Plan.InvalidReferences)}
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

// changeSeverity is the order of the classes, the worst first.
var changeSeverity = []registriesconf.Change{
	registriesconf.RewriteError, registriesconf.NewlyBlocked, registriesconf.LosesMirror, registriesconf.GainsMirror,
	registriesconf.OrderChanged,
	registriesconf.Unblocked, registriesconf.Unchanged,
}

// classes sorts the items into classes, and within a class by how bad their outlook is.
func classes(p plan.Plan, a preview.RegistryChecks) []ChangeClass {
	byChange := map[registriesconf.Change]*ChangeClass{}
	for _, i := range p.Items {
		c := byChange[i.Change]
		if c == nil {
			c = &ChangeClass{Change: i.Change}
			byChange[i.Change] = c
		}
		c.Count++
		if i.Reference.Class == inventory.Blocking {
			c.Blocking++
		}
		c.Items = append(c.Items, itemOf(p, i, a))
	}
	out := []ChangeClass{}
	for _, change := range changeSeverity {
		if c := byChange[change]; c != nil {
			slices.SortStableFunc(c.Items, func(a, b ReferenceChange) int {
				return cmp.Or(forecastSeverity(a.Forecast)-forecastSeverity(b.Forecast),
					cmp.Compare(a.Reference, b.Reference))
			})
			out = append(out, *c)
		}
	}
	return out
}

var forecastsBySeverity = []plan.PullForecast{plan.Lost, plan.AtRisk, plan.ToMirror, plan.Proven, plan.Accepted,
	plan.NotBlocking, plan.NoWorse}

func forecastSeverity(o plan.PullForecast) int { return slices.Index(forecastsBySeverity, o) }

func itemOf(p plan.Plan, i plan.Item, a preview.RegistryChecks) ReferenceChange {
	out := ReferenceChange{
		Reference: i.Name, Forecast: p.PullForecast(i, a.Results), Needed: i.Reference.Class == inventory.Blocking,
		OwnerCount: i.Reference.Count,
		Owners:     []string{}, Pools: i.Pools, Before: endpoints(i.Before), After: endpoints(i.After),
		Target: i.Target,
		Scope:  i.After.Scope, ShadowedBy: i.ShadowedBy,
		Mirror: p.FailureMessage(i, a.Results),
	}
	if i.Reference.Image != i.Name {
		out.OriginalSpelling = i.Reference.Image
	}
	if out.Forecast == plan.AtRisk && i.KeepsEndpoints() && a.Results == nil {
		// every place of today is still tried; what is new has to hold the image or say that it
		// does not
		out.Forecast = plan.ToMirror
	}
	for _, o := range i.Reference.Owners {
		out.Owners = append(out.Owners, o.String())
	}
	if out.Forecast == plan.Lost || out.Forecast == plan.AtRisk {
		out.Message = p.LossMessage(i, a.Results)
	}
	return out
}

func endpoints(r registriesconf.Resolution) []Endpoint {
	out := []Endpoint{}
	for _, e := range r.Endpoints {
		out = append(out, Endpoint{Reference: e.Reference, Blocked: e.Blocked, Insecure: e.Insecure})
	}
	return out
}

// fillReferenceLists fills the lists that are drawn from the items.
func (r *PlanReport) fillReferenceLists() {
	shadows := map[[2]string]*Shadow{}
	var order [][2]string
	r.items(func(i ReferenceChange) {
		switch i.Forecast {
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

func (r *PlanReport) items(each func(ReferenceChange)) {
	for _, c := range r.Changes {
		for _, i := range c.Items {
			each(i)
		}
	}
}

func blockers(f *preview.Preview) []Notice {
	out := []Notice{}
	for _, b := range f.PreflightBlockers {
		object := b.Kind + " " + b.Name
		if b.Namespace != "" {
			object = b.Kind + " " + b.Namespace + "/" + b.Name
		}
		out = append(out, Notice{Object: object, Message: b.Message})
	}
	return out
}

func traps(f *preview.Preview) []Notice {
	out := []Notice{}
	for _, t := range f.Traps {
		out = append(out, Notice{Object: t.Kind + "/" + t.Name, Message: t.Field + ": " + t.Message})
	}
	for _, e := range f.CrossPoolDeadlocks {
		out = append(out, Notice{Message: e.String()})
	}
	for _, r := range f.NodeLifecycleControllers {
		out = append(out, Notice{Message: r, Existing: true})
	}
	for _, b := range f.ExistingProblems {
		out = append(out, Notice{Object: b.Kind + "/" + b.Name, Existing: true,
			Message: b.Field + ": " + b.Message +
				" (the Machine Config Operator refuses all mirror sets of the cluster for it, today)"})
	}
	for _, t := range f.ExistingTraps {
		out = append(out, Notice{Object: t.Kind + "/" + t.Name, Message: t.Field + ": " + t.Message, Existing: true})
	}
	return out
}

func risks(f *preview.Preview) []AcceptedRisk {
	out := []AcceptedRisk{}
	accepted := f.Change.Rollout.Spec.Inventory.AcceptedRisks
	for _, r := range accepted {
		out = append(out, AcceptedRisk{Pattern: r.Pattern, Reason: r.Reason})
	}
	for _, i := range f.Plan.Items {
		if at := i.AcceptedRiskIndex(accepted); at >= 0 {
			out[at].Count++
		}
	}
	return out
}

func poolOf(p preview.PoolForecast, f *preview.Preview) PoolForecast {
	out := PoolForecast{
		Name: p.Name, Nodes: len(p.Nodes), Updated: p.Updated(), Paused: p.Paused, Effect: p.Disruption.Effect,
		Rule:          p.Disruption.Rule,
		MaxConcurrent: p.MaxConcurrent(p.MaxUnavailable, maxUnavailable(f)),
		First:         orEmpty(p.UpdateOrder.First), Others: []LaterNode{}, Drains: []DrainForecast{},
		Evictions: p.Evictions, MostOnANode: p.MaxEvictionsPerNode, PendingChanges: orEmpty(p.PendingChanges),
	}
	if f.AlreadyApplied {
		out.Effect, out.Rule, out.First = registriesconf.EffectNone, "every node has it", []string{}
		return out
	}
	if !out.changes() {
		out.First = []string{}
		return out
	}
	for _, l := range p.UpdateOrder.Others {
		out.Others = append(out.Others, LaterNode(l))
	}
	return out
}

// changes tells whether nodes of the pool take a new configuration.
func (p PoolForecast) changes() bool { return p.Effect != "" && p.Effect != registriesconf.EffectNone }

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
