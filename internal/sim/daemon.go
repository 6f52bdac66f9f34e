package sim

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// daemon is a node's own side: the machine-config-daemon, and the kubelet's image store. It follows pkg/daemon of
// openshift/machine-config-operator: it asks for a drain and polls for the answer, writes the files, asks for the uncordon, and is done.
// The target is looked at once at the beginning; another one that comes meanwhile is seen after the end.
type daemon struct {
	w    *World
	name string
	busy bool
	down bool
	gone bool
	// applied is the rendered configuration on the disk: pulls follow it from the reload on, before the node is done.
	applied string
	images  map[string]bool
	drain   drain
}

const (
	pollTime   = 10 * time.Second
	drainLimit = time.Hour
)

// poke lets an idle daemon look at its node.
func (d *daemon) poke() {
	n, ok := d.node()
	if !ok || d.busy || d.down || n.Annotations[currentConfig] == "" || done(n) {
		return
	}
	if n.Annotations[desiredDrain] != n.Annotations[lastAppliedDrain] {
		return // a drain that was asked for before is not complete
	}
	d.busy = true
	target := n.Annotations[desiredConfig]
	d.later(time.Second, 8*time.Second, func() { d.begin(target) }) // it compares all files with its configuration first
}

func (d *daemon) node() (*corev1.Node, bool) {
	if d.gone {
		return nil, false
	}
	return d.w.api.live.nodes.get(d.name)
}

// later goes on after a while, and only while the node is up: on a dead one everything stands still.
func (d *daemon) later(low, high time.Duration, do func()) {
	d.w.after(d.w.between(low, high), func() {
		switch {
		case d.gone:
		case d.down:
			d.later(pollTime, pollTime, do)
		default:
			do()
		}
	})
}

func (d *daemon) annotate(pairs ...string) {
	d.w.api.editNode(d.name, func(n *corev1.Node) {
		for i := 0; i < len(pairs); i += 2 {
			n.Annotations[pairs[i]] = pairs[i+1]
		}
	})
}

func (d *daemon) begin(target string) {
	n, ok := d.node()
	if !ok {
		return
	}
	if n.Annotations[state] != stateDegraded {
		d.annotate(state, stateWorking)
	}
	switch {
	case target == n.Annotations[currentConfig]:
		d.complete(target) // it was given back what it runs: there is nothing to change
	case !d.w.api.policy.inEffect():
		d.later(5*time.Second, 5*time.Second, func() { d.begin(target) })
	case d.reload(n.Annotations[currentConfig], target):
		d.w.tell("node", "%s reloads for %s", d.name, target)
		d.later(time.Second, 3*time.Second, func() { d.apply(target) })
	case n.Annotations[controlPlaneTopology] == singleReplica:
		d.later(time.Second, 3*time.Second, func() { d.apply(target) }) // (pkg/daemon/drain.go, performDrain)
	case n.Annotations[lastAppliedDrain] == "drain-"+target:
		d.later(time.Second, 3*time.Second, func() { d.apply(target) })
	default:
		d.w.check.drains(d, n.Annotations[currentConfig], target)
		d.later(time.Second, 2*time.Second, func() {
			d.annotate(desiredDrain, "drain-"+target)
			limit := d.w.now.Add(drainLimit)
			d.later(pollTime, pollTime, func() { d.await(target, limit) })
		})
	}
}

// await polls for the drain.
func (d *daemon) await(target string, limit time.Time) {
	n, ok := d.node()
	switch {
	case !ok:
	case n.Annotations[desiredDrain] == n.Annotations[lastAppliedDrain]:
		d.later(time.Second, 3*time.Second, func() { d.apply(target) })
	case !d.w.now.Before(limit):
		d.w.tell("node", "%s gives up on its drain after an hour", d.name)
		d.annotate(state, stateDegraded, reason, "failed to drain node: "+d.name+" after 1 hour")
		d.busy = false
	default:
		d.later(pollTime, pollTime, func() { d.await(target, limit) })
	}
}

// apply writes the files and reloads the container runtime.
func (d *daemon) apply(target string) {
	d.applied = target
	d.complete(target)
}

func (d *daemon) complete(target string) {
	d.later(time.Second, 2*time.Second, func() {
		d.annotate(desiredDrain, "uncordon-"+target)
		d.later(pollTime, pollTime, func() { d.finish(target) })
	})
}

func (d *daemon) finish(target string) {
	n, ok := d.node()
	if !ok {
		return
	}
	if n.Annotations[desiredDrain] != n.Annotations[lastAppliedDrain] {
		d.later(pollTime, pollTime, func() { d.finish(target) })
		return
	}
	d.w.tell("node", "%s is done with %s", d.name, target)
	d.busy = false
	d.annotate(state, stateDone, currentConfig, target, reason, "")
}

// conf is what the node's pulls follow.
func (d *daemon) conf() conf { return d.w.renderings.content(d.applied).conf }
