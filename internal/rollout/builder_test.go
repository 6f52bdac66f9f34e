package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// now is the time of every look, began the time at which the rollouts of these tests started.
var (
	now   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	began = now.Add(-5 * time.Minute)
)

const (
	planDigest = "sha256:plan"
	earlier    = "earlier" // rendered-<pool>-earlier is what the nodes have before
	planned    = "planned" // rendered-<pool>-planned is what they get
)

func renderedName(pool, which string) string { return "rendered-" + pool + "-" + which }

// builder makes an Observed step by step. Each of its methods changes one thing and says which.
type builder struct{ o Observed }

// observed is a new rollout in a healthy cluster of three masters and three workers, of which
// nothing has been done yet.
func observed() *builder {
	b := &builder{}
	b.o = Observed{
		Now: now,
		Rollout: Spec{Name: "shop", UID: "uid-shop", Generation: 1, SpecHash: "spec-1",
			Created: now.Add(-time.Hour)},
		Cluster:       Known(Cluster{}),
		OtherRollouts: Known([]OtherRollout{}),
		SpecProblems:  Known([]Problem{}),
		Sets:          Known(MirrorSets{IDMS: SetNotWanted, ITMS: SetMissing}),
		Plan:          Known(PlanSummary{Digest: planDigest, Total: 10, Changed: 4}),
		Transfers:     Known(Transfers{}),
		PullChecks:    Known(PullChecks{Nodes: 2}),
		Pools:         Known([]Pool{somePool("master", 3), somePool("worker", 3)}),
		Workloads:     Known([]Workload{}), ControlPlane: Known([]Problem{}),
		CanaryPulls:          Known(CanaryPulls{Disabled: true}),
		NodeDisruptionPolicy: Known(NodeDisruptionPolicy{Generation: 3, ObservedGeneration: 3}),
	}
	return b
}

// safeForecast is a forecast in which each node of the pools could be drained, and all of them at
// the same time.
func safeForecast(pools Value[[]Pool]) Value[Forecast] {
	list, ok := pools.Get()
	if !ok {
		return Unknown[Forecast](pools.Why())
	}
	f := Forecast{At: now}
	for _, p := range list {
		for _, n := range p.Nodes {
			f.Nodes = append(f.Nodes, NodeForecast{Pool: p.Name, Node: n.Name, Result: DrainSafe})
			f.Safe++
		}
		f.ConcurrentDrains = append(f.ConcurrentDrains, ConcurrentDrains{Pool: p.Name, Size: len(p.Nodes)})
	}
	return Known(f)
}

// forecasts makes the outlook of a node, with a budget in the way.
func (b *builder) forecasts(node string, outlook DrainForecast) *builder {
	f, _ := safeForecast(b.o.Pools).Get()
	for i := range f.Nodes {
		if n := &f.Nodes[i]; n.Node == node {
			n.Result = outlook
			n.Problems = []Problem{{Reason: v1alpha1.ReasonDrainForecast, Kind: "PodDisruptionBudget",
				Namespace: "shop", Name: "cart", Message: "PDB shop/cart allows 0"}}
		}
	}
	b.o.Forecast = Known(f)
	return b
}

func somePool(name string, nodes int) Pool {
	p := Pool{
		Name: name, Generation: 1, ObservedGeneration: 1, ControlPlane: name == "master",
		Rendered: renderedName(name, earlier), Registries: MatchesBefore, PausedBy: "machine-config-operator",
	}
	for i := range nodes {
		p.Nodes = append(p.Nodes, Node{
			Name: fmt.Sprintf("%s-%d", name, i), CurrentConfig: p.Rendered, DesiredConfig: p.Rendered, State: stateDone,
			Ready: true,
		})
	}
	return p
}

// build fills in that every drain is forecast to be safe, unless the test says otherwise.
func (b *builder) build() Observed {
	o := b.o
	if _, ok := o.Forecast.Get(); !ok && o.Forecast.why == "" {
		o.Forecast = safeForecast(o.Pools)
	}
	return o
}

// with is for what only one test needs.
func (b *builder) with(change func(o *Observed)) *builder {
	change(&b.o)
	return b
}

// eachPool changes every pool, or those that are named.
func (b *builder) eachPool(change func(p *Pool), names ...string) *builder {
	pools, _ := b.o.Pools.Get()
	pools = slices.Clone(pools)
	for i := range pools {
		if len(names) == 0 || slices.Contains(names, pools[i].Name) {
			pools[i].Nodes = slices.Clone(pools[i].Nodes)
			change(&pools[i])
		}
	}
	b.o.Pools = Known(pools)
	return b
}

func (b *builder) node(name string, change func(n *Node)) *builder {
	return b.eachPool(func(p *Pool) {
		for i := range p.Nodes {
			if p.Nodes[i].Name == name {
				change(&p.Nodes[i])
			}
		}
	})
}

// without deletes the node.
func (b *builder) without(name string) *builder {
	return b.eachPool(func(p *Pool) {
		p.Nodes = slices.DeleteFunc(p.Nodes, func(n Node) bool { return n.Name == name })
	})
}

func (b *builder) down(name string) *builder { return b.node(name, func(n *Node) { n.Ready = false }) }

func (b *builder) cordoned(name string) *builder {
	return b.node(name, func(n *Node) { n.Unschedulable = true })
}

func (b *builder) addPool(p Pool) *builder {
	pools, _ := b.o.Pools.Get()
	b.o.Pools = Known(append(slices.Clone(pools), p))
	return b
}

func (b *builder) plan(change func(p *PlanSummary)) *builder {
	p, _ := b.o.Plan.Get()
	change(&p)
	b.o.Plan = Known(p)
	return b
}

func (b *builder) transfers(change func(t *Transfers)) *builder {
	t, _ := b.o.Transfers.Get()
	change(&t)
	b.o.Transfers = Known(t)
	return b
}

func (b *builder) pullChecks(change func(p *PullChecks)) *builder {
	p, _ := b.o.PullChecks.Get()
	change(&p)
	b.o.PullChecks = Known(p)
	return b
}

func (b *builder) sets(digest, tag SetState) *builder {
	b.o.Sets = Known(MirrorSets{IDMS: digest, ITMS: tag})
	return b
}

func (b *builder) unready(list ...Workload) *builder {
	b.o.Workloads = Known(list)
	return b
}

func (b *builder) held() *builder {
	b.o.Rollout.Held = true
	return b
}

// deleting: the user has deleted the rollout, whose finalizer keeps it.
func (b *builder) deleting() *builder {
	b.o.Rollout.Deleting, b.o.Rollout.Finalizer = true, true
	b.o.Rollout.Generation++
	return b
}

// The builders from here on are the way of a rollout, each including those before it.

// copied: every reference is on the mirror and was proven a minute ago, and nodes have pulled from
// there.
func (b *builder) copied() *builder {
	b.o.Transfers = Known(Transfers{PlanDigest: planDigest, Copying: true, Total: 4, Verified: 4, Copied: 2,
		OldestProof: now.Add(-time.Minute)})
	b.o.PullChecks = Known(PullChecks{PlanDigest: planDigest, Nodes: 2, Wanted: 4, Proven: 4})
	return b
}

// started: the finalizer is on, and what the pools were like is on record.
func (b *builder) started() *builder {
	b.copied()
	b.o.Rollout.Finalizer = true
	b.o.Record.StartedAt = &metav1.Time{Time: began}
	pools, _ := b.o.Pools.Get()
	for _, p := range pools {
		b.o.Record.Pools = append(b.o.Record.Pools, poolBaseline(p))
	}
	return b
}

// paused: every pool is paused by us, and the MCO has seen it.
func (b *builder) paused() *builder {
	b.started()
	return b.eachPool(func(p *Pool) { b.pause(p) })
}

func (b *builder) pause(p *Pool) {
	ledger := newPauseRecord(b.o, *poolRecord(b.o.Record, p.Name))
	p.Paused, p.PausedBy, p.PausedByUs = true, "safe-mirror-operator", true
	p.PauseRecord, p.Generation, p.ObservedGeneration = &ledger, 2, 2
}

// intended: the mirror sets are about to be applied.
func (b *builder) intended() *builder {
	b.paused()
	b.o.Record.AppliedPlanHash = planDigest
	return b
}

// applied: the mirror sets exist; no pool is rendered with them yet.
func (b *builder) applied() *builder { return b.intended().sets(SetNotWanted, SetEqual) }

// rendered: every pool is rendered with the mirror sets, and no node has taken it.
func (b *builder) rendered() *builder {
	b.applied()
	return b.eachPool(func(p *Pool) { p.Rendered, p.Registries = renderedName(p.Name, planned), MatchesPlanned })
}

// startsUpdate tells the node to run what its pool is rendered with.
func (b *builder) startsUpdate(name, stage string) *builder {
	return b.eachPool(func(p *Pool) {
		for i := range p.Nodes {
			if n := &p.Nodes[i]; n.Name == name {
				*n = atStage(*n, p.Rendered, stage)
			}
		}
	})
}

func atStage(n Node, target, stage string) Node {
	n.DesiredConfig = target
	switch stage {
	case "Targeted":
	case "Draining":
		n.State, n.DesiredDrain, n.Unschedulable = "Working", "drain-"+target, true
	case "Working":
		n.State, n.DesiredDrain, n.LastAppliedDrain, n.Unschedulable = "Working", "drain-"+target, "drain-"+target, true
	case "Uncordoning":
		n.State, n.DesiredDrain, n.LastAppliedDrain, n.Unschedulable = "Working", "uncordon-"+target, "drain-"+
			target, true
	case "Degraded":
		n.State, n.Reason, n.DesiredDrain, n.Unschedulable = "Degraded", "failed to drain node", "drain-"+target, true
	case stateDone:
		n.CurrentConfig, n.State, n.DesiredDrain, n.LastAppliedDrain, n.Unschedulable = target, stateDone, "uncordon-"+
			target, "uncordon-"+target, false
	default:
		panic("no such stage: " + stage)
	}
	return n
}

// done brings nodes to what their pool is rendered with.
func (b *builder) done(names ...string) *builder {
	for _, name := range names {
		b.startsUpdate(name, stateDone)
	}
	return b
}

// updated: every node has the new configuration.
func (b *builder) updated() *builder {
	return b.rendered().done("master-0", "master-1", "master-2", "worker-0", "worker-1", "worker-2")
}

// releaseIntended puts a release of the pool on record, made some seconds ago.
func (b *builder) releaseIntended(pool string) *builder {
	pools, _ := b.o.Pools.Get()
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == pool })
	b.o.Record.Release = &v1alpha1.ReleaseRecord{
		Pool: pool, IntendedAt: metav1.NewTime(now.Add(-10 * time.Second)),
		TargetConfig: pools[i].Rendered, UpdatedNodes: int32(pools[i].CountDesired(pools[i].Rendered)),
	}
	return b
}

// opened unpauses the pool for the release on record.
func (b *builder) opened(pool string) *builder {
	r := b.o.Record.Release
	return b.eachPool(func(p *Pool) {
		ledger := *p.PauseRecord
		ledger.Release = &UnpauseWindow{IntendedAt: r.IntendedAt.UTC(), Target: r.TargetConfig,
			UpdatedBefore: int(r.UpdatedNodes), Deadline: now.Add(20 * time.Second)}
		p.PauseRecord, p.Paused, p.MaxUnavailable = &ledger, false, "1"
		p.Generation++
		p.ObservedGeneration = p.Generation
	}, pool)
}

// repaused pauses the pool again. The MCO has seen it.
func (b *builder) repaused(pool string) *builder {
	return b.eachPool(func(p *Pool) {
		ledger := *p.PauseRecord
		pulse := *ledger.Release
		pulse.Closed = true
		ledger.Release = &pulse
		p.PauseRecord, p.Paused = &ledger, true
		p.Generation++
		p.ObservedGeneration = p.Generation
	}, pool)
}

// targetsOnRecord puts the nodes on the intent, as the mechanism Targeted does.
func (b *builder) targetsOnRecord(nodes ...string) *builder {
	b.o.Rollout.Targeted = true
	b.o.Record.Release.TargetNodes = nodes
	return b
}

// targets carries such a release out.
func (b *builder) targets(pool string) *builder {
	r := b.o.Record.Release
	b.eachPool(func(p *Pool) {
		ledger := *p.PauseRecord
		ledger.Release = &UnpauseWindow{IntendedAt: r.IntendedAt.UTC(), Target: r.TargetConfig,
			UpdatedBefore: int(r.UpdatedNodes), Nodes: r.TargetNodes, Closed: true}
		p.PauseRecord = &ledger
	}, pool)
	for _, name := range r.TargetNodes {
		b.startsUpdate(name, "Targeted")
	}
	return b
}

// followed puts the nodes on record that took the release.
func (b *builder) followed(nodes ...string) *builder {
	b.o.Record.Release.Nodes = nodes
	b.o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-5 * time.Second)}
	return b
}

// restored restores the pools.
func (b *builder) restored(names ...string) *builder {
	for _, name := range names {
		poolRecord(b.o.Record, name).Restored = true
	}
	return b.eachPool(func(p *Pool) {
		p.PauseRecord, p.Paused, p.Generation, p.ObservedGeneration = nil, false, 9, 9
	}, names...)
}

// completed: the end is on record.
func (b *builder) completed() *builder {
	b.updated().restored("master", "worker")
	b.o.Record.CompletedAt, b.o.Record.CompletedGeneration,
		b.o.Record.CompletedSpecHash = &metav1.Time{Time: now.Add(-time.Minute)}, 1, "spec-1"
	return b
}

// staged: the rollout is in that pass.
func (b *builder) staged(pass v1alpha1.Pass) *builder {
	sets, _ := b.o.Sets.Get()
	sets.Pass, sets.ListsHash = pass, "lists"
	b.o.Sets = Known(sets)
	b.o.Record.Pass = &v1alpha1.PassRecord{Pass: pass, MirrorsHash: "lists"}
	return b
}

const (
	userPolicy     = `{"path":"/etc/containers/registries.conf","actions":[{"type":"Drain"}]}`
	operatorPolicy = `{"path":"/etc/containers/registries.conf","actions":[{"type":"Reload","reload":{"serviceName":"crio.service"}}]}`
)

// reloads: the user wants nodes to reload, and has a policy of his own that drains.
func (b *builder) reloads() *builder {
	b.o.Rollout.Reload = true
	b.o.NodeDisruptionPolicy = Known(NodeDisruptionPolicy{Generation: 3, ObservedGeneration: 3, Effective: "Drain",
		Entry: userPolicy, ChangedBy: "kubectl"})
	return b
}

// policed: ours is written and in effect.
func (b *builder) policyInstalled() *builder {
	b.reloads()
	b.o.Record.NodeDisruptionPolicy = &v1alpha1.NodeDisruptionPolicyRecord{Previous: userPolicy,
		Since: metav1.NewTime(began)}
	ledger := newPolicyRecord(b.o, *b.o.Record.NodeDisruptionPolicy)
	b.o.NodeDisruptionPolicy = Known(NodeDisruptionPolicy{Generation: 4, ObservedGeneration: 4, Reloads: true,
		Effective: "the reload of crio.service", Entry: operatorPolicy, Ours: true,
		ChangedBy: "safe-mirror-operator", Record: &ledger})
	return b
}

func (b *builder) policy(change func(p *NodeDisruptionPolicy)) *builder {
	p, _ := b.o.NodeDisruptionPolicy.Get()
	change(&p)
	b.o.NodeDisruptionPolicy = Known(p)
	return b
}

// partiallyWritten: both sets were to be changed, and only the digest mirrors were.
func (b *builder) partiallyWritten() *builder {
	b.sets(SetEqual, SetMissing)
	sets, _ := b.o.Sets.Get()
	sets.PresentIDMSHash, sets.DesiredHash = "new", "new+new"
	b.o.Sets = Known(sets)
	b.o.Record.PendingWrite = &v1alpha1.PendingWriteRecord{DigestMirrorsHash: "old", TagMirrorsHash: "old",
		TargetHash: "new+new"}
	return b
}

// recordLost forgets the record, as a restored backup without status does.
func (b *builder) recordLost() *builder {
	b.o.Record = v1alpha1.Record{}
	return b
}

// want is what a table expects of a Decision. Blockers are "Kind name"; says are parts of their
// messages or of the reason why.
type want struct {
	phase    Phase
	reason   v1alpha1.ConditionReason
	actions  []string
	facts    []string
	blockers []string
	says     []string
	stalled  bool
	complete bool
}

func check(t *testing.T, o Observed, w want) Decision {
	t.Helper()
	d := Decide(o)
	got := want{
		phase: d.Phase, reason: d.Reason, actions: keys(d.Actions), facts: factNames(d.Facts),
		blockers: blockerNames(d.Blockers),
		stalled:  d.Stalled, complete: d.Complete, says: w.says,
	}
	if diff := cmp.Diff(w, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("decision (-want +got):\n%s\nwhy: %s", diff, d.Why)
	}
	text := d.Why
	for _, b := range d.Blockers {
		text += "\n" + b.Message
	}
	for _, part := range w.says {
		if !strings.Contains(text, part) {
			t.Errorf("nothing says %q:\n%s", part, text)
		}
	}
	return d
}

func keys(actions []Action) []string {
	var out []string
	for _, a := range actions {
		key := a.Key()
		if e, ok := a.(EnsureTransfers); ok && !e.Copy {
			key += " (look only)"
		}
		out = append(out, key)
	}
	return out
}

func factNames(facts []Fact) []string {
	var out []string
	for _, f := range facts {
		name := strings.TrimPrefix(fmt.Sprintf("%T", f), "rollout.")
		switch f := f.(type) {
		case PoolAdded:
			name += " " + f.Pool.Name
		case PoolReclaimed:
			name += " " + f.Pool.Name
		case PoolRestored:
			name += " " + f.Pool
		case ReleaseIntended:
			name += " " + f.Release.Pool
		case NodesStarted:
			name += " " + strings.Join(f.Nodes, " ")
		case RemedyStarted:
			name += " " + string(f.Remedy.Action) + " " + f.Remedy.Kind + " " + f.Remedy.Name +
				strings.Join(f.Remedy.References, " ")
		case RemedyStateChanged:
			name += " " + string(f.State) + " " + string(f.Outcome)
		case RolloutStarted, ApplyIntended, RollbackStarted, GateApproved, StageReached, Retried, ReleaseEnded,
			RolloutCompleted, RolloutRestarted,
			MirrorSetsWritten, PassReached, PassStarted, PolicyIntended, PolicyRestored:
		}
		out = append(out, name)
	}
	return out
}

func blockerNames(blockers []Blocker) []string {
	var out []string
	for _, b := range blockers {
		name := b.Name
		if b.Namespace != "" {
			name = b.Namespace + "/" + name
		}
		out = append(out, b.Kind+" "+name)
	}
	return out
}

// action finds the one of that type.
func action[A Action](t *testing.T, d Decision) A {
	t.Helper()
	for _, a := range d.Actions {
		if found, ok := a.(A); ok {
			return found
		}
	}
	var none A
	t.Fatalf("no %T in %v", none, keys(d.Actions))
	return none
}

// fact finds the one of that type.
func fact[F Fact](t *testing.T, d Decision) F {
	t.Helper()
	for _, f := range d.Facts {
		if found, ok := f.(F); ok {
			return found
		}
	}
	var none F
	t.Fatalf("no %T in %v", none, factNames(d.Facts))
	return none
}
