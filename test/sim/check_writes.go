package sim

import (
	"slices"
	"strconv"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// checkPoolWrite judges every write of a pool by the operator.
func (c *checker) checkPoolWrite(manager string, old, p *mcfgv1.MachineConfigPool) {
	if old != nil && old.Spec.Configuration.Name != p.Spec.Configuration.Name {
		c.rendered[p.Name] = c.sim.now
	}
	if manager != pool.FieldManager || old == nil {
		return
	}
	had, _ := pool.ReadPauseRecord(old)
	has, err := pool.ReadPauseRecord(p)
	switch {
	case err != nil:
		c.violate("I5", "the pause record on pool %s cannot be read: %v", p.Name, err)
	case old.Spec.Configuration.Name != p.Spec.Configuration.Name:
		c.violate("I12", "the operator has written spec.configuration of pool %s", p.Name)
	case had != nil && has == nil:
		c.checkRestore(had, p)
	case had != nil && has != nil:
		c.checkRecordKept(had, has, p)
		fallthrough
	default:
		c.checkPause(old, had, p, has)
	}
}

// checkRecordKept: the previous settings in a pause record never change, nor does its owner.
func (c *checker) checkRecordKept(had, has *rollout.PauseRecord, p *mcfgv1.MachineConfigPool) {
	if has.Rollout != had.Rollout {
		c.violate("I11", "pool %s of SafeMirrorRollout %s is taken over by %s", p.Name, had.Rollout, has.Rollout)
	}
	if has.PriorPaused != had.PriorPaused || has.PriorMaxUnavailable != had.PriorMaxUnavailable {
		c.violate("I5", "the prior values on pool %s are lost", p.Name)
	}
}

// checkPause judges what becomes of spec.paused of a pool that is held, or is taken.
func (c *checker) checkPause(old *mcfgv1.MachineConfigPool, had *rollout.PauseRecord, p *mcfgv1.MachineConfigPool,
	has *rollout.PauseRecord) {
	opens := !p.Spec.Paused && old.Spec.Paused
	switch {
	case opens && openWindow(has) != nil:
		c.checkUnpause(old, had, p, has)
	case opens:
		c.violate("I5", "pool %s is unpaused without a release", p.Name)
	case old.Spec.Paused && had == nil && has != nil && !slices.ContainsFunc(pausedFieldEntries(old), byOperator):
		c.violate("I5", "pool %s was paused by somebody else and is taken over", p.Name)
	}
}

// checkUnpause judges a release at the moment of its write.
func (c *checker) checkUnpause(old *mcfgv1.MachineConfigPool, had *rollout.PauseRecord, p *mcfgv1.MachineConfigPool,
	has *rollout.PauseRecord) {
	c.openSince[p.Name] = c.sim.now
	r, ok := c.sim.apiServer.rollouts.get(has.Rollout)
	if at, forced := c.finalizerForced[has.Rollout]; !ok && forced && c.recent(at) {
		return // it went between the look and the write
	}
	if !ok {
		c.violate("I4", "pool %s is opened for SafeMirrorRollout %s, which is gone", p.Name, has.Rollout)
		return
	}
	intent := r.status.Record.Release
	_, lost := c.statusLost[has.Rollout]
	switch {
	case had == nil:
		c.violate("I5", "pool %s is opened without having been held", p.Name)
	case lost, c.leaders() > 1: // whoever takes the status away takes the intent away, and of two leaders one may end what the other begins
	case intent == nil || intent.Pool != p.Name || !intent.IntendedAt.Time.Equal(has.Release.IntendedAt) ||
		len(intent.Nodes) > 0:
		c.violate("I4", "pool %s is opened, and what is on record is %+v", p.Name, intent)
	}
	c.checkPartialWrite("pool " + p.Name + " is opened")
	c.checkMaxUnavailable(r, p, has.Release)
	c.checkQuiet(p.Name, "", r, "pool "+p.Name+" is opened")
	c.checkMirrorSets(r, "pool "+p.Name+" is opened")
	wanted, _, _ := (&process{sim: c.sim}).desiredSets(r, &c.sim.apiServer.live)
	want := mergedConf(c.sim.apiServer.live.sets.list()).with(r.source, wanted)
	if got := c.sim.rendered.content(old.Spec.Configuration.Name); got.conf != want {
		c.violate("I12", "pool %s is opened for %q, and what is wanted is %q", p.Name, got.conf, want)
	}
	c.checkCanaryPulls(r, "pool "+p.Name+" is opened")
	c.checkProofs(has.Rollout, old.Spec.Configuration.Name, "pool "+p.Name+" is opened")
	c.checkOneRollout(r)
}

// canary: once a node of a pool has the new configuration, no other node of any pool is released
// before the references that a drain cannot end without were pulled there (I2). A node that got
// there, or a workload that was created, a glance ago is not held against it.
func (c *checker) checkCanaryPulls(r *rolloutObject, what string) {
	if r.noCanaryPulls || r.status.Record.Rollback != nil {
		return
	}
	live := &c.sim.apiServer.live
	wanted, _, _ := (&process{sim: c.sim}).desiredSets(r, live)
	all := mergedConf(live.sets.list())
	before, after := all.with(r.source, ""), all.with(r.source, wanted)
	for _, mcp := range live.pools.list() {
		config := mcp.Spec.Configuration.Name
		if c.sim.rendered.content(config).conf != after ||
			!slices.ContainsFunc(live.members(mcp.Name), func(n *corev1.Node) bool {
				return n.Annotations[currentConfig] == config && done(n)
			}) {
			continue
		}
		for _, k := range c.sim.workloads.list {
			if k.pool != mcp.Name || (k.budget < 0 && !k.overlapping) || c.sim.age(k.created) < 30*reactionTime ||
				len(changedRefs([]string{k.ref}, before, after)) == 0 {
				continue
			}
			if _, shown := c.canaryPulls[canaryKey{mcp.Name, config, k.ref}]; !shown {
				c.violate("I2", "%s, and no node of pool %s has shown that it can pull %s under %s", what, mcp.Name,
					k.ref, config)
			}
		}
	}
}

func (c *checker) leaders() int {
	n := 0
	for _, p := range c.sim.processes {
		if p.alive && p.isLeader {
			n++
		}
	}
	return n
}

// checkMaxUnavailable holds the number of nodes that may be unavailable against those that are
// (I1): as many more as the release is for, and what a glance could have missed.
func (c *checker) checkMaxUnavailable(r *rolloutObject, p *mcfgv1.MachineConfigPool, pulse *rollout.UnpauseWindow) {
	size := max(1, pulse.Size)
	if most := c.maxConcurrent(r, p); size > most {
		c.violate("I1", "pool %s is opened for %d nodes, and %d are allowed at once", p.Name, size, most)
	}
	have, unseen := 0, 0
	for _, n := range c.sim.apiServer.live.members(p.Name) {
		if unavailable(n) {
			have++
		}
		if at, bad := c.unavailableSince[n.Name]; bad && c.recent(at) {
			unseen++
		}
	}
	for _, at := range c.recoveries[p.Name] {
		if c.recent(at) {
			unseen++
		}
	}
	n, err := strconv.Atoi(maxUnavailableText(p))
	if err != nil || n > have+size+unseen {
		c.violate("I1", "pool %s is opened with room for %s while %d of its nodes are unavailable", p.Name,
			maxUnavailableText(p), have)
	}
}

// still, for a release of the pool or, without one, for the writing of the mirror set, looks for
// nodes that move or are newly unavailable, and for pools of which the MCO could take a node by
// itself (I1, I11).
//
// Nodes of the release itself, if it is named, are on their way by right.
func (c *checker) checkQuiet(opened, release string, r *rolloutObject, what string) {
	for _, p := range c.sim.apiServer.live.pools.list() {
		for _, n := range c.sim.apiServer.live.members(p.Name) {
			if m := c.updates[n.Name]; release != "" && m.release == release {
				continue
			}
			c.checkNodeQuiet(opened, r, p, n, what)
			free := p.Name != opened && !p.Spec.Paused && n.Annotations[desiredConfig] != p.Spec.Configuration.Name
			if free && !c.recent(n.CreationTimestamp.Time) {
				c.violate("I11", "%s while pool %s is not paused and has node %s left to update", what, p.Name, n.Name)
			}
		}
	}
}

func (c *checker) checkNodeQuiet(opened string, r *rolloutObject, p *mcfgv1.MachineConfigPool, n *corev1.Node,
	what string) {
	if opened == "" && r.status.Record.Rollback != nil {
		return // an updating node does not prevent the removal of the mirrors
	}
	m, moves := c.updates[n.Name]
	if moves && !done(n) && !c.recent(m.at) && !c.beforeRollback(r.spec.Name, m) {
		c.violate("I11", "%s while node %s is on its way", what, n.Name)
	}
	at, bad := c.unavailableSince[n.Name]
	unseen := !bad || moves || c.recent(at)
	if opened != "" && !unseen && !c.prior[p.Name].unavailable[n.Name] && c.availableOnRecord(r, p.Name, n.Name) {
		c.violate("I1", "%s while node %s, which was available before, is not", what, n.Name)
	}
}

// availableOnRecord tells whether the node was available when the operator wrote down the baseline
// of its pool: that of a pool which was taken later, or again, is newer than the beginning.
func (c *checker) availableOnRecord(r *rolloutObject, poolName, node string) bool {
	for _, rec := range r.status.Record.Pools {
		if rec.Name == poolName {
			return !slices.Contains(rec.Unavailable, node)
		}
	}
	return true
}

// sets: what was applied is still there (I6).
func (c *checker) checkMirrorSets(r *rolloutObject, what string) {
	live := &c.sim.apiServer.live
	wanted, _, _ := (&process{sim: c.sim}).desiredSets(r, live)
	if s := idmsState(r, live, wanted); s != rollout.SetEqual && s != rollout.SetNotWanted && !c.recent(c.setChanged) {
		c.violate("I6", "%s while ImageDigestMirrorSet %s is %s", what, r.spec.Name, s)
	}
	if s := itmsState(r, live, wanted); s != rollout.SetEqual && s != rollout.SetNotWanted && !c.recent(c.setChanged) {
		c.violate("I6", "%s while ImageTagMirrorSet %s is %s", what, r.spec.Name, s)
	}
}

// checkOneRollout: one rollout at a time (I11). One that was complete, is to roll back, and waits
// for its turn with no pool in its hands has begun once, and is not at work.
func (c *checker) checkOneRollout(r *rolloutObject) {
	for _, other := range c.sim.apiServer.rollouts.list() {
		rec := other.status.Record
		waits := other.status.Phase == v1alpha1.RolloutPhase(rollout.PhasePreflight) && !c.ownsPool(other.spec.Name)
		if other.spec.Name != r.spec.Name && rec.StartedAt != nil && rec.CompletedGeneration == 0 && !waits {
			if _, lost := c.statusLost[r.spec.Name]; !lost {
				c.violate("I11", "SafeMirrorRollout %s acts while %s has begun", r.spec.Name, other.spec.Name)
			}
		}
	}
}

// ownsPool tells whether any pool has the pause record of the rollout.
func (c *checker) ownsPool(name string) bool {
	return slices.ContainsFunc(c.sim.apiServer.live.pools.list(),
		func(p *mcfgv1.MachineConfigPool) bool { return pauseOwner(p) == name })
}

// checkRestore checks the restoration of a pool (I5): the MCO has nothing left to do in it.
func (c *checker) checkRestore(had *rollout.PauseRecord, p *mcfgv1.MachineConfigPool) {
	c.checkPartialWrite("pool " + p.Name + " is restored")
	if p.Spec.Paused != had.PriorPaused {
		c.violate("I5", "pool %s is restored with paused=%t, and had %t", p.Name, p.Spec.Paused, had.PriorPaused)
	}
	r, ok := c.sim.apiServer.rollouts.get(had.Rollout)
	if ok && !c.restoreOnRecord(r, p.Name) {
		c.violate("I4", "pool %s is restored, and that is not on record", p.Name)
	}
	if ok && r.spec.Deleting && had.Release == nil && c.nothingReleased(r, p) {
		return
	}
	for _, n := range c.sim.apiServer.live.members(p.Name) {
		m, moves := c.updates[n.Name]
		runs := n.Annotations[currentConfig]
		if (moves && c.recent(m.at)) || runs == "" {
			continue
		}
		if runs != p.Spec.Configuration.Name || !done(n) {
			c.violate("I5", "pool %s is restored while node %s runs %s, not %s", p.Name, n.Name, runs,
				p.Spec.Configuration.Name)
		}
	}
}

// restoreOnRecord tells whether the return of the pool is on record, or the record was taken away
// this moment.
func (c *checker) restoreOnRecord(r *rolloutObject, poolName string) bool {
	at, lost := c.statusLost[r.spec.Name]
	return (lost && c.recent(at)) || slices.ContainsFunc(r.status.Record.Pools, func(rec v1alpha1.PoolRecord) bool {
		return rec.Name == poolName && rec.Restored
	})
}

// harmless: what is queued is none of ours, and nothing was released.
func (c *checker) nothingReleased(r *rolloutObject, p *mcfgv1.MachineConfigPool) bool {
	_, set := c.sim.apiServer.live.sets.get(r.spec.Name)
	lists, _ := c.sim.rendered.content(p.Spec.Configuration.Name).conf.mirrorsOf(r.source)
	return !set && lists == ""
}

// checkApply judges the writing, or the taking away, of the mirror set.
func (c *checker) checkApply(r *rolloutObject, wanted MirrorSpec) {
	live := &c.sim.apiServer.live
	now, ok := c.sim.apiServer.rollouts.get(r.spec.Name)
	if !ok {
		c.violate("I4", "the mirror set of SafeMirrorRollout %s is written, which is gone", r.spec.Name)
		return
	}
	after := mergedConf(live.sets.list()).with(r.source, wanted)
	_, lost := c.statusLost[r.spec.Name]
	if want := planDigest(wanted, after, live.pools.names); now.status.Record.AppliedPlanHash != want && !lost {
		c.violate("I4", "plan %s is applied, and %q is on record", want, now.status.Record.AppliedPlanHash)
	}
	if back := now.status.Record.Rollback; back != nil && wanted != previousOf(now.status.Record) {
		c.violate("I10", "%q is applied on the way back", wanted)
	}
	for _, mcp := range live.pools.list() {
		if !mcp.Spec.Paused && len(live.members(mcp.Name)) > 0 {
			c.violate("I5", "the mirror set is written while pool %s is the MCO's own", mcp.Name)
		}
	}
	for _, ref := range changedRefs(c.sim.references(), mergedConf(live.sets.list()).with(r.source, ""), after) {
		if k := c.workloadOf(ref); k == nil || c.sim.age(k.created) > reactionTime*30 {
			c.checkProof(ref, after, "the mirror set is written")
		}
	}
	c.checkQuiet("", "", now, "the mirror set is written")
	c.checkOneRollout(now)
}

func (c *checker) workloadOf(ref string) *workload {
	for _, k := range c.sim.workloads.list {
		if k.ref == ref {
			return k
		}
	}
	return nil
}

// checkFinalizer judges that the finalizer goes: nothing of the rollout may dangle (I5).
func (c *checker) checkFinalizer(r *rolloutObject, on bool) {
	if on {
		return
	}
	c.checkPartialWrite("SafeMirrorRollout " + r.spec.Name + " loses its finalizer")
	if l := c.sim.apiServer.policy.record; l != nil && l.Rollout == r.spec.Name {
		c.violate("I5", "SafeMirrorRollout %s loses its finalizer while its policy is installed", r.spec.Name)
	}
	for _, mcp := range c.sim.apiServer.live.pools.list() {
		if l, err := pool.ReadPauseRecord(mcp); err == nil && l != nil && l.Rollout == r.spec.Name {
			c.violate("I5", "SafeMirrorRollout %s loses its finalizer while pool %s is paused for it", r.spec.Name, mcp.Name)
		}
	}
}

// checkRolloutWrite: a rollback is latched until the spec changes (I10).
func (c *checker) checkRolloutWrite(old, r *rolloutObject) {
	c.saved(r)
	if _, known := c.rollbackSince[r.spec.Name]; !known && r.status.Record.Rollback != nil {
		c.rollbackSince[r.spec.Name] = c.sim.now
		c.checkRollbackReason(r)
	} else if r.status.Record.Rollback == nil {
		delete(c.rollbackSince, r.spec.Name)
	}
	if old == nil || old.status.Record.Rollback == nil || r.status.Record.Rollback != nil {
		return
	}
	if _, lost := c.statusLost[r.spec.Name]; !lost && r.spec.SpecHash == old.status.Record.Rollback.SpecHash {
		c.violate("I10", "the rollback of SafeMirrorRollout %s is not latched any more", r.spec.Name)
	}
}

// checkStatus is one that the API server takes, whatever happens.
func (c *checker) checkStatus(s v1alpha1.SafeMirrorRolloutStatus) {
	if !c.sim.deterministic && c.sim.apiServer.version%16 != 0 {
		return // each is checked in the fixed stories, and one of 16 elsewhere: the check takes longer than the step
	}
	if err := validStatus(s); err != nil {
		c.violate("I7", "the API server would refuse the status: %v", err)
	}
}
