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

// world is a cluster in memory: pools and nodes that a trivial MCO moves, a mirror engine, one workload whose pod sits on whatever
// node is drained, and the status of one rollout. One step of it takes five seconds.
type world struct {
	now       time.Time
	view      View
	record    v1alpha1.Record
	pools     []Pool
	seen      []Pool // what the MCO saw a step ago: it works on a cache
	set       bool   // our mirror set exists
	setSeen   bool   // and did a step ago
	engine    Transfers
	probes    Probes
	canary    Canary
	cart      Workload
	story     []Phase
	taken     []string // nodes in the order in which they took the new configuration
	noted     map[string]bool
	mostMoved int
}

const tick = 5 * time.Second

func newWorld() *world {
	w := &world{
		now: now, view: View{Name: "shop", UID: "uid", Generation: 1, Spec: "spec-1", Created: now}, noted: map[string]bool{},
		pools: []Pool{somePool("master", 3), somePool("worker", 3)},
		cart:  Workload{Kind: "Deployment", Namespace: "shop", Name: "cart", Desired: 3, Ready: 3},
	}
	w.pools[1].MaxUnavailable = "10%"
	w.seen = w.copyPools()
	return w
}

func (w *world) copyPools() []Pool {
	out := slices.Clone(w.pools)
	for i := range out {
		out[i].Nodes = slices.Clone(out[i].Nodes)
	}
	return out
}

func (w *world) observe() Observed {
	sets := MirrorSets{Digest: SetNotWanted, Tag: SetMissing}
	if w.set {
		sets.Tag = SetEqual
	}
	workloads := []Workload{}
	if w.cart.Ready < w.cart.Desired {
		workloads = append(workloads, w.cart)
	}
	return Observed{
		Now: w.now, Rollout: w.view, Record: *w.record.DeepCopy(),
		Cluster: Seen(Cluster{}), Others: Seen([]Other{}), Spec: Seen([]Problem{}), Sets: Seen(sets),
		Plan: Seen(Plan{Digest: planDigest, Total: 4, Changed: 2}), Transfers: Seen(w.engine), Probes: Seen(w.probes),
		Pools: Seen(w.copyPools()), Workloads: Seen(workloads), Canary: Seen(w.canary), ControlPlane: Seen([]Problem{}), Forecast: safe(Seen(w.copyPools())),
	}
}

// crash says how far a step of the operator gets.
type crash int

const (
	none         crash = iota
	beforeActing       // it dies before it has done anything
	beforeReport       // it has acted, and dies before the status is written
)

// operate is one turn of the operator. It returns false when there is nothing left to do.
func (w *world) operate(t *testing.T, how crash) bool {
	t.Helper()
	o := w.observe()
	d := Decide(o)
	if broken := rules(o, d); len(broken) > 0 {
		t.Fatalf("phase %s: %v", d.Phase, broken)
	}
	if len(w.story) == 0 || w.story[len(w.story)-1] != d.Phase {
		w.story = append(w.story, d.Phase)
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

func (w *world) pool(name string) *Pool {
	return &w.pools[slices.IndexFunc(w.pools, func(p Pool) bool { return p.Name == name })]
}

func (w *world) act(a Action) {
	switch a := a.(type) {
	case EnsureFinalizer:
		w.view.Finalizer = true
	case RemoveFinalizer:
		w.view.Finalizer = false
	case EnsureTransfers:
		if w.engine.Plan != a.Plan || w.engine.Copying != a.Copy || w.engine.Oldest.Before(a.NotOlderThan) {
			w.engine = Transfers{Plan: a.Plan, Copying: a.Copy, Total: 2, Oldest: w.now}
		}
	case TryAgain: // nothing fails here
	case EnsureProbes:
		if w.probes.Plan != a.Plan {
			w.probes = Probes{Plan: a.Plan, Nodes: 2, Wanted: 2, Left: 2}
		} else if w.probes.Proven == w.probes.Wanted {
			w.probes.Left = 0
		}
	case EnsureCanary:
		w.askCanaries(a.Sweep)
	case PausePool:
		p := w.pool(a.Pool)
		p.Paused, p.PausedByUs, p.Ledger = true, true, &a.Ledger
		p.Generation++
	case ApplyMirrorSets:
		w.set = true
	case ReleaseOne:
		p := w.pool(a.Pool)
		p.Paused, p.MaxUnavailable, p.Ledger = false, strconv.Itoa(a.MaxUnavailable), &a.Ledger
		p.Generation++
	case TargetNodes:
		p := w.pool(a.Pool)
		p.Ledger = &a.Ledger
		for i := range p.Nodes {
			if slices.Contains(a.Nodes, p.Nodes[i].Name) {
				p.Nodes[i].Desired = a.Target
			}
		}
	case StepDown: // there is one replica here
	case RestorePool:
		p := w.pool(a.Pool)
		p.Paused, p.MaxUnavailable, p.Ledger = a.Paused, a.MaxUnavailable, nil
		p.Generation++
	}
}

// askCanaries makes a pod on the first node of each pool that has the new configuration.
func (w *world) askCanaries(sweep bool) {
	w.canary.Left = 0
	for _, p := range w.pools {
		asked := slices.ContainsFunc(w.canary.Kinds, func(k CanaryKind) bool { return k.Pool == p.Name })
		if !sweep && p.hasCanary() && !asked {
			w.canary.Kinds = append(w.canary.Kinds, CanaryKind{Pool: p.Name, Chosen: true, Wanted: 2})
			w.canary.Left++
		}
	}
}

// pass lets five seconds pass: the MCO renders, picks and moves nodes, the engine proves, the workload comes back.
func (w *world) pass() {
	w.now = w.now.Add(tick)
	w.engine.Verified = w.engine.Total
	w.probes.Proven = w.probes.Wanted
	for i := range w.canary.Kinds {
		w.canary.Kinds[i].Proven = w.canary.Kinds[i].Wanted
	}
	w.cart.Ready = min(w.cart.Desired, w.cart.Ready+1)
	seen := w.seen
	w.seen = w.copyPools()
	for i := range w.pools {
		p := &w.pools[i]
		w.move(p)
		w.hand(p, seen[i])
		p.ObservedGeneration = seen[i].Generation
		p.Rendered, p.Meaning = renderedName(p.Name, earlier), MeansBefore
		if w.setSeen {
			p.Rendered, p.Meaning = renderedName(p.Name, planned), MeansPlanned
		}
	}
	w.setSeen = w.set
	moving := 0
	for _, p := range w.pools {
		moving += len(p.inFlight())
		for _, n := range p.inFlight() {
			if !w.noted[n.Name] {
				w.noted[n.Name] = true
				w.taken = append(w.taken, n.Name)
			}
		}
	}
	w.mostMoved = max(w.mostMoved, moving)
}

// move takes each node that is on its way one stage further.
func (w *world) move(p *Pool) {
	next := map[string]string{"Targeted": "Draining", "Draining": "Working", "Working": "Uncordoning", "Uncordoning": stateDone}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		stage := next[n.Stage(n.Desired)]
		if stage == "" {
			continue
		}
		*n = onTheWay(*n, n.Desired, stage)
		if stage == "Working" { // a pod was evicted, and its successor is new
			w.cart.Ready, w.cart.Newest = w.cart.Ready-1, w.now
		}
	}
}

// hand is the MCO's node controller at work on what it saw a step ago.
func (w *world) hand(p *Pool, seen Pool) {
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
		n.Tainted = n.Desired != seen.Rendered
		if n.Tainted && room > 0 && n.Ready && !n.Unschedulable {
			n.Desired, n.Tainted = seen.Rendered, false
			room--
		}
	}
}

// run lets the operator and the cluster take turns until there is nothing left to do. hook may interfere before each step.
func (w *world) run(t *testing.T, hook func(step int) crash) (steps int) {
	t.Helper()
	for step := range 1000 {
		how := none
		if hook != nil {
			how = hook(step)
		}
		if !w.operate(t, how) {
			return step
		}
		w.pass()
	}
	d := Decide(w.observe())
	t.Fatalf("not complete after 1000 steps: phase %s, %s\nstory %v", d.Phase, d.Why, w.story)
	return 0
}

// ended checks everything that the end promises.
func (w *world) ended(t *testing.T) {
	t.Helper()
	for _, p := range w.pools {
		prior := map[string]string{"master": "", "worker": "10%"}[p.Name]
		if p.Paused || p.Ledger != nil || p.MaxUnavailable != prior || !p.settled() {
			t.Errorf("pool %s is left paused=%t maxUnavailable=%q ledger=%v with %d of %d nodes done",
				p.Name, p.Paused, p.MaxUnavailable, p.Ledger, p.Updated(), len(p.Nodes))
		}
		for _, n := range p.Nodes {
			if n.Tainted || n.Unschedulable {
				t.Errorf("node %s is left tainted=%t cordoned=%t", n.Name, n.Tainted, n.Unschedulable)
			}
		}
	}
	if w.mostMoved > 1 {
		t.Errorf("%d nodes were on their way at once", w.mostMoved)
	}
}

func TestTheWholeWay(t *testing.T) {
	w := newWorld()
	w.run(t, nil)
	w.ended(t)
	story := []Phase{
		PhaseMirror, PhaseProve, PhasePause, PhaseVerify, PhaseApply, PhaseRender, PhaseRelease, PhaseRestore, PhaseFinish, PhaseComplete,
	}
	if diff := cmp.Diff(story, w.story); diff != "" {
		t.Errorf("story (-want +got):\n%s", diff)
	}
	order := []string{"worker-0", "master-0", "master-1", "master-2", "worker-1", "worker-2"}
	if diff := cmp.Diff(order, w.taken); diff != "" {
		t.Errorf("order of the nodes (-want +got):\n%s", diff)
	}
}

// Wherever the operator dies, and whatever it had done by then, it comes to the same end.
func TestTheWholeWayWithACrashAtEachStep(t *testing.T) {
	steps := newWorld().run(t, nil)
	for how, name := range map[crash]string{beforeActing: "before acting", beforeReport: "before the report"} {
		t.Run(name, func(t *testing.T) {
			for at := range steps + 1 {
				w := newWorld()
				w.run(t, func(step int) crash {
					if step == at {
						return how
					}
					return none
				})
				w.ended(t)
				if t.Failed() {
					t.Fatalf("crash at step %d, story %v", at, w.story)
				}
			}
		})
	}
	t.Run("at every other step", func(t *testing.T) {
		w := newWorld()
		w.run(t, func(step int) crash { return crash(step % 3) })
		w.ended(t)
	})
}

// A status that is lost at any step is found again on the pools.
func TestTheWholeWayWithALostStatusAtEachStep(t *testing.T) {
	steps := newWorld().run(t, nil)
	for at := range steps {
		w := newWorld()
		w.run(t, func(step int) crash {
			if step == at {
				w.record = v1alpha1.Record{}
			}
			return none
		})
		w.ended(t)
		if t.Failed() {
			t.Fatalf("lost at step %d, story %v", at, w.story)
		}
	}
}

// What happens to a cluster on the way does not change the end.
func TestTheWholeWayWithMishaps(t *testing.T) {
	cases := map[string]func(w *world, step int){
		"the mirror set is deleted": func(w *world, step int) {
			if step == 40 {
				w.set = false
			}
		},
		"somebody unpauses a pool": func(w *world, step int) {
			if step == 12 {
				w.pool("worker").Paused = false
				w.pool("worker").Generation++
			}
		},
		"a node goes down and comes back": func(w *world, step int) {
			w.pool("master").Nodes[2].Ready = step < 20 || step > 40
		},
		"the user holds it for a while": func(w *world, step int) { w.view.Held = step > 20 && step < 60 },
		"the rollout is deleted": func(w *world, step int) {
			if step == 30 {
				w.view.Deleting = true
			}
		},
		"an image vanishes and comes back": func(w *world, step int) {
			if step > 30 && step < 50 {
				w.engine.Verified = 0
			}
		},
		"a ledger is taken off": func(w *world, step int) {
			if step == 30 {
				w.pool("master").Ledger = nil
			}
		},
	}
	for name, mishap := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.run(t, func(step int) crash {
				mishap(w, step)
				return none
			})
			w.ended(t)
		})
	}
}

// The operator dies for good at any step. What is left on the pools is enough for a replica that only closes what is over, and at
// most one more node moves (I14).
func TestAtMostOneMoreNodeMoves(t *testing.T) {
	steps := newWorld().run(t, nil)
	for at := range steps {
		w := newWorld()
		for range at {
			w.operate(t, none)
			w.pass()
		}
		w.operate(t, beforeReport)
		before := len(w.taken)
		for range 100 {
			w.pass()
			for i := range w.pools {
				if p := &w.pools[i]; p.PulseOver(w.now) {
					closed := *p.Ledger.Release
					closed.Closed = true
					ledger := *p.Ledger
					ledger.Release = &closed
					w.act(PausePool{Pool: p.Name, Ledger: ledger})
				}
			}
		}
		if moved := len(w.taken) - before; moved > 1 {
			t.Fatalf("dead at step %d: %d more nodes moved, %v", at, moved, w.taken[before:])
		}
	}
}

// The way of a rollout that is refused, and of one that is deleted while it waits, leaves nothing behind.
func TestTheWayOut(t *testing.T) {
	for at := range 12 {
		t.Run(fmt.Sprintf("deleted at step %d", at), func(t *testing.T) {
			w := newWorld()
			for step := range 200 {
				w.view.Deleting = step >= at
				if w.view.Deleting && !w.view.Finalizer {
					break
				}
				w.operate(t, none)
				w.pass()
			}
			if w.view.Finalizer {
				t.Fatalf("not let go: %s", Decide(w.observe()).Why)
			}
			if w.set {
				w.ended(t)
			}
			if anyLedger(w.pools) || slices.ContainsFunc(w.pools, func(p Pool) bool { return p.Paused }) {
				t.Error("a pool is left held")
			}
		})
	}
}
