package rollout

import (
	"fmt"
	"math/rand"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// generator makes observations from a seed: some a few steps off the way of a rollout, some that
// make no sense at all.
type generator struct{ *rand.Rand }

func (g generator) observed() Observed {
	if g.Intn(4) == 0 {
		return g.inconsistent()
	}
	b := rolloutStates[g.Intn(len(rolloutStates))]()
	if g.Intn(4) == 0 {
		b = blockedDrain()
		g.blockedDrain(&b.o)
	}
	b.o.CanaryPulls = Known(g.canary())
	for range g.Intn(4) {
		disturbances[g.Intn(len(disturbances))](g, b)
	}
	return b.build()
}

// rolloutStates is where a rollout can be when nothing goes wrong.
var rolloutStates = []func() *builder{
	observed,
	func() *builder { return observed().copied() },
	func() *builder { return observed().started() },
	func() *builder { return observed().paused() },
	func() *builder {
		return observed().paused().with(func(o *Observed) {
			sets, _ := o.Sets.Get()
			sets.ITMS, sets.Previous = SetDiffers, &v1alpha1.PreviousMirrorSets{Name: "shop-1", DataHash: "1"}
			o.Sets = Known(sets)
		})
	},
	func() *builder { return observed().rendered().unrestorable() },
	func() *builder { return observed().intended() },
	func() *builder { return observed().applied() },
	func() *builder { return observed().rendered() },
	func() *builder { return observed().rendered().releaseIntended("worker") },
	func() *builder {
		return observed().cordoned("worker-2").rendered().done("worker-0").releaseIntended("worker")
	},
	windowOpen,
	func() *builder { return windowOpen().startsUpdate("worker-1", "Targeted") },
	windowClosed,
	func() *builder { return windowClosed().done("worker-0") },
	func() *builder {
		return observed().rendered().done("worker-0").releaseIntended("worker").targetsOnRecord("worker-1")
	},
	func() *builder {
		return concurrent(2).releaseIntended("worker").targetsOnRecord("worker-0", "worker-1")
	},
	func() *builder {
		return concurrent(2).releaseIntended("worker").targetsOnRecord("worker-0", "worker-1").targets("worker")
	},
	func() *builder {
		return observed().rendered().done("worker-0").with(func(o *Observed) {
			o.Operator = OperatorReplicas{LeaderNode: "master-0", StandbyNodes: []string{"worker-1"}}
		})
	},
	func() *builder {
		return observed().rendered().done("worker-0").releaseIntended("master").opened("master")
	},
	func() *builder {
		return observed().cordoned("worker-2").rendered().done("master-0", "master-1", "master-2", "worker-0")
	},
	func() *builder { return observed().updated() },
	func() *builder {
		b := observed().updated()
		poolRecord(b.o.Record, "master").Restored = true
		return b
	},
	func() *builder { return observed().updated().restored("master") },
	func() *builder { return observed().updated().restored("master", "worker") },
	func() *builder { return observed().completed() },
	func() *builder { return observed().updated().restored("master", "worker").staged(v1alpha1.PassAllow) },
	func() *builder { return betweenPasses(2 * time.Hour) },
	func() *builder { return secondPass() },
	func() *builder { return secondPass().deleting() },
	func() *builder { return observed().paused().reloads() },
	func() *builder {
		return observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) {
			p.Record, p.Ours, p.Entry,
				p.Reloads = nil, false, userPolicy, false
		})
	},
	func() *builder {
		b := observed().updated().policyInstalled()
		b.o.Record.NodeDisruptionPolicy.Restored = true
		return b
	},
	func() *builder {
		b := observed().paused().policyInstalled().deleting()
		b.o.Record.NodeDisruptionPolicy.Restored = true
		return b
	},
	func() *builder {
		b := observed().rendered()
		b.o.Record.PendingWrite = &v1alpha1.PendingWriteRecord{TargetHash: "new+new"}
		return b
	},
	func() *builder { return observed().paused().policyInstalled() },
	func() *builder { return observed().rendered().policyInstalled() },
	func() *builder { return observed().rendered().policyInstalled().releaseIntended("worker") },
	func() *builder { return observed().updated().policyInstalled() },
	func() *builder { return observed().intended().partiallyWritten() },
}

// disturbances are what happens to a cluster beside the rollout.
var disturbances = []func(g generator, b *builder){
	func(_ generator, b *builder) { b.held() },
	func(_ generator, b *builder) { b.deleting() },
	func(_ generator, b *builder) { b.recordLost() },
	func(g generator, b *builder) { b.o.Now = now.Add(time.Duration(g.Intn(3600)) * time.Second) },
	func(g generator, b *builder) { b.o.Rollout.SpecHash = g.spec() },
	func(g generator, b *builder) { b.o.Rollout.Requests = g.requests() },
	func(g generator, b *builder) {
		b.o.Rollout.RollbackOnDelete, b.o.Rollout.RollbackOnFailure = g.sometimes(), g.sometimes()
	},
	func(g generator, b *builder) { rollbackOnRecord(&b.o) },
	func(_ generator, b *builder) { b.o.Rollout.Targeted = true },
	func(g generator, b *builder) {
		b.o.Rollout.MaxConcurrent = g.Intn(4)
		for i := range b.o.Record.Pools {
			b.o.Record.Pools[i].MaxUnavailable = pick(g, "2", "50%", "3")
		}
	},
	func(g generator, b *builder) {
		b.o.Operator = OperatorReplicas{Replicas: 2, LeaderNode: g.nodeName(), StandbyNodes: []string{g.nodeName()}}
	},
	func(_ generator, b *builder) { b.o.ControlPlane = Unknown[[]Problem]("x") },
	func(g generator, b *builder) { b.node(g.nodeName(), g.disturb) },
	func(g generator, b *builder) { b.node(g.nodeName(), g.disturb) },
	func(g generator, b *builder) { b.startsUpdate(g.nodeName(), g.stage()) },
	func(g generator, b *builder) { b.without(g.nodeName()) },
	func(g generator, b *builder) { b.eachPool(g.disturbPool, g.poolName()) },
	func(g generator, b *builder) { b.eachPool(g.disturbPool, g.poolName()) },
	func(g generator, b *builder) { b.eachPool(g.disturbPool) },
	func(g generator, b *builder) { b.sets(g.setState(), g.setState()) },
	func(g generator, b *builder) { b.transfers(func(t *Transfers) { *t = g.transfers() }) },
	func(g generator, b *builder) { b.pullChecks(func(p *PullChecks) { *p = g.pullChecks() }) },
	func(g generator, b *builder) { b.o.CanaryPulls = Known(g.canary()) },
	func(g generator, b *builder) { b.o.CanaryPulls = Known(g.canary()) },
	func(_ generator, b *builder) { b.o.CanaryPulls = Unknown[CanaryPulls]("x") },
	func(g generator, b *builder) { b.plan(func(p *PlanSummary) { *p = g.plan() }) },
	func(g generator, b *builder) { b.addPool(somePool("infra", g.Intn(3))) },
	func(g generator, b *builder) { b.unready(g.workload(), g.workload()) },
	func(g generator, b *builder) { b.o.Record.Release = g.release() },
	func(g generator, b *builder) { b.o.Record.Pools = g.poolRecords() },
	func(g generator, b *builder) { g.blockedDrain(&b.o) },
	func(_ generator, b *builder) { b.o.Cluster = Unknown[Cluster]("x") },
	func(_ generator, b *builder) { b.o.SpecProblems = Unknown[[]Problem]("x") },
	func(_ generator, b *builder) { b.o.Sets = Unknown[MirrorSets]("x") },
	func(_ generator, b *builder) { b.o.Plan = Unknown[PlanSummary]("x") },
	func(_ generator, b *builder) { b.o.Transfers = Unknown[Transfers]("x") },
	func(_ generator, b *builder) { b.o.PullChecks = Unknown[PullChecks]("x") },
	func(_ generator, b *builder) { b.o.Pools = Unknown[[]Pool]("x") },
	func(_ generator, b *builder) { b.o.Workloads = Unknown[[]Workload]("x") },
	func(_ generator, b *builder) { b.o.Forecast = Unknown[Forecast]("x") },
	func(g generator, b *builder) {
		b.forecasts(g.nodeName(), []DrainForecast{DrainSafe, DrainBlocked, DrainUnknown}[g.Intn(3)])
	},
	func(g generator, b *builder) { b.o.Rollout.ForecastAdvisory = g.sometimes() },
	func(_ generator, b *builder) { b.o.Cluster = Known(Cluster{Upgrading: "4.20"}) },
	func(g generator, b *builder) { b.staged(g.pass()) },
	func(_ generator, b *builder) { b.partiallyWritten() },
	func(g generator, b *builder) {
		b.o.Rollout.Reload, b.o.NodeDisruptionPolicy, b.o.Record.NodeDisruptionPolicy = g.sometimes(),
			maybe(g, g.policy()), g.policyRecord()
	},
	func(g generator, b *builder) { b.policy(g.disturbPolicy) },
	func(_ generator, b *builder) { b.o.NodeDisruptionPolicy = Unknown[NodeDisruptionPolicy]("x") },
}

// inconsistent is an observation of which nothing fits together.
func (g generator) inconsistent() Observed {
	o := Observed{
		Now: now.Add(time.Duration(g.Intn(1200)) * time.Second),
		Rollout: Spec{Name: "shop", UID: "uid", Generation: int64(g.Intn(3)), SpecHash: g.spec(),
			Requests: g.requests(), Created: now, Deleting: g.sometimes(), Finalizer: !g.sometimes(),
			Held: g.sometimes()},
		Record: v1alpha1.Record{
			Pools: g.poolRecords(), Release: g.release(), AppliedPlanHash: g.digest(),
			CompletedGeneration: int64(max(0, g.Intn(5)-2)), CompletedSpecHash: g.spec(),
		},
		Cluster: maybe(g, Cluster{}), OtherRollouts: maybe(g, []OtherRollout{}), SpecProblems: maybe(g, []Problem{}),
		Workloads: maybe(g, []Workload{g.workload()}),
		Sets:      maybe(g, MirrorSets{IDMS: g.setState(), ITMS: g.setState()}), Plan: maybe(g, g.plan()),
		Transfers:  maybe(g, g.transfers()),
		PullChecks: maybe(g, g.pullChecks()), CanaryPulls: maybe(g, g.canary()), ControlPlane: maybe(g, []Problem{}),
	}
	o.Rollout.Targeted, o.Rollout.MaxConcurrent = g.sometimes(), g.Intn(4)
	if !g.sometimes() {
		o.Record.StartedAt = &metav1.Time{Time: began}
	}
	if g.sometimes() {
		rollbackOnRecord(&o)
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
	if o.Forecast = safeForecast(Known(pools)); g.Intn(4) == 0 {
		o.Forecast = Unknown[Forecast]("x")
	}
	if g.Intn(3) == 0 {
		g.blockedDrain(&o)
	}
	return o
}

func (g generator) pass() v1alpha1.Pass { return pick(g, "", v1alpha1.PassAllow, v1alpha1.PassEnforce) }

func (g generator) policyRecord() *v1alpha1.NodeDisruptionPolicyRecord {
	return pick(g, nil, &v1alpha1.NodeDisruptionPolicyRecord{Previous: userPolicy, Restored: g.sometimes()})
}

func (g generator) policy() NodeDisruptionPolicy {
	p := NodeDisruptionPolicy{Generation: 3, ObservedGeneration: 3, Entry: pick(g, "", userPolicy, operatorPolicy)}
	for range g.Intn(3) {
		g.disturbPolicy(&p)
	}
	return p
}

// disturbPolicy changes one thing about the policy.
func (g generator) disturbPolicy(p *NodeDisruptionPolicy) {
	change := pick(g,
		func() { p.Generation++ },
		func() { p.Reloads = !p.Reloads },
		func() { p.Ours = !p.Ours },
		func() { p.Entry = userPolicy },
		func() { p.Unsupported = "x" },
		func() { p.Record, p.ForeignOwner = nil, "books" },
		func() { p.Record = nil },
		func() { p.Record = &PolicyRecord{Rollout: "shop", Since: began, Prior: userPolicy} },
	)
	change()
	if p.Record != nil {
		p.ForeignOwner = "" // there is one note on it
	}
}

func maybe[T any](g generator, v T) Value[T] {
	if g.Intn(12) == 0 {
		return Unknown[T]("x")
	}
	return Known(v)
}

// sometimes is true now and then.
func (g generator) sometimes() bool { return g.Intn(5) == 0 }

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

func (g generator) plan() PlanSummary {
	return PlanSummary{Digest: g.digest(), Total: g.Intn(9), Changed: g.Intn(9), PendingChecks: max(0, g.Intn(6)-4),
		Lost: max(0, g.Intn(6)-4)}
}

func (g generator) transfers() Transfers {
	t := Transfers{PlanDigest: g.digest(), Copying: !g.sometimes(), Total: g.Intn(4),
		OldestProof: now.Add(-time.Duration(g.Intn(1200)) * time.Second)}
	t.Verified = t.Total
	if g.sometimes() {
		t.Verified = g.Intn(t.Total + 1)
		t.Failed = t.Total - t.Verified
	}
	return t
}

func (g generator) pullChecks() PullChecks {
	p := PullChecks{PlanDigest: g.digest(), Disabled: g.sometimes(), Nodes: 2, Wanted: g.Intn(4), PodsLeft: g.Intn(2)}
	p.Proven = p.Wanted
	if g.sometimes() {
		p.Proven = g.Intn(p.Wanted + 1)
		p.Failed = p.Wanted - p.Proven
	}
	return p
}

func (g generator) canary() CanaryPulls {
	c := CanaryPulls{Disabled: g.sometimes(), PodsLeft: max(0, g.Intn(4)-2)}
	for _, pool := range []string{"infra", "master", "worker"} {
		k := CanaryGroup{Pool: pool, Selected: !g.sometimes(), Wanted: g.Intn(4)}
		k.Proven = k.Wanted
		if g.sometimes() {
			k.Proven = g.Intn(k.Wanted + 1)
			k.Failed = g.Intn(k.Wanted - k.Proven + 1)
		}
		if !g.sometimes() {
			c.Groups = append(c.Groups, k)
		}
	}
	c.Preload = g.preload()
	return c
}

func (g generator) preload() Preload {
	out := Preload{Enabled: g.sometimes()}
	if !out.Enabled {
		return out
	}
	for _, pool := range []string{"infra", "master", "worker"} {
		l := PreloadPool{Pool: pool, Wanted: g.Intn(4)}
		for i := range 5 {
			if !g.sometimes() {
				l.Nodes = append(l.Nodes, fmt.Sprintf("%s-%d", pool, i))
			}
		}
		l.Loaded = l.Wanted
		if g.sometimes() {
			l.Loaded = g.Intn(l.Wanted + 1)
			l.Failed = g.Intn(l.Wanted - l.Loaded + 1)
		}
		if !g.sometimes() {
			out.Pools = append(out.Pools, l)
		}
	}
	return out
}

func (g generator) spec() string { return pick(g, "spec-1", "spec-1", "spec-1", "spec-2") }

func (g generator) requests() []Request {
	if !g.sometimes() {
		return nil
	}
	return []Request{{ID: pick(g, "a", "b"),
		Verb: pick(g, v1alpha1.RequestApprove, v1alpha1.RequestRetry, v1alpha1.RequestAbort, v1alpha1.RequestRollback),
		Gate: GateApply, PlanDigest: g.digest()}}
}

func (g generator) workload() Workload {
	return Workload{
		Kind: "Deployment", Namespace: "shop", Name: pick(g, "cart", "till"), Desired: 3, Ready: int32(g.Intn(3)),
		NewestUnreadyAt: now.Add(time.Duration(g.Intn(120)-60) * time.Second), MissingPods: g.sometimes(),
		OnNode: g.sometimes(),
	}
}

func (g generator) release() *v1alpha1.ReleaseRecord {
	if g.Intn(3) == 0 {
		return nil
	}
	pool := g.poolName()
	return &v1alpha1.ReleaseRecord{
		Pool: pool, IntendedAt: metav1.NewTime(now.Add(-time.Duration(g.Intn(90)) * time.Second)),
		TargetConfig:     g.renderedName(pool),
		UpdatedNodes:     int32(g.Intn(3)),
		Nodes:            pick(g, nil, nil, []string{g.nodeName()}, []string{g.nodeName(), g.nodeName()}),
		NodeCount:        int32(g.Intn(3)),
		TargetNodes:      pick(g, nil, nil, []string{g.nodeName()}),
		UnreadyWorkloads: pick(g, nil, []string{"Deployment/shop/cart=1"}),
	}
}

func (g generator) poolRecords() []v1alpha1.PoolRecord {
	var out []v1alpha1.PoolRecord
	for _, name := range []string{"infra", "master", "worker"} {
		if !g.sometimes() {
			out = append(out, v1alpha1.PoolRecord{
				Name: name, Paused: g.sometimes(), MaxUnavailable: pick(g, "", "1", "10%"), Restored: g.sometimes(),
				Unavailable: []string{g.nodeName()},
			})
		}
	}
	return out
}

func (g generator) pauseRecord() *PauseRecord {
	l := PauseRecord{Rollout: "shop", UID: "uid", Since: began, PriorPaused: g.sometimes(), Repaused: g.Intn(3),
		Unavailable: []string{g.nodeName()}}
	if g.sometimes() {
		l.Release = &UnpauseWindow{
			IntendedAt: now.Add(-10 * time.Second), Deadline: now.Add(time.Duration(g.Intn(120)-60) * time.Second),
			Target: g.renderedName(g.poolName()), UpdatedBefore: g.Intn(3), Closed: g.sometimes(),
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
		func() { n.CurrentConfig = g.renderedName(pool) },
		func() { n.DesiredConfig = g.renderedName(pool) },
		func() { n.CurrentConfig, n.DesiredConfig = planned, planned },
		func() { *n = Node{Name: n.Name} },
	)
	change()
}

// disturbPool changes one thing about a pool.
func (g generator) disturbPool(p *Pool) {
	change := pick(g,
		func() { p.Paused, p.PausedBy, p.PausedByUs = !p.Paused, "kubectl", g.sometimes() },
		func() { p.ObservedGeneration-- },
		func() { p.Degraded = "x" },
		func() { p.Layered = true },
		func() { p.Rendered = g.renderedName(p.Name) },
		func() { p.Registries = pick(g, MatchesPlanned, MatchesPlanned, MatchesBefore, MatchesOther, "") },
		func() { p.PendingChanges = []string{"kernelArguments"} },
		func() { p.PauseRecord, p.ForeignOwner = nil, "books" },
		func() { p.PauseRecord = nil },
		func() { p.PauseRecord = g.pauseRecord() },
		func() { p.Paused, p.PauseRecord = true, g.pauseRecord() },
		func() { p.Paused, p.PausedByUs, p.PauseRecord = true, true, g.pauseRecord() },
		func() { p.Nodes = append(slices.Clone(p.Nodes), Node{Name: p.Name + "-9"}) },
	)
	change()
	if p.PauseRecord != nil {
		p.ForeignOwner = "" // there is one note on a pool
	}
}
