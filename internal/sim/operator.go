package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/status"
)

// process is one replica of the operator. Every replica guards open pools; the leader carries the rollouts. A turn is not instantaneous:
// it observes and decides at one time, and acts and reports at later ones, with the world going on in between.
type process struct {
	w      *World
	name   string
	leads  bool
	alive  bool
	epoch  int // counts restarts: what an earlier life has scheduled does not happen
	cache  *cache
	engine *engine
	probes *probes
	birds  *canaries
	due    map[string]time.Time
	busy   bool
	told   map[string]string // the phase of each rollout that was last told in the story
	ills   ills
}

// ills are the faults that a replica suffers from at present.
type ills struct {
	skew time.Duration // its clock is ahead by so much
	lag  time.Duration // its caches are behind by so much
	// frozen is until when it does nothing at all, and then goes on where it was.
	frozen time.Time
	// crash is the point of a turn at which it dies next.
	crash string
	// unseen are the parts of an observation that cannot be read.
	unseen map[string]bool
	// refused is true while no write gets through, lost while every write gets through and its answer does not.
	refused, lost bool
	// writes is after how many writes of mirror sets it dies; 0 means never.
	writes int
	// twice is true while every action is carried out twice.
	twice bool
	// conflict is how many of the next writes of pools and statuses find that somebody was quicker.
	conflict int
}

// The points of a turn at which a process can die.
const (
	crashDecided  = "decided"
	crashActed    = "acted"
	crashReported = "before-report"
	crashBetween  = "between-nodes"
)

// How a turn of the loop goes; see controllers/reconcile.go.
const (
	soon        = 20 * time.Millisecond
	podQuiet    = 2 * time.Second
	refusedWait = 500 * time.Millisecond
	errorWait   = 2 * time.Second
)

func newProcess(w *World, name string, leads bool) *process {
	p := &process{w: w, name: name, leads: leads, ills: ills{unseen: map[string]bool{}}}
	w.procs = append(w.procs, p)
	p.start()
	return p
}

func (p *process) start() {
	p.alive, p.busy, p.epoch = true, false, p.epoch+1
	p.due, p.told = map[string]time.Time{}, map[string]string{}
	p.engine, p.probes, p.birds = newEngine(p), &probes{p: p}, newCanaries(p)
	p.cache = p.w.api.watch(func() time.Duration {
		return p.ills.lag + p.thaws() + p.w.between(5*time.Millisecond, 80*time.Millisecond)
	}, p.changed)
	p.wake(soon)
	for _, name := range p.cache.seen.pools.names {
		p.later(soon, func() { p.guard(name) })
	}
}

// die loses everything that was in memory.
func (p *process) die() {
	p.alive = false
	p.epoch++
	p.w.api.unwatch(p.cache)
}

// later does something after a while, in this life of the process.
func (p *process) later(d time.Duration, do func()) {
	epoch := p.epoch
	p.w.after(d, func() {
		switch {
		case !p.alive || p.epoch != epoch:
		case p.thaws() > 0:
			p.later(p.thaws(), do)
		default:
			do()
		}
	})
}

// thaws is how long it is still frozen.
func (p *process) thaws() time.Duration { return max(0, p.ills.frozen.Sub(p.w.now)) }

// clock is what the process takes for the time.
func (p *process) clock() time.Time { return p.w.now.Add(p.ills.skew) }

// changed is the handler of the caches. Pods are gathered for a while.
func (p *process) changed(k kind, name string) {
	switch k {
	case kindPod:
		p.wake(podQuiet)
		return
	case kindPool:
		p.guard(name)
	case kindNode:
		for _, name := range p.cache.seen.pools.names {
			p.guard(name)
		}
	case kindSet, kindCustom:
	}
	p.wake(soon)
}

// wake schedules a turn for every rollout.
func (p *process) wake(d time.Duration) {
	for _, name := range p.w.api.customs.names {
		p.schedule(name, d)
	}
	if p.leads {
		p.schedule("", d)
	}
}

// schedule is AddAfter of the work queue: the earliest of several times counts.
func (p *process) schedule(name string, d time.Duration) {
	at := p.w.now.Add(d)
	if due, known := p.due[name]; known && !at.Before(due) {
		return
	}
	p.due[name] = at
	p.later(d, func() { p.turn(name, at) })
}

// turn is one reconcile of a rollout; the one without a name looks after pools that nobody owns any more.
func (p *process) turn(name string, at time.Time) {
	switch {
	case !p.due[name].Equal(at):
		return
	case p.busy:
		delete(p.due, name)
		p.schedule(name, soon)
		return
	}
	delete(p.due, name)
	if !p.leads {
		return
	}
	if name == "" {
		p.orphans()
		return
	}
	c, ok := p.w.api.customs.get(name)
	if !ok {
		return
	}
	o := p.observe(c, p.cache.seen)
	d := rollout.Decide(o)
	p.w.check.decided(o, d)
	p.tellPhase(name, d)
	if p.crashes(crashDecided) {
		return
	}
	p.busy = true
	t := &reconcile{p: p, before: c, o: o, d: d}
	t.act(0)
}

func (p *process) tellPhase(name string, d rollout.Decision) {
	line := string(d.Phase) + ": " + d.Why
	if d.Why == "" {
		line = string(d.Phase)
	}
	if gist := gistOf(line); p.told[name] != gist {
		p.told[name] = gist
	} else {
		return
	}
	p.w.tell(p.name, "%s is in %s", name, line)
	p.w.phase(d.Phase)
}

// gistOf is the line without what changes while nothing happens: numbers, and where a node is on its way.
func gistOf(line string) string {
	line, _, _ = strings.Cut(line, ": Targeted")
	for _, stage := range []string{"Working", "Draining", "Uncordoning"} {
		line, _, _ = strings.Cut(line, ": "+stage)
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, line)
}

// crashes tells whether the process dies here, and lets it be started again a while later.
func (p *process) crashes(point string) bool {
	if p.ills.crash != point {
		return false
	}
	p.ills.crash = ""
	p.crash("at the point "+point, p.w.between(3*time.Second, 40*time.Second))
	return true
}

func (p *process) crash(why string, down time.Duration) {
	if !p.alive {
		return
	}
	p.w.tell(p.name, "dies %s", why)
	p.die()
	if down > 0 {
		p.w.after(down, func() {
			if !p.alive {
				p.w.tell(p.name, "is started again")
				p.start()
			}
		})
	}
}

// reconcile is the rest of a turn: the decision's actions one after another, and the report.
type reconcile struct {
	p      *process
	before *custom
	o      rollout.Observed
	d      rollout.Decision
	err    error
}

func (t *reconcile) act(i int) {
	p := t.p
	if i >= len(t.d.Actions) {
		t.acted()
		return
	}
	a := t.d.Actions[i]
	p.later(p.w.between(5*time.Millisecond, 150*time.Millisecond), func() {
		p.execute(t.before, a, func(err error) {
			if p.crashes(crashActed) {
				return
			}
			if err == nil && p.ills.twice {
				p.execute(t.before, a, func(error) { t.act(i + 1) })
				return
			}
			if err != nil {
				t.err = err
				t.acted()
				return
			}
			t.act(i + 1)
		})
	})
}

func (t *reconcile) acted() {
	p := t.p
	if t.err == nil && slices.ContainsFunc(t.d.Actions, func(a rollout.Action) bool { return a == rollout.Action(rollout.RemoveFinalizer{}) }) {
		p.busy = false
		return
	}
	var r *refused
	switch {
	case errors.As(t.err, &r):
		t.d.RecheckAt, t.err = t.o.Now.Add(refusedWait), nil
	case apierrors.IsConflict(t.err):
		t.d.RecheckAt, t.err = t.o.Now, nil
	}
	p.later(p.w.between(5*time.Millisecond, 60*time.Millisecond), func() {
		if !p.crashes(crashReported) {
			t.report()
		}
	})
}

// report writes the status, if it has changed and nobody has written the rollout since it was read.
func (t *reconcile) report() {
	p, name := t.p, t.before.view.Name
	p.busy = false
	after := status.Of(t.before.status, t.o, t.d, t.err)
	p.w.check.status(after)
	failed := t.err
	if added := slices.ContainsFunc(t.d.Actions, isEnsureFinalizer); !sameStatus(t.before.status, after) && (failed != nil || !added) {
		now, ok := p.w.api.customs.get(name)
		switch {
		case !ok:
			return
		case now.version != t.before.version || p.quicker():
			failed = errConflict
		default:
			failed = errors.Join(failed, p.write(func() error {
				p.w.api.editCustom(name, func(c *custom) { c.status = after })
				return nil
			}))
		}
	}
	switch {
	case failed != nil:
		p.schedule(name, errorWait)
	case !t.d.RecheckAt.IsZero():
		p.schedule(name, max(t.d.RecheckAt.Sub(t.o.Now), soon))
	}
}

func isEnsureFinalizer(a rollout.Action) bool {
	_, ok := a.(rollout.EnsureFinalizer)
	return ok
}

var (
	errConflict = errors.New("the object has been modified")
	errDown     = errors.New("the API server does not answer")
)

// quicker tells whether somebody else writes the object in the very moment before.
func (p *process) quicker() bool {
	if p.ills.conflict == 0 {
		return false
	}
	p.ills.conflict--
	return true
}

// write carries out a write, or fails before it, or loses the answer to it.
func (p *process) write(do func() error) error {
	if p.ills.refused {
		return errDown
	}
	if err := do(); err != nil {
		return err
	}
	if p.ills.lost {
		return errDown
	}
	return nil
}

// guard is what every replica does about open pools; see controllers/guard.go. It judges on its cache, and its patch carries that version.
func (p *process) guard(name string) {
	mcp, ok := p.cache.seen.pools.get(name)
	if !ok || mcp.Spec.Paused {
		return
	}
	ledger, err := pool.ReadLedger(mcp)
	if err != nil || ledger == nil || ledger.Release == nil || ledger.Release.Closed {
		return
	}
	view, err := p.viewOf(mcp, p.cache.seen, ledger.Rollout)
	if err != nil {
		return
	}
	if !view.PulseOver(p.clock()) {
		p.later(max(ledger.Release.Deadline.Sub(p.clock()), soon), func() { p.guard(name) })
		return
	}
	p.later(p.w.between(5*time.Millisecond, 50*time.Millisecond), func() {
		if err := pool.Close(context.Background(), poolClient{p: p}, mcp); err != nil {
			p.later(time.Second, func() { p.guard(name) })
			return
		}
		p.w.tell(p.name, "closes pool %s", name)
	})
}

// orphans gives back the pools of rollouts that are gone; see controllers/orphans.go.
func (p *process) orphans() {
	live := &p.w.api.live
	p.orphanedPolicy()
	for _, mcp := range live.pools.list() {
		ledger, err := pool.ReadLedger(mcp)
		if err != nil || ledger == nil {
			continue
		}
		if _, there := p.w.api.customs.get(ledger.Rollout); there {
			continue
		}
		view, err := p.viewOf(mcp, live, ledger.Rollout)
		if err != nil {
			continue
		}
		if view.Updated() != len(view.Nodes) {
			p.schedule("", time.Minute)
			continue
		}
		if pool.Restore(context.Background(), poolClient{p: p}, mcp, ledger.PriorPaused, ledger.PriorMaxUnavailable) == nil {
			p.w.tell(p.name, "gives back pool %s, whose rollout is gone", mcp.Name)
		}
	}
}
