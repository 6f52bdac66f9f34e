package rollout

import (
	"fmt"
	"math/rand"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// generator makes observations from a seed: some a few steps off the way of a rollout, some that make no sense at all.
type generator struct{ *rand.Rand }

func (g generator) observed() Observed {
	if g.Intn(4) == 0 {
		return g.wild()
	}
	b := way[g.Intn(len(way))]()
	if g.Intn(4) == 0 {
		b = heldDrain()
		g.heldUp(&b.o)
	}
	b.o.Canary = Seen(g.canary())
	for range g.Intn(4) {
		mishaps[g.Intn(len(mishaps))](g, b)
	}
	return b.build()
}

// way is where a rollout can be when nothing goes wrong.
var way = []func() *builder{
	observed,
	func() *builder { return observed().copied() },
	func() *builder { return observed().started() },
	func() *builder { return observed().paused() },
	func() *builder { return observed().intended() },
	func() *builder { return observed().applied() },
	func() *builder { return observed().rendered() },
	func() *builder { return observed().rendered().intends("worker") },
	func() *builder { return observed().cordoned("worker-2").rendered().done("worker-0").intends("worker") },
	opened,
	func() *builder { return opened().takes("worker-1", "Targeted") },
	closed,
	func() *builder { return closed().done("worker-0") },
	func() *builder { return observed().rendered().done("worker-0").intends("worker").names("worker-1") },
	func() *builder { return several(2).intends("worker").names("worker-0", "worker-1") },
	func() *builder { return several(2).intends("worker").names("worker-0", "worker-1").tells("worker") },
	func() *builder {
		return observed().rendered().done("worker-0").with(func(o *Observed) { o.Self = Self{Node: "master-0", Standby: []string{"worker-1"}} })
	},
	func() *builder { return observed().rendered().done("worker-0").intends("master").opens("master") },
	func() *builder {
		return observed().cordoned("worker-2").rendered().done("master-0", "master-1", "master-2", "worker-0")
	},
	func() *builder { return observed().updated() },
	func() *builder {
		b := observed().updated()
		record(b.o.Record, "master").Restored = true
		return b
	},
	func() *builder { return observed().updated().givesBack("master") },
	func() *builder { return observed().updated().givesBack("master", "worker") },
	func() *builder { return observed().completed() },
	func() *builder { return observed().updated().givesBack("master", "worker").staged(v1alpha1.PassAllow) },
	func() *builder { return between(2 * time.Hour) },
	func() *builder { return second() },
	func() *builder { return second().deleting() },
	func() *builder { return observed().paused().reloads() },
	func() *builder {
		return observed().paused().policed().policy(func(p *Policy) { p.Ledger, p.Ours, p.Entry, p.Reloads = nil, false, usersPolicy, false })
	},
	func() *builder {
		b := observed().updated().policed()
		b.o.Record.NodeDisruptionPolicy.Restored = true
		return b
	},
	func() *builder {
		b := observed().paused().policed().deleting()
		b.o.Record.NodeDisruptionPolicy.Restored = true
		return b
	},
	func() *builder {
		b := observed().rendered()
		b.o.Record.PendingWrite = &v1alpha1.PendingWriteRecord{TargetHash: "new+new"}
		return b
	},
	func() *builder { return observed().paused().policed() },
	func() *builder { return observed().rendered().policed() },
	func() *builder { return observed().rendered().policed().intends("worker") },
	func() *builder { return observed().updated().policed() },
	func() *builder { return observed().intended().halfWritten() },
}

// mishaps are what happens to a cluster beside the rollout.
var mishaps = []func(g generator, b *builder){
	func(_ generator, b *builder) { b.held() },
	func(_ generator, b *builder) { b.deleting() },
	func(_ generator, b *builder) { b.loses() },
	func(g generator, b *builder) { b.o.Now = now.Add(time.Duration(g.Intn(3600)) * time.Second) },
	func(g generator, b *builder) { b.o.Rollout.Spec = g.spec() },
	func(g generator, b *builder) { b.o.Rollout.Requests = g.requests() },
	func(g generator, b *builder) {
		b.o.Rollout.RollbackOnDelete, b.o.Rollout.RollbackOnFailure = g.some(), g.some()
	},
	func(g generator, b *builder) { goesBack(&b.o) },
	func(_ generator, b *builder) { b.o.Rollout.Targeted = true },
	func(g generator, b *builder) {
		b.o.Rollout.AtOnce = g.Intn(4)
		for i := range b.o.Record.Pools {
			b.o.Record.Pools[i].MaxUnavailable = pick(g, "2", "50%", "3")
		}
	},
	func(g generator, b *builder) {
		b.o.Self = Self{Replicas: 2, Node: g.nodeName(), Standby: []string{g.nodeName()}}
	},
	func(_ generator, b *builder) { b.o.ControlPlane = Unseen[[]Problem]("x") },
	func(g generator, b *builder) { b.node(g.nodeName(), g.disturb) },
	func(g generator, b *builder) { b.node(g.nodeName(), g.disturb) },
	func(g generator, b *builder) { b.takes(g.nodeName(), g.stage()) },
	func(g generator, b *builder) { b.without(g.nodeName()) },
	func(g generator, b *builder) { b.eachPool(g.disturbPool, g.poolName()) },
	func(g generator, b *builder) { b.eachPool(g.disturbPool, g.poolName()) },
	func(g generator, b *builder) { b.eachPool(g.disturbPool) },
	func(g generator, b *builder) { b.sets(g.setState(), g.setState()) },
	func(g generator, b *builder) { b.transfers(func(t *Transfers) { *t = g.transfers() }) },
	func(g generator, b *builder) { b.probes(func(p *Probes) { *p = g.probes() }) },
	func(g generator, b *builder) { b.o.Canary = Seen(g.canary()) },
	func(g generator, b *builder) { b.o.Canary = Seen(g.canary()) },
	func(_ generator, b *builder) { b.o.Canary = Unseen[Canary]("x") },
	func(g generator, b *builder) { b.plan(func(p *Plan) { *p = g.plan() }) },
	func(g generator, b *builder) { b.addPool(somePool("infra", g.Intn(3))) },
	func(g generator, b *builder) { b.unready(g.workload(), g.workload()) },
	func(g generator, b *builder) { b.o.Record.Release = g.release() },
	func(g generator, b *builder) { b.o.Record.Pools = g.poolRecords() },
	func(g generator, b *builder) { g.heldUp(&b.o) },
	func(_ generator, b *builder) { b.o.Cluster = Unseen[Cluster]("x") },
	func(_ generator, b *builder) { b.o.Spec = Unseen[[]Problem]("x") },
	func(_ generator, b *builder) { b.o.Sets = Unseen[MirrorSets]("x") },
	func(_ generator, b *builder) { b.o.Plan = Unseen[Plan]("x") },
	func(_ generator, b *builder) { b.o.Transfers = Unseen[Transfers]("x") },
	func(_ generator, b *builder) { b.o.Probes = Unseen[Probes]("x") },
	func(_ generator, b *builder) { b.o.Pools = Unseen[[]Pool]("x") },
	func(_ generator, b *builder) { b.o.Workloads = Unseen[[]Workload]("x") },
	func(_ generator, b *builder) { b.o.Forecast = Unseen[Forecast]("x") },
	func(g generator, b *builder) {
		b.foresees(g.nodeName(), []Outlook{OutlookSafe, OutlookBlocked, OutlookUnknown}[g.Intn(3)])
	},
	func(g generator, b *builder) { b.o.Rollout.ForecastAdvisory = g.some() },
	func(_ generator, b *builder) { b.o.Cluster = Seen(Cluster{Upgrading: "4.20"}) },
	func(g generator, b *builder) { b.staged(g.pass()) },
	func(_ generator, b *builder) { b.halfWritten() },
	func(g generator, b *builder) {
		b.o.Rollout.Reload, b.o.Policy, b.o.Record.NodeDisruptionPolicy = g.some(), maybe(g, g.policy()), g.policyRecord()
	},
	func(g generator, b *builder) { b.policy(g.disturbPolicy) },
	func(_ generator, b *builder) { b.o.Policy = Unseen[Policy]("x") },
}

// wild is an observation of which nothing fits together.
func (g generator) wild() Observed {
	o := Observed{
		Now:     now.Add(time.Duration(g.Intn(1200)) * time.Second),
		Rollout: View{Name: "shop", UID: "uid", Generation: int64(g.Intn(3)), Spec: g.spec(), Requests: g.requests(), Created: now, Deleting: g.some(), Finalizer: !g.some(), Held: g.some()},
		Record: v1alpha1.Record{
			Pools: g.poolRecords(), Release: g.release(), AppliedPlanHash: g.digest(), CompletedGeneration: int64(max(0, g.Intn(5)-2)), CompletedSpecHash: g.spec(),
		},
		Cluster: maybe(g, Cluster{}), Others: maybe(g, []Other{}), Spec: maybe(g, []Problem{}), Workloads: maybe(g, []Workload{g.workload()}),
		Sets: maybe(g, MirrorSets{Digest: g.setState(), Tag: g.setState()}), Plan: maybe(g, g.plan()), Transfers: maybe(g, g.transfers()),
		Probes: maybe(g, g.probes()), Canary: maybe(g, g.canary()), ControlPlane: maybe(g, []Problem{}),
	}
	o.Rollout.Targeted, o.Rollout.AtOnce = g.some(), g.Intn(4)
	if !g.some() {
		o.Record.StartedAt = &metav1.Time{Time: began}
	}
	if g.some() {
		goesBack(&o)
	}
	var pools []Pool
	for _, name := range []string{"infra", "master", "worker"}[g.Intn(3):] {
		p := somePool(name, g.Intn(4))
		g.disturbPool(&p)
		g.disturbPool(&p)
		for i := range p.Nodes {
			g.disturb(&p.Nodes[i])
		}
		pools = append(pools, p)
	}
	o.Pools = maybe(g, pools)
	if o.Forecast = safe(Seen(pools)); g.Intn(4) == 0 {
		o.Forecast = Unseen[Forecast]("x")
	}
	if g.Intn(3) == 0 {
		g.heldUp(&o)
	}
	return o
}

func (g generator) pass() v1alpha1.Pass { return pick(g, "", v1alpha1.PassAllow, v1alpha1.PassEnforce) }

func (g generator) policyRecord() *v1alpha1.NodeDisruptionPolicyRecord {
	return pick(g, nil, &v1alpha1.NodeDisruptionPolicyRecord{Previous: usersPolicy, Restored: g.some()})
}

func (g generator) policy() Policy {
	p := Policy{Generation: 3, ObservedGeneration: 3, Entry: pick(g, "", usersPolicy, oursPolicy)}
	for range g.Intn(3) {
		g.disturbPolicy(&p)
	}
	return p
}

// disturbPolicy changes one thing about the policy.
func (g generator) disturbPolicy(p *Policy) {
	change := pick(g,
		func() { p.Generation++ },
		func() { p.Reloads = !p.Reloads },
		func() { p.Ours = !p.Ours },
		func() { p.Entry = usersPolicy },
		func() { p.Unsupported = "x" },
		func() { p.Ledger, p.Foreign = nil, "books" },
		func() { p.Ledger = nil },
		func() { p.Ledger = &PolicyLedger{Rollout: "shop", Since: began, Prior: usersPolicy} },
	)
	change()
	if p.Ledger != nil {
		p.Foreign = "" // there is one note on it
	}
}

func maybe[T any](g generator, v T) Known[T] {
	if g.Intn(12) == 0 {
		return Unseen[T]("x")
	}
	return Seen(v)
}

// some is true now and then.
func (g generator) some() bool { return g.Intn(5) == 0 }

func pick[T any](g generator, of ...T) T { return of[g.Intn(len(of))] }

func (g generator) poolName() string { return pick(g, "master", "worker") }
func (g generator) nodeName() string { return fmt.Sprintf("%s-%d", g.poolName(), g.Intn(3)) }
func (g generator) digest() string   { return pick(g, planDigest, planDigest, "", "sha256:other") }

func (g generator) stage() string {
	return pick(g, "Targeted", "Draining", "Working", "Uncordoning", "Degraded", stateDone)
}

func (g generator) setState() SetState {
	return pick(g, SetNotWanted, SetMissing, SetEqual, SetEqual, SetDiffers, SetLeftOver, SetForeign, "")
}

func (g generator) renderedName(pool string) string {
	return renderedName(pool, pick(g, earlier, planned, planned, "other"))
}

func (g generator) plan() Plan {
	return Plan{Digest: g.digest(), Total: g.Intn(9), Changed: g.Intn(9), Probing: max(0, g.Intn(6)-4), Lost: max(0, g.Intn(6)-4)}
}

func (g generator) transfers() Transfers {
	t := Transfers{Plan: g.digest(), Copying: !g.some(), Total: g.Intn(4), Oldest: now.Add(-time.Duration(g.Intn(1200)) * time.Second)}
	t.Verified = t.Total
	if g.some() {
		t.Verified = g.Intn(t.Total + 1)
		t.Failed = t.Total - t.Verified
	}
	return t
}

func (g generator) probes() Probes {
	p := Probes{Plan: g.digest(), Disabled: g.some(), Nodes: 2, Wanted: g.Intn(4), Left: g.Intn(2)}
	p.Proven = p.Wanted
	if g.some() {
		p.Proven = g.Intn(p.Wanted + 1)
		p.Failed = p.Wanted - p.Proven
	}
	return p
}

func (g generator) canary() Canary {
	c := Canary{Disabled: g.some(), Left: max(0, g.Intn(4)-2)}
	for _, pool := range []string{"infra", "master", "worker"} {
		k := CanaryKind{Pool: pool, Chosen: !g.some(), Wanted: g.Intn(4)}
		k.Proven = k.Wanted
		if g.some() {
			k.Proven = g.Intn(k.Wanted + 1)
			k.Failed = g.Intn(k.Wanted - k.Proven + 1)
		}
		if !g.some() {
			c.Kinds = append(c.Kinds, k)
		}
	}
	c.Preload = g.preload()
	return c
}

func (g generator) preload() Preload {
	out := Preload{Wanted: g.some()}
	if !out.Wanted {
		return out
	}
	for _, pool := range []string{"infra", "master", "worker"} {
		l := PreloadPool{Pool: pool, Wanted: g.Intn(4)}
		for i := range 5 {
			if !g.some() {
				l.Nodes = append(l.Nodes, fmt.Sprintf("%s-%d", pool, i))
			}
		}
		l.Loaded = l.Wanted
		if g.some() {
			l.Loaded = g.Intn(l.Wanted + 1)
			l.Failed = g.Intn(l.Wanted - l.Loaded + 1)
		}
		if !g.some() {
			out.Pools = append(out.Pools, l)
		}
	}
	return out
}

func (g generator) spec() string { return pick(g, "spec-1", "spec-1", "spec-1", "spec-2") }

func (g generator) requests() []Request {
	if !g.some() {
		return nil
	}
	return []Request{{ID: pick(g, "a", "b"), Verb: pick(g, v1alpha1.RequestApprove, v1alpha1.RequestRetry, v1alpha1.RequestAbort, v1alpha1.RequestRollback), Gate: GateApply, Plan: g.digest()}}
}

func (g generator) workload() Workload {
	return Workload{
		Kind: "Deployment", Namespace: "shop", Name: pick(g, "cart", "till"), Desired: 3, Ready: int32(g.Intn(3)),
		Newest: now.Add(time.Duration(g.Intn(120)-60) * time.Second), Missing: g.some(), OnNode: g.some(),
	}
}

func (g generator) release() *v1alpha1.ReleaseRecord {
	if g.Intn(3) == 0 {
		return nil
	}
	pool := g.poolName()
	return &v1alpha1.ReleaseRecord{
		Pool: pool, IntendedAt: metav1.NewTime(now.Add(-time.Duration(g.Intn(90)) * time.Second)), TargetConfig: g.renderedName(pool),
		UpdatedNodes: int32(g.Intn(3)), Nodes: pick(g, nil, nil, []string{g.nodeName()}, []string{g.nodeName(), g.nodeName()}), NodeCount: int32(g.Intn(3)),
		TargetNodes: pick(g, nil, nil, []string{g.nodeName()}), UnreadyWorkloads: pick(g, nil, []string{"Deployment/shop/cart=1"}),
	}
}

func (g generator) poolRecords() []v1alpha1.PoolRecord {
	var out []v1alpha1.PoolRecord
	for _, name := range []string{"infra", "master", "worker"} {
		if !g.some() {
			out = append(out, v1alpha1.PoolRecord{
				Name: name, Paused: g.some(), MaxUnavailable: pick(g, "", "1", "10%"), Restored: g.some(), Unavailable: []string{g.nodeName()},
			})
		}
	}
	return out
}

func (g generator) ledger() *Ledger {
	l := Ledger{Rollout: "shop", UID: "uid", Since: began, PriorPaused: g.some(), Repaused: g.Intn(3), Unavailable: []string{g.nodeName()}}
	if g.some() {
		l.Release = &Pulse{
			IntendedAt: now.Add(-10 * time.Second), Deadline: now.Add(time.Duration(g.Intn(120)-60) * time.Second),
			Target: g.renderedName(g.poolName()), Updated: g.Intn(3), Closed: g.some(),
		}
	}
	return &l
}

// disturb changes one thing about a node.
func (g generator) disturb(n *Node) {
	pool := n.Name[:max(0, len(n.Name)-2)]
	change := pick(g,
		func() { n.Ready = !n.Ready },
		func() { n.Unschedulable = !n.Unschedulable },
		func() { n.Tainted = !n.Tainted },
		func() { n.State = pick(g, stateDone, "Working", "Degraded", "") },
		func() { n.Current = g.renderedName(pool) },
		func() { n.Desired = g.renderedName(pool) },
		func() { n.Current, n.Desired = planned, planned },
		func() { *n = Node{Name: n.Name} },
	)
	change()
}

// disturbPool changes one thing about a pool.
func (g generator) disturbPool(p *Pool) {
	change := pick(g,
		func() { p.Paused, p.PausedBy, p.PausedByUs = !p.Paused, "kubectl", g.some() },
		func() { p.ObservedGeneration-- },
		func() { p.Degraded = "x" },
		func() { p.Layered = true },
		func() { p.Rendered = g.renderedName(p.Name) },
		func() { p.Meaning = pick(g, MeansPlanned, MeansPlanned, MeansBefore, MeansOther, "") },
		func() { p.Riders = []string{"kernelArguments"} },
		func() { p.Ledger, p.Foreign = nil, "books" },
		func() { p.Ledger = nil },
		func() { p.Ledger = g.ledger() },
		func() { p.Paused, p.Ledger = true, g.ledger() },
		func() { p.Paused, p.PausedByUs, p.Ledger = true, true, g.ledger() },
		func() { p.Nodes = append(slices.Clone(p.Nodes), Node{Name: p.Name + "-9"}) },
	)
	change()
	if p.Ledger != nil {
		p.Foreign = "" // there is one note on a pool
	}
}
