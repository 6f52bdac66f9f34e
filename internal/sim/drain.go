package sim

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// drain is the MCO's drain controller at work on one node (pkg/controller/drain): it cordons, evicts through the eviction API, and says
// so on the node when nothing is left. It never gives up.
type drain struct {
	// due is when the controller looks at the node next; zero when nothing has changed.
	due     time.Time
	running bool
	// began is when this drain was first tried; the controller keeps it in memory until the drain has succeeded.
	began time.Time
}

const (
	drainDelay     = 5 * time.Second
	evictTime      = 5 * time.Second
	drainAttempt   = 90 * time.Second
	drainAgain     = time.Minute
	drainFailing   = 10 * time.Minute
	drainAgainLate = 5 * time.Minute
)

// drainSoon is the work queue: the earliest of several times counts.
func (d *daemon) drainSoon(delay time.Duration) {
	at := d.w.now.Add(delay)
	if !d.drain.due.IsZero() && !at.Before(d.drain.due) {
		return
	}
	d.drain.due = at
	d.w.at(at, func() {
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
		d.w.api.editNode(d.name, func(n *corev1.Node) { n.Spec.Unschedulable = false })
		d.annotate(lastAppliedDrain, want)
		return
	}
	if d.drain.began.IsZero() {
		d.drain.began = d.w.now
		d.w.api.editNode(d.name, func(n *corev1.Node) { n.Spec.Unschedulable = true })
	}
	d.drain.running = true
	d.attempt(want, d.w.now.Add(drainAttempt))
}

// attempt evicts what is left, every five seconds, for a minute and a half.
func (d *daemon) attempt(want string, until time.Time) {
	left := 0
	if !d.gone {
		left = d.w.workloads.evictAll(d.name)
	}
	switch {
	case d.gone:
		d.drain.running = false
	case left == 0:
		d.drain.running, d.drain.began = false, time.Time{}
		d.annotate(lastAppliedDrain, want)
	case d.w.now.Before(until):
		d.w.after(evictTime, func() { d.attempt(want, until) })
	default:
		d.drain.running = false
		again := drainAgain
		if d.w.now.Sub(d.drain.began) > drainFailing {
			again = drainAgainLate
		}
		d.w.tell("drain", "node %s: %d pods left, the next attempt is in %s", d.name, left, again)
		d.drainSoon(again)
	}
}
