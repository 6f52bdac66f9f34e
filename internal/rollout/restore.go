package rollout

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// restorePools gives each pool back what it had before, and only once there is nothing left that
// the MCO could do with it (I5): an unpause over nodes that do not run the pool's configuration
// would take them all, unproven.
func restorePools(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	if !nodesLeft(o, pools) {
		if step := restorePolicy(o, pools); step != nil {
			return step
		}
	}
	var waiting []Blocker
	for _, p := range pools {
		rec := poolRecord(o.Record, p.Name)
		switch {
		case rec == nil && p.PauseRecord == nil:
			continue // never touched
		case rec == nil:
			return Do{Facts: []Fact{PoolAdded{Pool: poolBaseline(p), Gone: gonePools(o.Record, pools)}},
				Why: "recording pool " + p.Name + " from its pause record"}
		case rec.Restored && pauseRecordLost(p, *rec):
			return Do{Actions: []Action{PausePool{Pool: p.Name, Record: newPauseRecord(o, *rec)}}, Why: "pool " +
				p.Name + " has lost its pause record"}
		case rec.Restored && p.PauseRecord == nil:
			waiting = append(waiting, awaitTaintRemoval(p)...)
		case !p.fullyUpdated():
			waiting = append(waiting, notRestorable(p, *rec)...)
		default:
			return restorePool(p, *rec)
		}
	}
	if len(waiting) > 0 {
		return Wait{Blockers: waiting}
	}
	return Done{Message: "every pool is as it was before"}
}

// restorePool gives one pool back: the fact first, so that a pool without its pause record is known
// to be back.
func restorePool(p Pool, rec v1alpha1.PoolRecord) Step {
	if !rec.Restored {
		return Do{Facts: []Fact{PoolRestored{Pool: p.Name}}, Why: "pool " + p.Name + " is about to be restored"}
	}
	return Do{
		Actions: []Action{RestorePool{Pool: p.Name, Paused: rec.Paused, MaxUnavailable: rec.MaxUnavailable}},
		Why: fmt.Sprintf("giving pool %s back: %d of %d nodes run %s", p.Name, p.Updated(), len(p.Nodes),
			p.Rendered),
	}
}

// restorePausedPools is the end of a rollout that has brought nothing to any node, or that has
// ended before: the pools that carry its pause record get their earlier values, the others are not
// looked at. It returns nil when none is left.
func restorePausedPools(o Observed, pools []Pool) Step {
	if step := restorePolicy(o, pools); step != nil {
		return step
	}
	var waiting []Blocker
	for _, p := range pools {
		rec := poolRecord(o.Record, p.Name)
		switch {
		case rec != nil && pauseRecordLost(p, *rec):
			return Do{Actions: []Action{PausePool{Pool: p.Name, Record: newPauseRecord(o, *rec)}}, Why: "pool " +
				p.Name + " has lost its pause record"}
		case p.PauseRecord == nil && isRestored(o, p):
			waiting = append(waiting, awaitTaintRemoval(p)...)
		case p.PauseRecord == nil:
		case rec == nil:
			return Do{Facts: []Fact{PoolAdded{Pool: poolBaseline(p), Gone: gonePools(o.Record, pools)}},
				Why: "recording pool " + p.Name + " from its pause record"}
		case !p.fullyUpdated() && !pendingChangesNotOurs(o, p):
			waiting = append(waiting, poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"stays paused: %d of its %d nodes do not run %s, which was not proven and would reach them unwatched; withdraw what changed, or give "+
					"the pool back by hand as its annotation safemirror.io/pause-record says", len(p.Nodes)-p.Updated(),
				len(p.Nodes), p.Rendered)))
		default:
			return restorePool(p, *rec)
		}
	}
	if len(waiting) > 0 {
		return Wait{Blockers: waiting}
	}
	return nil
}

// pendingChangesNotOurs tells whether what has queued up behind our pause is none of ours: the pool
// is rendered with the registries.conf that its nodes have without us, and no node was released.
// Without this a person who deletes the rollout to let another change through could never get it
// through.
func pendingChangesNotOurs(o Observed, p Pool) bool {
	sets, ok := o.Sets.Get()
	return ok && o.Rollout.Deleting && !sets.anyPresent() && p.Registries == MatchesBefore && neverReleased(p)
}

// pauseRecordLost tells whether the pool is paused by us and somebody has taken the pause record
// off. It is not lost when another rollout's is on it: that one's pauses are signed like ours. That
// the pool is about to be restored says nothing: once it was, the last word on spec.paused is the
// unpause, and whoever pauses it again signs for it.
func pauseRecordLost(p Pool, rec v1alpha1.PoolRecord) bool {
	return p.Paused && p.PauseRecord == nil && p.ForeignOwner == "" && p.PausedByUs && !rec.Paused
}

// awaitTaintRemoval waits until the MCO has seen the pool's return and has taken its
// UpdateInProgress taints off the nodes: they stay for as long as a pool is paused, and would steer
// pods away from healthy nodes for ever. While the MCO updates the pool for another reason they are
// in their place.
func awaitTaintRemoval(p Pool) []Blocker {
	if !p.pauseObserved() {
		return []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting, "is restored, and the MCO has not seen it yet")}
	}
	if p.Paused || !p.fullyUpdated() {
		return nil
	}
	for _, n := range p.Nodes {
		if n.Tainted {
			return []Blocker{{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name,
				Message: "node " + n.Name + " still carries the MCO's taint UpdateInProgress; it goes with the pool's next look"}}
		}
	}
	return nil
}

// notRestorable names what keeps a pool from being restored: its nodes, or whoever else has
// paused it.
func notRestorable(p Pool, rec v1alpha1.PoolRecord) []Blocker {
	if p.PauseRecord == nil && p.Paused {
		return []Blocker{poolBlocker(p, v1alpha1.ReasonPoolNotReady, fmt.Sprintf(
			"is paused by %q and not by this rollout, and %d of its %d nodes do not run %s; the rollout never unpauses what it did not pause: "+
				"unpause it, and its nodes are released one by one like the others", p.PausedBy,
			len(p.Nodes)-p.Updated(), len(p.Nodes), p.Rendered))}
	}
	var out []Blocker
	for _, n := range p.Nodes {
		if n.runs(p.Rendered) {
			continue
		}
		why, advice := fmt.Sprintf("runs %s, not %s", n.CurrentConfig, p.Rendered), ""
		if n.CurrentConfig == p.Rendered { // its daemon is not done with it yet
			why = fmt.Sprintf("has %s and its update is not complete (%s)", p.Rendered, n.UpdateStage(p.Rendered))
		}
		if !n.Ready || n.Unschedulable {
			why += ", and is " + unavailableText(n)
			if slices.Contains(rec.Unavailable, n.Name) {
				why += " since before the rollout"
			}
			switch { // no advice to delete a live node, or to uncordon one in the middle of its update
			case !n.Ready:
				advice = ": bring the node back or delete it"
			case n.done():
				advice = ": uncordon it"
			}
		}
		out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name, Message: fmt.Sprintf(
			"node %s %s; MachineConfigPool %s stays paused until the node is updated%s", n.Name, why, p.Name, advice)})
	}
	return out
}

func unavailableText(n Node) string {
	switch {
	case !n.Ready && n.Unschedulable:
		return "NotReady and cordoned"
	case !n.Ready:
		return "NotReady"
	default:
		return "cordoned"
	}
}
