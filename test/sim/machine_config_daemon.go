package sim

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// daemon is a node's own side: the machine-config-daemon, and the kubelet's image store. It follows
// pkg/daemon of openshift/machine-config-operator: it asks for a drain and polls for the answer,
// writes the files, asks for the uncordon, and is done. The target is looked at once at the
// beginning; another one that comes meanwhile is seen after the end.
type daemon struct {
	sim  *Simulation
	name string
	busy bool
	down bool
	gone bool
	// applied is the rendered configuration on the disk: pulls follow it from the reload on, before
	// the node is done.
	applied string
	images  map[string]bool
	drain   drainState
}

const (
	pollInterval = 10 * time.Second
	drainTimeout = time.Hour
)

// sync lets an idle daemon look at its node.
func (d *daemon) sync() {
	n, ok := d.node()
	if !ok || d.busy || d.down || n.Annotations[currentConfig] == "" || done(n) {
		return
	}
	if n.Annotations[desiredDrain] != n.Annotations[lastAppliedDrain] {
		return // a drain that was asked for before is not complete
	}
	d.busy = true
	target := n.Annotations[desiredConfig]
	// it compares all files with its configuration first
	d.later(time.Second, 8*time.Second, func() { d.startUpdate(target) })
}

func (d *daemon) node() (*corev1.Node, bool) {
	if d.gone {
		return nil, false
	}
	return d.sim.apiServer.live.nodes.get(d.name)
}

// later goes on after a while, and only while the node is up: on a dead one everything stands
// still.
func (d *daemon) later(low, high time.Duration, do func()) {
	d.sim.after(d.sim.between(low, high), func() {
		switch {
		case d.gone:
		case d.down:
			d.later(pollInterval, pollInterval, do)
		default:
			do()
		}
	})
}

func (d *daemon) annotate(pairs ...string) {
	d.sim.apiServer.editNode(d.name, func(n *corev1.Node) {
		for i := 0; i < len(pairs); i += 2 {
			n.Annotations[pairs[i]] = pairs[i+1]
		}
	})
}

func (d *daemon) startUpdate(target string) {
	n, ok := d.node()
	if !ok {
		return
	}
	if n.Annotations[state] != stateDegraded {
		d.annotate(state, stateWorking)
	}
	switch {
	case target == n.Annotations[currentConfig]:
		d.requestUncordon(target) // its target is again what it runs: there is nothing to change
	case !d.sim.apiServer.policy.inEffect():
		d.later(5*time.Second, 5*time.Second, func() { d.startUpdate(target) })
	case d.onlyReloads(n.Annotations[currentConfig], target):
		d.sim.logf("node", "%s reloads for %s", d.name, target)
		d.later(time.Second, 3*time.Second, func() { d.writeFiles(target) })
	case n.Annotations[controlPlaneTopology] == singleReplica:
		d.later(time.Second, 3*time.Second, func() { d.writeFiles(target) }) // (pkg/daemon/drain.go, performDrain)
	case n.Annotations[lastAppliedDrain] == "drain-"+target:
		d.later(time.Second, 3*time.Second, func() { d.writeFiles(target) })
	default:
		d.sim.checker.checkDrain(d, n.Annotations[currentConfig], target)
		d.later(time.Second, 2*time.Second, func() {
			d.annotate(desiredDrain, "drain-"+target)
			limit := d.sim.now.Add(drainTimeout)
			d.later(pollInterval, pollInterval, func() { d.awaitDrain(target, limit) })
		})
	}
}

// awaitDrain polls for the drain.
func (d *daemon) awaitDrain(target string, limit time.Time) {
	n, ok := d.node()
	switch {
	case !ok:
	case n.Annotations[desiredDrain] == n.Annotations[lastAppliedDrain]:
		d.later(time.Second, 3*time.Second, func() { d.writeFiles(target) })
	case !d.sim.now.Before(limit):
		d.sim.logf("node", "%s gives up on its drain after an hour", d.name)
		d.annotate(state, stateDegraded, reason, "failed to drain node: "+d.name+" after 1 hour")
		d.busy = false
	default:
		d.later(pollInterval, pollInterval, func() { d.awaitDrain(target, limit) })
	}
}

// writeFiles writes the files and reloads the container runtime.
func (d *daemon) writeFiles(target string) {
	d.applied = target
	d.requestUncordon(target)
}

func (d *daemon) requestUncordon(target string) {
	d.later(time.Second, 2*time.Second, func() {
		d.annotate(desiredDrain, "uncordon-"+target)
		d.later(pollInterval, pollInterval, func() { d.awaitUncordon(target) })
	})
}

func (d *daemon) awaitUncordon(target string) {
	n, ok := d.node()
	if !ok {
		return
	}
	if n.Annotations[desiredDrain] != n.Annotations[lastAppliedDrain] {
		d.later(pollInterval, pollInterval, func() { d.awaitUncordon(target) })
		return
	}
	d.sim.logf("node", "%s is done with %s", d.name, target)
	d.busy = false
	d.annotate(state, stateDone, currentConfig, target, reason, "")
}

// activeConf is what the node's pulls follow.
func (d *daemon) activeConf() registriesConf { return d.sim.rendered.content(d.applied).conf }
