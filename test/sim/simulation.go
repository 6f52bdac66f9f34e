package sim

import (
	"fmt"
	"math/rand"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// startTime is when every run begins.
var startTime = time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC)

// Simulation is everything there is.
type Simulation struct {
	scenario      Scenario
	rng           *rand.Rand
	deterministic bool // nothing is left to chance
	now           time.Time
	queue         queue
	apiServer     *apiServer
	rendered      *renderedConfigs
	registries    *registries
	mco           *mco
	nodes         map[string]*daemon
	workloads     *workloads
	processes     []*process
	faults        *faults
	checker       *checker
	trace         *tracer
	log           []string
	steps         int
	lastChange    time.Time // when an object was written last
	changed       bool      // one was written in this step
	phaseStarts   map[string]time.Time
}

// at lets something happen at a time, never before now.
func (sim *Simulation) at(t time.Time, do func()) {
	if t.Before(sim.now) {
		t = sim.now
	}
	sim.queue.push(t, do)
}

// after lets something happen later.
func (sim *Simulation) after(d time.Duration, do func()) { sim.at(sim.now.Add(d), do) }

// between is a time from low to high: their middle when nothing is left to chance.
func (sim *Simulation) between(low, high time.Duration) time.Duration {
	if sim.deterministic || high <= low {
		return (low + high) / 2
	}
	return low + time.Duration(sim.rng.Int63n(int64(high-low)))
}

// oneIn tells whether something happens that happens once in n times, and never when nothing is
// left to chance.
func (sim *Simulation) oneIn(n int) bool { return !sim.deterministic && sim.rng.Intn(n) == 0 }

// markChanged notes that something has changed: the world is looked at, and is not at rest.
func (sim *Simulation) markChanged() { sim.lastChange, sim.changed = sim.now, true }

// logf adds a line to the story: when, who, what.
func (sim *Simulation) logf(who, format string, args ...any) {
	since := sim.now.Sub(startTime)
	sim.log = append(sim.log, fmt.Sprintf("%02d:%02d:%02d  %-14s %s",
		int(since.Hours()), int(since.Minutes())%60, int(since.Seconds())%60, who, fmt.Sprintf(format, args...)))
}

// run lets events happen until the run is over, and returns why it ended.
func (sim *Simulation) run() string {
	for {
		if len(sim.checker.violations) > 0 {
			return "violated"
		}
		if why := sim.endReason(); why != "" {
			return why
		}
		e := sim.queue.pop()
		sim.now = e.at
		sim.steps++
		e.do()
		if sim.changed {
			sim.changed = false
			sim.checker.checkStep()
		}
	}
}

// How long a run may take and when it counts as at rest.
const (
	maxRunTime = 12 * time.Hour
	// restTime is longer than anything that happens by itself: a drain is retried every five
	// minutes, and given up on after an hour.
	restTime = 75 * time.Minute
	// finishedTime is how long a settled world is watched for something that comes after.
	finishedTime = 3 * time.Minute
)

// endReason tells why the run ends, empty while it goes on.
func (sim *Simulation) endReason() string {
	rest := sim.now.Sub(sim.lastChange)
	switch {
	case sim.steps > 400_000:
		return "too many steps"
	case sim.queue.Len() == 0:
		return "nothing happens any more"
	case sim.now.Sub(startTime) > maxRunTime:
		return "the horizon is reached"
	case sim.faults.pending() > 0:
		return ""
	case rest > finishedTime && sim.rolloutsFinished() && !sim.nodesUpdating():
		return "settled"
	case rest > restTime:
		return "at rest"
	}
	return ""
}

// nodesUpdating tells whether a node is on its way.
func (sim *Simulation) nodesUpdating() bool {
	return slices.ContainsFunc(sim.apiServer.live.nodes.list(), func(n *corev1.Node) bool { return !done(n) })
}

// rolloutsFinished tells whether every rollout is complete, rolled back or gone.
func (sim *Simulation) rolloutsFinished() bool {
	for _, c := range sim.apiServer.rollouts.list() {
		rec := c.status.Record
		if c.spec.Deleting || rec.CompletedGeneration == 0 || (rec.CompletedSpecHash != c.spec.SpecHash) {
			return false
		}
	}
	return true
}
