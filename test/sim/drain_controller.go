package sim

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// drainState is the MCO's drain controller at work on one node (pkg/controller/drain): it cordons,
// evicts through the eviction API, and says so on the node when nothing is left. It never gives up.
type drainState struct {
	// due is when the controller looks at the node next; zero when nothing has changed.
	due     time.Time
	running bool
	// startedAt is when this drain was first tried; the controller keeps it in memory until the
	// drain has succeeded.
	startedAt time.Time
}

const (
	drainDelay       = 5 * time.Second
	evictionRetry    = 5 * time.Second
	drainAttemptTime = 90 * time.Second
	drainRetry       = time.Minute
	drainSlowAfter   = 10 * time.Minute
	drainSlowRetry   = 5 * time.Minute
)

// enqueueDrain is the work queue: the earliest of several times counts.
func (d *daemon) enqueueDrain(delay time.Duration) {
	at := d.sim.now.Add(delay)
	if !d.drain.due.IsZero() && !at.Before(d.drain.due) {
		return
	}
	d.drain.due = at
	d.sim.at(at, func() {
		if d.drain.due.Equal(at) {
			d.drain.due = time.Time{}
			d.syncDrain()
		}
	})
}

func (d *daemon) syncDrain() {
	n, ok := d.node()
	if !ok || d.drain.running {
		return
	}
	want := n.Annotations[desiredDrain]
	if want == n.Annotations[lastAppliedDrain] {
		return
	}
	if strings.HasPrefix(want, "uncordon-") {
		d.sim.apiServer.editNode(d.name, func(n *corev1.Node) { n.Spec.Unschedulable = false })
		d.annotate(lastAppliedDrain, want)
		return
	}
	if d.drain.startedAt.IsZero() {
		d.drain.startedAt = d.sim.now
		d.sim.apiServer.editNode(d.name, func(n *corev1.Node) { n.Spec.Unschedulable = true })
	}
	d.drain.running = true
	d.attemptDrain(want, d.sim.now.Add(drainAttemptTime))
}

// attemptDrain evicts what is left, every five seconds, for a minute and a half.
func (d *daemon) attemptDrain(want string, until time.Time) {
	left := 0
	if !d.gone {
		left = d.sim.workloads.evictAll(d.name)
	}
	switch {
	case d.gone:
		d.drain.running = false
	case left == 0:
		d.drain.running, d.drain.startedAt = false, time.Time{}
		d.annotate(lastAppliedDrain, want)
	case d.sim.now.Before(until):
		d.sim.after(evictionRetry, func() { d.attemptDrain(want, until) })
	default:
		d.drain.running = false
		again := drainRetry
		if d.sim.now.Sub(d.drain.startedAt) > drainSlowAfter {
			again = drainSlowRetry
		}
		d.sim.logf("drain", "node %s: %d pods left, the next attempt is in %s", d.name, left, again)
		d.enqueueDrain(again)
	}
}
