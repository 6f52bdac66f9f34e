package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// fakeCluster is a cluster in memory: pools and nodes that a trivial MCO moves, a mirror engine,
// one workload whose pod sits on whatever node is drained, and the status of one rollout. One step
// of it takes five seconds.
type fakeCluster struct {
	now           time.Time
	spec          Spec
	record        v1alpha1.Record
	pools         []Pool
	mcoCache      []Pool // what the MCO saw a step ago: it works on a cache
	setExists     bool   // our mirror set exists
	setInMCOCache bool   // and did a step ago
	engine        Transfers
	pullChecks    PullChecks
	canary        CanaryPulls
	cart          Workload
	phases        []Phase
	started       []string // nodes in the order in which they took the new configuration
	counted       map[string]bool
	maxUpdating   int
}

const tick = 5 * time.Second

func newFakeCluster() *fakeCluster {
	w := &fakeCluster{
		now: now, spec: Spec{Name: "shop", UID: "uid", Generation: 1, SpecHash: "spec-1", Created: now},
		counted: map[string]bool{},
		pools:   []Pool{somePool("master", 3), somePool("worker", 3)},
		cart:    Workload{Kind: "Deployment", Namespace: "shop", Name: "cart", Desired: 3, Ready: 3},
	}
	w.pools[1].MaxUnavailable = "10%"
	w.mcoCache = w.copyPools()
	return w
}

func (w *fakeCluster) copyPools() []Pool {
	out := slices.Clone(w.pools)
	for i := range out {
		out[i].Nodes = slices.Clone(out[i].Nodes)
	}
	return out
}

func (w *fakeCluster) observe() Observed {
	sets := MirrorSets{IDMS: SetNotWanted, ITMS: SetMissing}
	if w.setExists {
		sets.ITMS = SetEqual
	}
	workloads := []Workload{}
	if w.cart.Ready < w.cart.Desired {
		workloads = append(workloads, w.cart)
	}
	return Observed{
		Now: w.now, Rollout: w.spec, Record: *w.record.DeepCopy(),
		Cluster: Known(Cluster{}), OtherRollouts: Known([]OtherRollout{}), SpecProblems: Known([]Problem{}),
		NodeDisruptionPolicy: Known(NodeDisruptionPolicy{}),
		Sets:                 Known(sets),
		Plan:                 Known(PlanSummary{Digest: planDigest, Total: 4, Changed: 2}), Transfers: Known(w.engine),
		PullChecks: Known(w.pullChecks),
		Pools:      Known(w.copyPools()), Workloads: Known(workloads), CanaryPulls: Known(w.canary),
		ControlPlane: Known([]Problem{}), Forecast: safeForecast(Known(w.copyPools())),
	}
}

// crash says how far a step of the operator gets.
type crash int

const (
	none         crash = iota
	beforeActing       // it dies before it has done anything
	beforeReport       // it has acted, and dies before the status is written
)

// reconcile is one turn of the operator. It returns false when there is nothing left to do.
func (w *fakeCluster) reconcile(t *testing.T, how crash) bool {
	t.Helper()
	o := w.observe()
	d := Decide(o)
	if broken := rules(o, d); len(broken) > 0 {
		t.Fatalf("phase %s: %v", d.Phase, broken)
	}
	if len(w.phases) == 0 || w.phases[len(w.phases)-1] != d.Phase {
		w.phases = append(w.phases, d.Phase)
	}
	if how == beforeActing {
		return true
	}
	for _, a := range d.Actions {
		w.act(a)
	}
	if how == beforeReport {
		return true
	}
	w.record = Apply(w.record, d.Facts)
	return !d.Complete
}

func (w *fakeCluster) pool(name string) *Pool {
	return &w.pools[slices.IndexFunc(w.pools, func(p Pool) bool { return p.Name == name })]
}

func (w *fakeCluster) act(a Action) {
	switch a := a.(type) {
	case EnsureFinalizer:
		w.spec.Finalizer = true
	case RemoveFinalizer:
		w.spec.Finalizer = false
	case EnsureTransfers:
		if w.engine.PlanDigest != a.PlanDigest || w.engine.Copying != a.Copy ||
			w.engine.OldestProof.Before(a.NotOlderThan) {
			w.engine = Transfers{PlanDigest: a.PlanDigest, Copying: a.Copy, Total: 2, OldestProof: w.now}
		}
	case RetryFailed: // nothing fails here
	case EnsurePullChecks:
		if w.pullChecks.PlanDigest != a.PlanDigest {
			w.pullChecks = PullChecks{PlanDigest: a.PlanDigest, Nodes: 2, Wanted: 2, PodsLeft: 2}
		} else if w.pullChecks.Proven == w.pullChecks.Wanted {
			w.pullChecks.PodsLeft = 0
		}
	case EnsureCanaryPulls:
		w.ensureCanaryPulls(a.CleanUp)
	case PausePool:
		p := w.pool(a.Pool)
		p.Paused, p.PausedByUs, p.PauseRecord = true, true, &a.Record
		p.Generation++
	case ApplyMirrorSets:
		w.setExists = true
	case ReleaseNodes:
		p := w.pool(a.Pool)
		p.Paused, p.MaxUnavailable, p.PauseRecord = false, strconv.Itoa(a.MaxUnavailable), &a.Record
		p.Generation++
	case TargetNodes:
		p := w.pool(a.Pool)
		p.PauseRecord = &a.Record
		for i := range p.Nodes {
			if slices.Contains(a.Nodes, p.Nodes[i].Name) {
				p.Nodes[i].DesiredConfig = a.Target
			}
		}
	case StepDown: // there is one replica here
	case RestorePool:
		p := w.pool(a.Pool)
		p.Paused, p.MaxUnavailable, p.PauseRecord = a.Paused, a.MaxUnavailable, nil
		p.Generation++
	}
}

// ensureCanaryPulls makes a pod on the first node of each pool that has the new configuration.
func (w *fakeCluster) ensureCanaryPulls(sweep bool) {
	w.canary.PodsLeft = 0
	for _, p := range w.pools {
		asked := slices.ContainsFunc(w.canary.Groups, func(k CanaryGroup) bool { return k.Pool == p.Name })
		if !sweep && p.hasUpdatedNode() && !asked {
			w.canary.Groups = append(w.canary.Groups, CanaryGroup{Pool: p.Name, Selected: true, Wanted: 2})
			w.canary.PodsLeft++
		}
	}
}

// advance lets five seconds pass: the MCO renders, picks and moves nodes, the engine proves, the
// workload comes back.
func (w *fakeCluster) advance() {
	w.now = w.now.Add(tick)
	w.engine.Verified = w.engine.Total
	w.pullChecks.Proven = w.pullChecks.Wanted
	for i := range w.canary.Groups {
		w.canary.Groups[i].Proven = w.canary.Groups[i].Wanted
	}
	w.cart.Ready = min(w.cart.Desired, w.cart.Ready+1)
	seen := w.mcoCache
	w.mcoCache = w.copyPools()
	for i := range w.pools {
		p := &w.pools[i]
		w.advanceNodes(p)
		w.assignNodes(p, seen[i])
		p.ObservedGeneration = seen[i].Generation
		p.Rendered, p.Registries = renderedName(p.Name, earlier), MatchesBefore
		if w.setInMCOCache {
			p.Rendered, p.Registries = renderedName(p.Name, planned), MatchesPlanned
		}
	}
	w.setInMCOCache = w.setExists
	moving := 0
	for _, p := range w.pools {
		moving += len(p.updatingNodes())
		for _, n := range p.updatingNodes() {
			if !w.counted[n.Name] {
				w.counted[n.Name] = true
				w.started = append(w.started, n.Name)
			}
		}
	}
	w.maxUpdating = max(w.maxUpdating, moving)
}

// advanceNodes takes each node that is on its way one stage further.
func (w *fakeCluster) advanceNodes(p *Pool) {
	next := map[string]string{"Targeted": "Draining", "Draining": "Working", "Working": "Uncordoning",
		"Uncordoning": stateDone}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		stage := next[n.UpdateStage(n.DesiredConfig)]
		if stage == "" {
			continue
		}
		*n = atStage(*n, n.DesiredConfig, stage)
		if stage == "Working" { // a pod was evicted, and its successor is new
			w.cart.Ready, w.cart.NewestUnreadyAt = w.cart.Ready-1, w.now
		}
	}
}

// assignNodes is the MCO's node controller at work on what it saw a step ago.
func (w *fakeCluster) assignNodes(p *Pool, seen Pool) {
	if seen.Paused {
		return
	}
	room := 1
	if n, err := strconv.Atoi(seen.MaxUnavailable); err == nil {
		room = n
	}
	for _, n := range p.Nodes {
		if !n.available() {
			room--
		}
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		n.Tainted = n.DesiredConfig != seen.Rendered
		if n.Tainted && room > 0 && n.Ready && !n.Unschedulable {
			n.DesiredConfig, n.Tainted = seen.Rendered, false
			room--
		}
	}
}

// run lets the operator and the cluster take turns until there is nothing left to do. hook may
// interfere before each step.
func (w *fakeCluster) run(t *testing.T, hook func(step int) crash) (steps int) {
	t.Helper()
	for step := range 1000 {
		how := none
		if hook != nil {
			how = hook(step)
		}
		if !w.reconcile(t, how) {
			return step
		}
		w.advance()
	}
	d := Decide(w.observe())
	t.Fatalf("not complete after 1000 steps: phase %s, %s\nstory %v", d.Phase, d.Why, w.phases)
	return 0
}

// checkEnd checks everything that the end promises.
func (w *fakeCluster) checkEnd(t *testing.T) {
	t.Helper()
	for _, p := range w.pools {
		prior := map[string]string{"master": "", "worker": "10%"}[p.Name]
		if p.Paused || p.PauseRecord != nil || p.MaxUnavailable != prior || !p.fullyUpdated() {
			t.Errorf("pool %s is left paused=%t maxUnavailable=%q pause record=%v with %d of %d nodes done",
				p.Name, p.Paused, p.MaxUnavailable, p.PauseRecord, p.Updated(), len(p.Nodes))
		}
		for _, n := range p.Nodes {
			if n.Tainted || n.Unschedulable {
				t.Errorf("node %s is left tainted=%t cordoned=%t", n.Name, n.Tainted, n.Unschedulable)
			}
		}
	}
	if w.maxUpdating > 1 {
		t.Errorf("%d nodes were on their way at once", w.maxUpdating)
	}
}

func TestCompleteRollout(t *testing.T) {
	w := newFakeCluster()
	w.run(t, nil)
	w.checkEnd(t)
	story := []Phase{
		PhaseMirror, PhaseProve, PhasePause, PhaseVerify, PhaseApply, PhaseRender, PhaseRelease, PhaseRestore,
		PhaseFinish, PhaseComplete,
	}
	if diff := cmp.Diff(story, w.phases); diff != "" {
		t.Errorf("story (-want +got):\n%s", diff)
	}
	order := []string{"worker-0", "master-0", "master-1", "master-2", "worker-1", "worker-2"}
	if diff := cmp.Diff(order, w.started); diff != "" {
		t.Errorf("order of the nodes (-want +got):\n%s", diff)
	}
}

// Wherever the operator dies, and whatever it had done by then, it comes to the same end.
func TestCompleteRolloutWithCrashes(t *testing.T) {
	steps := newFakeCluster().run(t, nil)
	for how, name := range map[crash]string{beforeActing: "before acting", beforeReport: "before the report"} {
		t.Run(name, func(t *testing.T) {
			for at := range steps + 1 {
				w := newFakeCluster()
				w.run(t, func(step int) crash {
					if step == at {
						return how
					}
					return none
				})
				w.checkEnd(t)
				if t.Failed() {
					t.Fatalf("crash at step %d, story %v", at, w.phases)
				}
			}
		})
	}
	t.Run("at every other step", func(t *testing.T) {
		w := newFakeCluster()
		w.run(t, func(step int) crash { return crash(step % 3) })
		w.checkEnd(t)
	})
}

// A status that is lost at any step is found again on the pools.
func TestCompleteRolloutWithLostStatus(t *testing.T) {
	steps := newFakeCluster().run(t, nil)
	for at := range steps {
		w := newFakeCluster()
		w.run(t, func(step int) crash {
			if step == at {
				w.record = v1alpha1.Record{}
			}
			return none
		})
		w.checkEnd(t)
		if t.Failed() {
			t.Fatalf("lost at step %d, story %v", at, w.phases)
		}
	}
}

// What happens to a cluster on the way does not change the end.
func TestCompleteRolloutWithDisturbances(t *testing.T) {
	cases := map[string]func(w *fakeCluster, step int){
		"the mirror set is deleted": func(w *fakeCluster, step int) {
			if step == 40 {
				w.setExists = false
			}
		},
		"somebody unpauses a pool": func(w *fakeCluster, step int) {
			if step == 12 {
				w.pool("worker").Paused = false
				w.pool("worker").Generation++
			}
		},
		"a node goes down and comes back": func(w *fakeCluster, step int) {
			w.pool("master").Nodes[2].Ready = step < 20 || step > 40
		},
		"the user holds it for a while": func(w *fakeCluster, step int) { w.spec.Held = step > 20 && step < 60 },
		"the rollout is deleted": func(w *fakeCluster, step int) {
			if step == 30 {
				w.spec.Deleting = true
			}
		},
		"an image vanishes and comes back": func(w *fakeCluster, step int) {
			if step > 30 && step < 50 {
				w.engine.Verified = 0
			}
		},
		"a pause record is taken off": func(w *fakeCluster, step int) {
			if step == 30 {
				w.pool("master").PauseRecord = nil
			}
		},
	}
	for name, mishap := range cases {
		t.Run(name, func(t *testing.T) {
			w := newFakeCluster()
			w.run(t, func(step int) crash {
				mishap(w, step)
				return none
			})
			w.checkEnd(t)
		})
	}
}

// The operator dies for good at any step. What is left on the pools is enough for a replica that
// only closes what is over, and at most one more node moves (I14).
func TestAtMostOneMoreNodeUpdates(t *testing.T) {
	steps := newFakeCluster().run(t, nil)
	for at := range steps {
		w := newFakeCluster()
		for range at {
			w.reconcile(t, none)
			w.advance()
		}
		w.reconcile(t, beforeReport)
		before := len(w.started)
		for range 100 {
			w.advance()
			for i := range w.pools {
				if p := &w.pools[i]; p.UnpauseWindowOver(w.now) {
					closed := *p.PauseRecord.Release
					closed.Closed = true
					ledger := *p.PauseRecord
					ledger.Release = &closed
					w.act(PausePool{Pool: p.Name, Record: ledger})
				}
			}
		}
		if moved := len(w.started) - before; moved > 1 {
			t.Fatalf("dead at step %d: %d more nodes moved, %v", at, moved, w.started[before:])
		}
	}
}

// The way of a rollout that is refused, and of one that is deleted while it waits, leaves nothing
// behind.
func TestDeletionAtEachStep(t *testing.T) {
	for at := range 12 {
		t.Run(fmt.Sprintf("deleted at step %d", at), func(t *testing.T) {
			w := newFakeCluster()
			for step := range 200 {
				w.spec.Deleting = step >= at
				if w.spec.Deleting && !w.spec.Finalizer {
					break
				}
				w.reconcile(t, none)
				w.advance()
			}
			if w.spec.Finalizer {
				t.Fatalf("not let go: %s", Decide(w.observe()).Why)
			}
			if w.setExists {
				w.checkEnd(t)
			}
			if anyPauseRecord(w.pools) || slices.ContainsFunc(w.pools, func(p Pool) bool { return p.Paused }) {
				t.Error("a pool is left held")
			}
		})
	}
}
