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

// observed is a new rollout in a healthy cluster of three masters and three workers, of which nothing has been done yet.
func observed() *builder {
	b := &builder{}
	b.o = Observed{
		Now:       now,
		Rollout:   View{Name: "shop", UID: "uid-shop", Generation: 1, Spec: "spec-1", Created: now.Add(-time.Hour)},
		Cluster:   Seen(Cluster{}),
		Others:    Seen([]Other{}),
		Spec:      Seen([]Problem{}),
		Sets:      Seen(MirrorSets{Digest: SetNotWanted, Tag: SetMissing}),
		Plan:      Seen(Plan{Digest: planDigest, Total: 10, Changed: 4}),
		Transfers: Seen(Transfers{}),
		Probes:    Seen(Probes{Nodes: 2}),
		Pools:     Seen([]Pool{somePool("master", 3), somePool("worker", 3)}),
		Workloads: Seen([]Workload{}), ControlPlane: Seen([]Problem{}),
		Canary: Seen(Canary{Disabled: true}),
	}
	return b
}

// safe is a forecast in which each node of the pools could be drained, and all of them at the same time.
func safe(pools Known[[]Pool]) Known[Forecast] {
	list, ok := pools.Get()
	if !ok {
		return Unseen[Forecast](pools.Why())
	}
	f := Forecast{At: now}
	for _, p := range list {
		for _, n := range p.Nodes {
			f.Nodes = append(f.Nodes, NodeForecast{Pool: p.Name, Node: n.Name, Outlook: OutlookSafe})
			f.Safe++
		}
		f.Together = append(f.Together, Together{Pool: p.Name, Size: len(p.Nodes)})
	}
	return Seen(f)
}

// foresees makes the outlook of a node, with a budget in the way.
func (b *builder) foresees(node string, outlook Outlook) *builder {
	f, _ := safe(b.o.Pools).Get()
	for i := range f.Nodes {
		if n := &f.Nodes[i]; n.Node == node {
			n.Outlook = outlook
			n.Problems = []Problem{{Reason: v1alpha1.ReasonDrainForecast, Kind: "PodDisruptionBudget", Namespace: "shop", Name: "cart", Message: "PDB shop/cart allows 0"}}
		}
	}
	b.o.Forecast = Seen(f)
	return b
}

func somePool(name string, nodes int) Pool {
	p := Pool{
		Name: name, Generation: 1, ObservedGeneration: 1, ControlPlane: name == "master",
		Rendered: renderedName(name, earlier), Meaning: MeansBefore, PausedBy: "machine-config-operator",
	}
	for i := range nodes {
		p.Nodes = append(p.Nodes, Node{
			Name: fmt.Sprintf("%s-%d", name, i), Current: p.Rendered, Desired: p.Rendered, State: stateDone, Ready: true,
		})
	}
	return p
}

// build fills in that every drain is forecast to be safe, unless the test says otherwise.
func (b *builder) build() Observed {
	o := b.o
	if _, ok := o.Forecast.Get(); !ok && o.Forecast.why == "" {
		o.Forecast = safe(o.Pools)
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
	b.o.Pools = Seen(pools)
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
	b.o.Pools = Seen(append(slices.Clone(pools), p))
	return b
}

func (b *builder) plan(change func(p *Plan)) *builder {
	p, _ := b.o.Plan.Get()
	change(&p)
	b.o.Plan = Seen(p)
	return b
}

func (b *builder) transfers(change func(t *Transfers)) *builder {
	t, _ := b.o.Transfers.Get()
	change(&t)
	b.o.Transfers = Seen(t)
	return b
}

func (b *builder) probes(change func(p *Probes)) *builder {
	p, _ := b.o.Probes.Get()
	change(&p)
	b.o.Probes = Seen(p)
	return b
}

func (b *builder) sets(digest, tag SetState) *builder {
	b.o.Sets = Seen(MirrorSets{Digest: digest, Tag: tag})
	return b
}

func (b *builder) unready(list ...Workload) *builder {
	b.o.Workloads = Seen(list)
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

// copied: every reference is on the mirror and was proven a minute ago, and nodes have pulled from there.
func (b *builder) copied() *builder {
	b.o.Transfers = Seen(Transfers{Plan: planDigest, Copying: true, Total: 4, Verified: 4, Copied: 2, Oldest: now.Add(-time.Minute)})
	b.o.Probes = Seen(Probes{Plan: planDigest, Nodes: 2, Wanted: 4, Proven: 4})
	return b
}

// started: the finalizer is on, and what the pools were like is on record.
func (b *builder) started() *builder {
	b.copied()
	b.o.Rollout.Finalizer = true
	b.o.Record.StartedAt = &metav1.Time{Time: began}
	pools, _ := b.o.Pools.Get()
	for _, p := range pools {
		b.o.Record.Pools = append(b.o.Record.Pools, before(p))
	}
	return b
}

// paused: every pool is paused by us, and the MCO has seen it.
func (b *builder) paused() *builder {
	b.started()
	return b.eachPool(func(p *Pool) { b.hold(p) })
}

func (b *builder) hold(p *Pool) {
	ledger := newLedger(b.o, *record(b.o.Record, p.Name))
	p.Paused, p.PausedBy, p.PausedByUs = true, "safe-mirror-operator", true
	p.Ledger, p.Generation, p.ObservedGeneration = &ledger, 2, 2
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
	return b.eachPool(func(p *Pool) { p.Rendered, p.Meaning = renderedName(p.Name, planned), MeansPlanned })
}

// takes tells the node to run what its pool is rendered with.
func (b *builder) takes(name, stage string) *builder {
	return b.eachPool(func(p *Pool) {
		for i := range p.Nodes {
			if n := &p.Nodes[i]; n.Name == name {
				*n = onTheWay(*n, p.Rendered, stage)
			}
		}
	})
}

func onTheWay(n Node, target, stage string) Node {
	n.Desired = target
	switch stage {
	case "Targeted":
	case "Draining":
		n.State, n.DrainWanted, n.Unschedulable = "Working", "drain-"+target, true
	case "Working":
		n.State, n.DrainWanted, n.DrainApplied, n.Unschedulable = "Working", "drain-"+target, "drain-"+target, true
	case "Uncordoning":
		n.State, n.DrainWanted, n.DrainApplied, n.Unschedulable = "Working", "uncordon-"+target, "drain-"+target, true
	case "Degraded":
		n.State, n.Reason, n.DrainWanted, n.Unschedulable = "Degraded", "failed to drain node", "drain-"+target, true
	case stateDone:
		n.Current, n.State, n.DrainWanted, n.DrainApplied, n.Unschedulable = target, stateDone, "uncordon-"+target, "uncordon-"+target, false
	default:
		panic("no such stage: " + stage)
	}
	return n
}

// done brings nodes to what their pool is rendered with.
func (b *builder) done(names ...string) *builder {
	for _, name := range names {
		b.takes(name, stateDone)
	}
	return b
}

// updated: every node has the new configuration.
func (b *builder) updated() *builder {
	return b.rendered().done("master-0", "master-1", "master-2", "worker-0", "worker-1", "worker-2")
}

// intends puts a release of the pool on record, made some seconds ago.
func (b *builder) intends(pool string) *builder {
	pools, _ := b.o.Pools.Get()
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == pool })
	b.o.Record.Release = &v1alpha1.ReleaseRecord{
		Pool: pool, IntendedAt: metav1.NewTime(now.Add(-10 * time.Second)),
		TargetConfig: pools[i].Rendered, UpdatedNodes: int32(pools[i].Taken(pools[i].Rendered)),
	}
	return b
}

// opens unpauses the pool for the release on record.
func (b *builder) opens(pool string) *builder {
	r := b.o.Record.Release
	return b.eachPool(func(p *Pool) {
		ledger := *p.Ledger
		ledger.Release = &Pulse{IntendedAt: r.IntendedAt.UTC(), Target: r.TargetConfig, Updated: int(r.UpdatedNodes), Deadline: now.Add(20 * time.Second)}
		p.Ledger, p.Paused, p.MaxUnavailable = &ledger, false, "1"
		p.Generation++
		p.ObservedGeneration = p.Generation
	}, pool)
}

// closes pauses the pool again. The MCO has seen it.
func (b *builder) closes(pool string) *builder {
	return b.eachPool(func(p *Pool) {
		ledger := *p.Ledger
		pulse := *ledger.Release
		pulse.Closed = true
		ledger.Release = &pulse
		p.Ledger, p.Paused = &ledger, true
		p.Generation++
		p.ObservedGeneration = p.Generation
	}, pool)
}

// names puts the nodes on the intent, as the mechanism Targeted does.
func (b *builder) names(nodes ...string) *builder {
	b.o.Rollout.Targeted = true
	b.o.Record.Release.TargetNodes = nodes
	return b
}

// tells carries such a release out.
func (b *builder) tells(pool string) *builder {
	r := b.o.Record.Release
	b.eachPool(func(p *Pool) {
		ledger := *p.Ledger
		ledger.Release = &Pulse{IntendedAt: r.IntendedAt.UTC(), Target: r.TargetConfig, Updated: int(r.UpdatedNodes), Nodes: r.TargetNodes, Closed: true}
		p.Ledger = &ledger
	}, pool)
	for _, name := range r.TargetNodes {
		b.takes(name, "Targeted")
	}
	return b
}

// follows puts the nodes on record that took the release.
func (b *builder) follows(nodes ...string) *builder {
	b.o.Record.Release.Nodes = nodes
	b.o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-5 * time.Second)}
	return b
}

// givesBack restores the pools.
func (b *builder) givesBack(names ...string) *builder {
	for _, name := range names {
		record(b.o.Record, name).Restored = true
	}
	return b.eachPool(func(p *Pool) {
		p.Ledger, p.Paused, p.Generation, p.ObservedGeneration = nil, false, 9, 9
	}, names...)
}

// completed: the end is on record.
func (b *builder) completed() *builder {
	b.updated().givesBack("master", "worker")
	b.o.Record.CompletedAt, b.o.Record.CompletedGeneration, b.o.Record.CompletedSpecHash = &metav1.Time{Time: now.Add(-time.Minute)}, 1, "spec-1"
	return b
}

// staged: the rollout is in that pass.
func (b *builder) staged(pass v1alpha1.Pass) *builder {
	sets, _ := b.o.Sets.Get()
	sets.Pass, sets.Lists = pass, "lists"
	b.o.Sets = Seen(sets)
	b.o.Record.Pass = &v1alpha1.PassRecord{Pass: pass, MirrorsHash: "lists"}
	return b
}

const (
	usersPolicy = `{"path":"/etc/containers/registries.conf","actions":[{"type":"Drain"}]}`
	oursPolicy  = `{"path":"/etc/containers/registries.conf","actions":[{"type":"Reload","reload":{"serviceName":"crio.service"}}]}`
)

// reloads: the user wants nodes to reload, and has a policy of his own that drains.
func (b *builder) reloads() *builder {
	b.o.Rollout.Reload = true
	b.o.Policy = Seen(Policy{Generation: 3, ObservedGeneration: 3, Effective: "Drain", Entry: usersPolicy, ChangedBy: "kubectl"})
	return b
}

// policed: ours is written and in effect.
func (b *builder) policed() *builder {
	b.reloads()
	b.o.Record.NodeDisruptionPolicy = &v1alpha1.NodeDisruptionPolicyRecord{Previous: usersPolicy, Since: metav1.NewTime(began)}
	ledger := newPolicyLedger(b.o, *b.o.Record.NodeDisruptionPolicy)
	b.o.Policy = Seen(Policy{Generation: 4, ObservedGeneration: 4, Reloads: true, Effective: "the reload of crio.service", Entry: oursPolicy, Ours: true,
		ChangedBy: "safe-mirror-operator", Ledger: &ledger})
	return b
}

func (b *builder) policy(change func(p *Policy)) *builder {
	p, _ := b.o.Policy.Get()
	change(&p)
	b.o.Policy = Seen(p)
	return b
}

// halfWritten: both sets were to be changed, and only the digest mirrors were.
func (b *builder) halfWritten() *builder {
	b.sets(SetEqual, SetMissing)
	sets, _ := b.o.Sets.Get()
	sets.HaveDigest, sets.To = "new", "new+new"
	b.o.Sets = Seen(sets)
	b.o.Record.PendingWrite = &v1alpha1.PendingWriteRecord{DigestMirrorsHash: "old", TagMirrorsHash: "old", TargetHash: "new+new"}
	return b
}

// loses forgets the record, as a restored backup without status does.
func (b *builder) loses() *builder {
	b.o.Record = v1alpha1.Record{}
	return b
}

// want is what a table expects of a Decision. Blockers are "Kind name"; says are parts of their messages or of the reason why.
type want struct {
	phase    Phase
	reason   string
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
		phase: d.Phase, reason: d.Reason, actions: keys(d.Actions), facts: factNames(d.Facts), blockers: blockerNames(d.Blockers),
		stalled: d.Stalled, complete: d.Complete, says: w.says,
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
		case NodesTaken:
			name += " " + strings.Join(f.Nodes, " ")
		case RemedyBegun:
			name += " " + string(f.Remedy.Action) + " " + f.Remedy.Kind + " " + f.Remedy.Name + strings.Join(f.Remedy.References, " ")
		case RemedyMoved:
			name += " " + string(f.State) + " " + string(f.Outcome)
		case Started, ApplyIntended, RollbackBegun, Approved, StageReached, Retried, ReleaseEnded, Completed, Restarted,
			Written, PassReached, PassBegun, PolicyIntended, PolicyRestored:
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
