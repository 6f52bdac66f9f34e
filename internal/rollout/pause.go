package rollout

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// pausePools holds every pool before the mirror sets change, because each of them rolls by itself
// as soon as they do. What the pools were like is on record, and on the pools themselves, before
// the first one is paused (I4, R17).
func pausePools(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	actions, lost := toPause(o, pools)
	if len(lost) > 0 {
		return Fail{Reason: v1alpha1.ReasonPauseConflict, Blockers: lost}
	}
	if gate, closed := entryGate(o, pools); closed {
		if step := consent(o, gate); step != nil {
			return step
		}
	}
	if !o.Rollout.Finalizer && !o.Rollout.Deleting {
		return Do{Actions: []Action{EnsureFinalizer{}},
			Why: "taking responsibility for the pools before the first one is paused"}
	}
	if facts := poolsToRecord(o, pools); len(facts) > 0 {
		return Do{Facts: facts, Why: fmt.Sprintf("recording what %d pools are like before they are paused", len(pools))}
	}
	if facts := poolsToReclaim(o, pools); len(facts) > 0 {
		return Do{Facts: facts, Why: fmt.Sprintf("the mirror sets have to be written again: taking back %d pools that were restored", len(facts))}
	}
	if len(actions) > 0 {
		return Do{Actions: actions, Why: fmt.Sprintf("pausing %d of %d pools", len(actions), len(pools))}
	}
	if plan, ok := o.Plan.Get(); ok && plan.Digest == o.Record.AppliedPlanHash {
		// The MCO has rendered the mirror sets since, and looks at each pool once more for that.
		// Each release waits for its own fence.
		return Done{Message: fmt.Sprintf("%d pools held", len(pools))}
	}
	return awaitPausesObserved(o, pools)
}

// toPause lists the pools that must be paused now, and those that somebody else keeps unpausing.
func toPause(o Observed, pools []Pool) (actions []Action, lost []Blocker) {
	for _, p := range pools {
		rec := poolRecord(o.Record, p.Name)
		switch {
		case unpauseWindowOpen(p) || p.ForeignOwner != "" || (rec != nil && rec.Restored):
			continue
		case p.Paused && (rec == nil || !pauseRecordLost(p, *rec)):
			continue // held already, or not ours to hold
		}
		if p.PauseRecord != nil {
			// Ours, and unpaused by somebody: closures() pauses it once. After that it is lost.
			if p.PauseRecord.Repaused > 0 {
				lost = append(lost, poolBlocker(p, v1alpha1.ReasonPauseConflict, fmt.Sprintf(
					"was unpaused twice during the rollout, last by %q; it is not paused again. Stop whatever does that and pause the pool, "+
						"or set spec.state to Held: its nodes take the new configuration at the MCO's own pace meanwhile", p.PausedBy)))
			}
			continue
		}
		if rec != nil {
			actions = append(actions, PausePool{Pool: p.Name, Record: newPauseRecord(o, *rec)})
		}
	}
	return actions, lost
}

// poolsToReclaim lists the facts by which pools that were restored already are taken again,
// because the mirror sets must be written once more: on an unpaused pool the MCO would bring them
// to every node at its own pace. What such a pool is restored the next time is what it has now;
// its user may have changed it meanwhile.
func poolsToReclaim(o Observed, pools []Pool) []Fact {
	if upToDate, known := applied(o); upToDate || !known {
		return nil
	}
	var facts []Fact
	for _, p := range pools {
		rec := poolRecord(o.Record, p.Name)
		if rec == nil || !rec.Restored {
			continue
		}
		reclaimed := poolBaseline(p)
		// the second pass may come days after the first, and has a baseline of its own
		if currentPass(o) != v1alpha1.PassEnforce {
			reclaimed.Unavailable = slices.Clone(rec.Unavailable)
		}
		facts = append(facts, PoolReclaimed{Pool: reclaimed})
	}
	return facts
}

// poolsToRecord lists the facts about pools that are not on record: all of them at the start, and
// later a pool that is new. A pool that carries our pause record is recorded as the pause record
// remembers it, so that a lost status loses nothing.
func poolsToRecord(o Observed, pools []Pool) []Fact {
	var records []v1alpha1.PoolRecord
	for _, p := range pools {
		if poolRecord(o.Record, p.Name) == nil {
			records = append(records, poolBaseline(p))
		}
	}
	if o.Record.StartedAt == nil {
		started := o.Now
		for _, p := range pools {
			if p.PauseRecord != nil && p.PauseRecord.Since.Before(started) {
				started = p.PauseRecord.Since
			}
		}
		return []Fact{RolloutStarted{At: started, Pools: records}}
	}
	facts := make([]Fact, 0, len(records))
	for _, r := range records {
		facts = append(facts, PoolAdded{Pool: r, Gone: gonePools(o.Record, pools)})
	}
	return facts
}

// gonePools are on record and no longer exist: nothing of them is left to restore.
func gonePools(r v1alpha1.Record, pools []Pool) []string {
	var out []string
	for _, rec := range r.Pools {
		if !slices.ContainsFunc(pools, func(p Pool) bool { return p.Name == rec.Name }) {
			out = append(out, rec.Name)
		}
	}
	return out
}

// maxMaxUnavailable is how long the text of a maxUnavailable may be: the record has no room for
// more, and a number has 10 digits.
const maxMaxUnavailable = 64

// maxBaseline bounds the list of nodes that were unavailable before. The list is in the order of
// names and is cut off at its end, so a full list knows nothing of the names after its last one.
const maxBaseline = 64

// unavailableBefore reports whether the node was unavailable before the rollout, as far as is
// known. What the bound may have cut off is not known to be new. For example, with 70 nodes down
// from node-00 to node-69 the list ends with node-63: node-65 counts as down before, and a node-10
// that is not on the list is new.
func unavailableBefore(rec *v1alpha1.PoolRecord, node string) bool {
	if rec == nil {
		return false
	}
	list := rec.Unavailable
	return slices.Contains(list, node) || len(list) >= maxBaseline && node > slices.Max(list)
}

// poolBaseline is the pool as it was, from the pause record when it carries one.
func poolBaseline(p Pool) v1alpha1.PoolRecord {
	if note := p.PauseRecord; note != nil { // anybody can edit it: what the record has no room for is left out
		rec := v1alpha1.PoolRecord{Name: p.Name, Paused: note.PriorPaused,
			Unavailable: slices.Compact(slices.Sorted(slices.Values(note.Unavailable)))}
		rec.Unavailable = rec.Unavailable[:min(len(rec.Unavailable), maxBaseline)]
		if len(note.PriorMaxUnavailable) <= maxMaxUnavailable {
			rec.MaxUnavailable = note.PriorMaxUnavailable
		}
		return rec
	}
	rec := v1alpha1.PoolRecord{Name: p.Name, Paused: p.Paused, MaxUnavailable: p.MaxUnavailable}
	for _, n := range p.Nodes {
		if !n.Ready || n.Unschedulable {
			rec.Unavailable = append(rec.Unavailable, n.Name)
		}
	}
	slices.Sort(rec.Unavailable)
	rec.Unavailable = rec.Unavailable[:min(len(rec.Unavailable), maxBaseline)]
	return rec
}

func newPauseRecord(o Observed, rec v1alpha1.PoolRecord) PauseRecord {
	since := o.Now
	if o.Record.StartedAt != nil {
		since = o.Record.StartedAt.Time
	}
	return PauseRecord{
		Rollout: o.Rollout.Name, UID: o.Rollout.UID, Since: since.UTC(),
		PriorPaused: rec.Paused, PriorMaxUnavailable: rec.MaxUnavailable, Unavailable: slices.Clone(rec.Unavailable),
		Undo: undoCommand(rec),
	}
}

// undoCommand tells a person how to give the pool back without the operator.
func undoCommand(rec v1alpha1.PoolRecord) string {
	maxUnavailable := "null"
	if rec.MaxUnavailable != "" {
		maxUnavailable = fmt.Sprintf("%q", rec.MaxUnavailable)
		if isInteger(rec.MaxUnavailable) {
			maxUnavailable = rec.MaxUnavailable
		}
	}
	return fmt.Sprintf(`once every node runs the pool's spec.configuration: oc patch mcp %s --type=merge -p `+
		`'{"metadata":{"annotations":{"safemirror.io/pause-record":null}},"spec":{"paused":%t,"maxUnavailable":%s}}'`,
		rec.Name, rec.Paused, maxUnavailable)
}

func isInteger(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// awaitPausesObserved waits until the node controller has seen every pause: a sync that began
// before it can still hand out a node.
func awaitPausesObserved(o Observed, pools []Pool) Step {
	if waiting := unpausedPools(o, pools); len(waiting) > 0 {
		return Wait{Blockers: waiting}
	}
	return Done{Message: fmt.Sprintf("%d pools held", len(pools))}
}

func pauseNotObserved(p Pool) Blocker {
	return poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
		"is paused, and the MCO has not seen it yet (generation %d, observed %d)", p.Generation, p.ObservedGeneration))
}

// unpausedPools names the pools of which the MCO could take a node by itself: what is disruptive
// waits for all of them (I11).
func unpausedPools(o Observed, pools []Pool) []Blocker {
	var out []Blocker
	for _, p := range pools {
		switch {
		case isRestored(o, p) && p.fullyUpdated():
		case !p.Paused:
			out = append(out, poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"is not paused, and %d of its %d nodes do not run %s; nothing else moves meanwhile",
				len(p.Nodes)-p.Updated(), len(p.Nodes), p.Rendered)))
		case !p.pauseObserved():
			out = append(out, pauseNotObserved(p))
		}
	}
	return out
}
