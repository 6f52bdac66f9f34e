package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/status"
)

// process is one replica of the operator. Every replica guards open pools; the leader carries the
// rollouts. A turn is not instantaneous: it observes and decides at one time, and acts and reports
// at later ones, with the world going on in between.
type process struct {
	sim         *Simulation
	name        string
	isLeader    bool
	alive       bool
	restarts    int // counts restarts: what an earlier life has scheduled does not happen
	cache       *cache
	engine      *engine
	pullChecks  *pullChecks
	canaryPulls *canaryPulls
	due         map[string]time.Time
	busy        bool
	lastLogged  map[string]string // the phase of each rollout that was last told in the story
	faults      processFaults
}

// processFaults are the faults that a replica suffers from at present.
type processFaults struct {
	skew     time.Duration // its clock is ahead by so much
	cacheLag time.Duration // its caches are behind by so much
	// frozenUntil is until when it does nothing at all, and then goes on where it was.
	frozenUntil time.Time
	// crashPoint is the point of a turn at which it dies next.
	crashPoint string
	// unreadable are the parts of an observation that cannot be read.
	unreadable map[string]bool
	// rejectWrites is true while no write gets through, lost while every write gets through and its
	// answer does not.
	rejectWrites, loseResponses bool
	// crashAfterWrites is after how many writes of mirror sets it dies; 0 means never.
	crashAfterWrites int
	// repeatActions is true while every action is carried out twice.
	repeatActions bool
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
	minRequeue     = 20 * time.Millisecond
	podBatchPeriod = 2 * time.Second
	refusedRetry   = 500 * time.Millisecond
	errorRetry     = 2 * time.Second
)

func newProcess(sim *Simulation, name string, leads bool) *process {
	p := &process{sim: sim, name: name, isLeader: leads, faults: processFaults{unreadable: map[string]bool{}}}
	sim.processes = append(sim.processes, p)
	p.start()
	return p
}

func (p *process) start() {
	p.alive, p.busy, p.restarts = true, false, p.restarts+1
	p.due, p.lastLogged = map[string]time.Time{}, map[string]string{}
	p.engine, p.pullChecks, p.canaryPulls = newEngine(p), &pullChecks{p: p}, newCanaryPulls(p)
	p.cache = p.sim.apiServer.newCache(func() time.Duration {
		return p.faults.cacheLag + p.frozenFor() + p.sim.between(5*time.Millisecond, 80*time.Millisecond)
	}, p.changed)
	p.wake(minRequeue)
	for _, name := range p.cache.objects.pools.names {
		p.later(minRequeue, func() { p.guardPool(name) })
	}
}

// die loses everything that was in memory.
func (p *process) die() {
	p.alive = false
	p.restarts++
	p.sim.apiServer.removeCache(p.cache)
}

// later does something after a while, in this life of the process.
func (p *process) later(d time.Duration, do func()) {
	epoch := p.restarts
	p.sim.after(d, func() {
		switch {
		case !p.alive || p.restarts != epoch:
		case p.frozenFor() > 0:
			p.later(p.frozenFor(), do)
		default:
			do()
		}
	})
}

// frozenFor is how long it is still frozen.
func (p *process) frozenFor() time.Duration { return max(0, p.faults.frozenUntil.Sub(p.sim.now)) }

// clock is what the process takes for the time.
func (p *process) clock() time.Time { return p.sim.now.Add(p.faults.skew) }

// changed is the handler of the caches. Pods are gathered for a while.
func (p *process) changed(k kind, name string) {
	switch k {
	case kindPod:
		p.wake(podBatchPeriod)
		return
	case kindPool:
		p.guardPool(name)
	case kindNode:
		for _, name := range p.cache.objects.pools.names {
			p.guardPool(name)
		}
	case kindMirrorSet, kindRollout:
	}
	p.wake(minRequeue)
}

// wake schedules a turn for every rollout.
func (p *process) wake(d time.Duration) {
	for _, name := range p.sim.apiServer.rollouts.names {
		p.schedule(name, d)
	}
	if p.isLeader {
		p.schedule("", d)
	}
}

// schedule is AddAfter of the work queue: the earliest of several times counts.
func (p *process) schedule(name string, d time.Duration) {
	at := p.sim.now.Add(d)
	if due, known := p.due[name]; known && !at.Before(due) {
		return
	}
	p.due[name] = at
	p.later(d, func() { p.reconcile(name, at) })
}

// reconcile is one reconcile of a rollout; the one without a name restores pools that have no
// owner any more.
func (p *process) reconcile(name string, at time.Time) {
	switch {
	case !p.due[name].Equal(at):
		return
	case p.busy:
		delete(p.due, name)
		p.schedule(name, minRequeue)
		return
	}
	delete(p.due, name)
	if !p.isLeader {
		return
	}
	if name == "" {
		p.restoreOrphans()
		return
	}
	c, ok := p.sim.apiServer.rollouts.get(name)
	if !ok {
		return
	}
	o := p.observe(c, p.cache.objects)
	d := rollout.Decide(o)
	p.sim.checker.checkDecision(o, d)
	p.logPhase(name, d)
	if p.crashAt(crashDecided) {
		return
	}
	p.busy = true
	t := &reconciliation{p: p, before: c, o: o, d: d}
	t.act(0)
}

func (p *process) logPhase(name string, d rollout.Decision) {
	line := string(d.Phase) + ": " + d.Why
	if d.Why == "" {
		line = string(d.Phase)
	}
	if stable := stableText(line); p.lastLogged[name] != stable {
		p.lastLogged[name] = stable
	} else {
		return
	}
	p.sim.logf(p.name, "%s is in %s", name, line)
	p.sim.phaseSeen(d.Phase)
}

// stableText is the line without what changes while nothing happens: numbers, and where a node is
// on its way.
func stableText(line string) string {
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

// crashAt tells whether the process dies here, and lets it be started again a while later.
func (p *process) crashAt(point string) bool {
	if p.faults.crashPoint != point {
		return false
	}
	p.faults.crashPoint = ""
	p.crash("at the point "+point, p.sim.between(3*time.Second, 40*time.Second))
	return true
}

func (p *process) crash(why string, down time.Duration) {
	if !p.alive {
		return
	}
	p.sim.logf(p.name, "dies %s", why)
	p.die()
	if down > 0 {
		p.sim.after(down, func() {
			if !p.alive {
				p.sim.logf(p.name, "is started again")
				p.start()
			}
		})
	}
}

// reconciliation is the rest of a turn: the decision's actions one after another, and the report.
type reconciliation struct {
	p      *process
	before *rolloutObject
	o      rollout.Observed
	d      rollout.Decision
	err    error
}

func (t *reconciliation) act(i int) {
	p := t.p
	if i >= len(t.d.Actions) {
		t.acted()
		return
	}
	a := t.d.Actions[i]
	p.later(p.sim.between(5*time.Millisecond, 150*time.Millisecond), func() {
		p.execute(t.before, a, func(err error) {
			if p.crashAt(crashActed) {
				return
			}
			if err == nil && p.faults.repeatActions {
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

func (t *reconciliation) acted() {
	p := t.p
	if t.err == nil && slices.ContainsFunc(t.d.Actions,
		func(a rollout.Action) bool { return a == rollout.Action(rollout.RemoveFinalizer{}) }) {
		p.busy = false
		return
	}
	var r *actionRefused
	switch {
	case errors.As(t.err, &r):
		t.d.RecheckAt, t.err = t.o.Now.Add(refusedRetry), nil
	case apierrors.IsConflict(t.err):
		t.d.RecheckAt, t.err = t.o.Now, nil
	}
	p.later(p.sim.between(5*time.Millisecond, 60*time.Millisecond), func() {
		if !p.crashAt(crashReported) {
			t.report()
		}
	})
}

// report writes the status, if it has changed and the rollout was not written since it was read.
func (t *reconciliation) report() {
	p, name := t.p, t.before.spec.Name
	p.busy = false
	after := status.Of(t.before.status, t.o, t.d, t.err)
	failed := t.err
	if added := slices.ContainsFunc(t.d.Actions, isEnsureFinalizer); !sameStatus(t.before.status, after) &&
		(failed != nil || !added) {
		p.sim.checker.checkStatus(after)
		now, ok := p.sim.apiServer.rollouts.get(name)
		switch {
		case !ok:
			return
		case now.version != t.before.version || p.conflicts():
			failed = errConflict
		default:
			failed = errors.Join(failed, p.write(func() error {
				p.sim.apiServer.editRollout(name, func(c *rolloutObject) { c.status = after })
				return nil
			}))
		}
	}
	switch {
	case failed != nil:
		p.schedule(name, errorRetry)
	case !t.d.RecheckAt.IsZero():
		p.schedule(name, max(t.d.RecheckAt.Sub(t.o.Now), minRequeue))
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

// conflicts tells whether somebody else writes the object in the very moment before.
func (p *process) conflicts() bool {
	if p.faults.conflict == 0 {
		return false
	}
	p.faults.conflict--
	return true
}

// write carries out a write, or fails before it, or loses the answer to it.
func (p *process) write(do func() error) error {
	if p.faults.rejectWrites {
		return errDown
	}
	if err := do(); err != nil {
		return err
	}
	if p.faults.loseResponses {
		return errDown
	}
	return nil
}

// guardPool is what every replica does about open pools; see controllers/guard.go. It judges on its
// cache, and its patch carries that version.
func (p *process) guardPool(name string) {
	mcp, ok := p.cache.objects.pools.get(name)
	if !ok || mcp.Spec.Paused {
		return
	}
	ledger, err := pool.ReadPauseRecord(mcp)
	if err != nil || ledger == nil || ledger.Release == nil || ledger.Release.Closed {
		return
	}
	observed, err := p.observePool(mcp, p.cache.objects, ledger.Rollout)
	if err != nil {
		return
	}
	if !observed.UnpauseWindowOver(p.clock()) {
		p.later(max(ledger.Release.Deadline.Sub(p.clock()), minRequeue), func() { p.guardPool(name) })
		return
	}
	p.later(p.sim.between(5*time.Millisecond, 50*time.Millisecond), func() {
		if err := pool.Repause(context.Background(), poolClient{p: p}, mcp); err != nil {
			p.later(time.Second, func() { p.guardPool(name) })
			return
		}
		p.sim.logf(p.name, "closes pool %s", name)
	})
}

// restoreOrphans restores the pools of rollouts that are gone; see controllers/orphans.go.
func (p *process) restoreOrphans() {
	live := &p.sim.apiServer.live
	p.restoreOrphanedPolicy()
	for _, mcp := range live.pools.list() {
		ledger, err := pool.ReadPauseRecord(mcp)
		if err != nil || ledger == nil {
			continue
		}
		if _, there := p.sim.apiServer.rollouts.get(ledger.Rollout); there {
			continue
		}
		observed, err := p.observePool(mcp, live, ledger.Rollout)
		if err != nil {
			continue
		}
		if observed.Updated() != len(observed.Nodes) {
			p.schedule("", time.Minute)
			continue
		}
		if pool.Restore(context.Background(), poolClient{p: p}, mcp, ledger.PriorPaused,
			ledger.PriorMaxUnavailable) == nil {
			p.sim.logf(p.name, "restores pool %s, whose rollout is gone", mcp.Name)
		}
	}
}
