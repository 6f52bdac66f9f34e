package sim

import (
	"fmt"
	"math/rand"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// start is when every run begins.
var start = time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC)

// World is everything there is.
type World struct {
	scenario   Scenario
	rng        *rand.Rand
	fixed      bool // nothing is left to chance
	now        time.Time
	queue      queue
	api        *api
	renderings *renderings
	registries *registries
	mco        *mco
	nodes      map[string]*daemon
	workloads  *workloads
	procs      []*process
	faults     *faults
	check      *checker
	trace      *tracer
	story      []string
	steps      int
	wrote      time.Time // when an object was written last
	dirty      bool      // one was written in this step
	phases     map[string]time.Time
}

// at lets something happen at a time, never before now.
func (w *World) at(t time.Time, do func()) {
	if t.Before(w.now) {
		t = w.now
	}
	w.queue.push(t, do)
}

// after lets something happen later.
func (w *World) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

// between is a time from low to high: their middle when nothing is left to chance.
func (w *World) between(low, high time.Duration) time.Duration {
	if w.fixed || high <= low {
		return (low + high) / 2
	}
	return low + time.Duration(w.rng.Int63n(int64(high-low)))
}

// dice tells whether something happens that happens once in n times, and never when nothing is left to chance.
func (w *World) dice(n int) bool { return !w.fixed && w.rng.Intn(n) == 0 }

// stirs notes that something has changed: the world is looked at, and is not at rest.
func (w *World) stirs() { w.wrote, w.dirty = w.now, true }

// tell adds a line to the story: when, who, what.
func (w *World) tell(who, format string, args ...any) {
	since := w.now.Sub(start)
	w.story = append(w.story, fmt.Sprintf("%02d:%02d:%02d  %-14s %s",
		int(since.Hours()), int(since.Minutes())%60, int(since.Seconds())%60, who, fmt.Sprintf(format, args...)))
}

// run lets events happen until the run is over, and returns why it ended.
func (w *World) run() string {
	for {
		if len(w.check.violations) > 0 {
			return "violated"
		}
		if why := w.over(); why != "" {
			return why
		}
		e := w.queue.pop()
		w.now = e.at
		w.steps++
		e.do()
		if w.dirty {
			w.dirty = false
			w.check.step()
		}
	}
}

// How long a run may take and when it counts as at rest.
const (
	horizon = 12 * time.Hour
	// quiet is longer than anything that happens by itself: a drain is retried every five minutes, and given up on after an hour.
	quiet = 75 * time.Minute
	// calm is how long a settled world is watched for something that comes after.
	calm = 3 * time.Minute
)

// over tells why the run ends, empty while it goes on.
func (w *World) over() string {
	rest := w.now.Sub(w.wrote)
	switch {
	case w.steps > 400_000:
		return "too many steps"
	case w.queue.Len() == 0:
		return "nothing happens any more"
	case w.now.Sub(start) > horizon:
		return "the horizon is reached"
	case w.faults.pending() > 0:
		return ""
	case rest > calm && w.settled() && !w.moves():
		return "settled"
	case rest > quiet:
		return "at rest"
	}
	return ""
}

// moves tells whether a node is on its way.
func (w *World) moves() bool {
	return slices.ContainsFunc(w.api.live.nodes.list(), func(n *corev1.Node) bool { return !done(n) })
}

// settled tells whether every rollout is complete, rolled back or gone.
func (w *World) settled() bool {
	for _, c := range w.api.customs.list() {
		rec := c.status.Record
		if c.view.Deleting || rec.CompletedGeneration == 0 || (rec.CompletedSpecHash != c.view.Spec) {
			return false
		}
	}
	return true
}
