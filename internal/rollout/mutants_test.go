package rollout

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/sim/mutants/mutant"
)

// The safety rules of the decision, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	// The budget.
	mutant.Of("budget: room for one node more than the release is for", openUnpauseWindow,
		func(o Observed, p Pool, size int) int { return baseline(o, p) + len(p.stuckNodes(o)) + size },
		func(o Observed, p Pool, size int) int { return baseline(o, p) + len(p.stuckNodes(o)) + size + 1 }),
	mutant.Of("budget: a limit that has shrunk since the intent, at an unpause window", openUnpauseWindow,
		func(r v1alpha1.ReleaseRecord, o Observed, p Pool) int {
			return min(max(1, int(r.NodeCount)), maxConcurrent(o, p))
		},
		func(r v1alpha1.ReleaseRecord) int { return max(1, int(r.NodeCount)) }),
	mutant.Of("budget: a limit that has shrunk since the intent, by name", targetNodes,
		func(r v1alpha1.ReleaseRecord, o Observed, p Pool) bool {
			return len(r.TargetNodes) > maxConcurrent(o, p)
		},
		func() bool { return false }),
	mutant.Of("budget: two nodes of the control plane", Pool.MaxConcurrent,
		func(p Pool) bool { return p.ControlPlane },
		func() bool { return false }),
	mutant.Of("budget: more than the pool itself allowed", Pool.MaxConcurrent,
		func(wanted int, own string, p Pool) int {
			return min(max(1, wanted), scaledMaxUnavailable(own, len(p.Nodes)))
		},
		func(wanted int) int { return max(1, wanted) }),
	mutant.Of("budget: more than the user asks for", Pool.MaxConcurrent,
		func(wanted int, own string, p Pool) int {
			return min(max(1, wanted), scaledMaxUnavailable(own, len(p.Nodes)))
		},
		func(own string, p Pool) int { return scaledMaxUnavailable(own, len(p.Nodes)) }),
	mutant.Of("budget: more than the stage is for", batchSize,
		func(o Observed, p Pool, s Stage) int {
			return min(maxConcurrent(o, p), s.requiredNodes(p)-p.Updated(), len(candidates(o, p)))
		},
		func(o Observed, p Pool) int { return min(maxConcurrent(o, p), len(candidates(o, p))) }),
	mutant.Of("budget: percentages round up", scaledMaxUnavailable,
		func(n int, nodes int) int { return n * nodes },
		func(n int, nodes int) int { return (n*nodes + 99) }),
	mutant.Of("budget: nodes that are back count as down", baseline,
		func(node Node) bool { return !node.available() },
		func() bool { return true }),
	mutant.Of("budget: any node that is down makes room", baseline,
		func(rec *v1alpha1.PoolRecord, node Node) bool { return unavailableBefore(rec, node.Name) },
		func() bool { return true }),
	mutant.Of("budget: a node that was cordoned since does not count", newlyUnavailable,
		func(n Node) bool { return !n.Unschedulable },
		func() bool { return true }),
	mutant.Of("budget: a node that went down since does not count", newlyUnavailable,
		func(n Node) bool { return n.Ready },
		func() bool { return true }),
	mutant.Of("budget: nodes whose drains wait for each other go together", batchSize,
		func(o Observed, p Pool, size int) int { return maxConcurrentDrains(o, p, size) },
		func(size int) int { return size }),
	// The release.
	mutant.Of("release: while a node is updating, at the opening", safeToProceed,
		func(o Observed, pools []Pool) []Blocker { return updatingBlockers(o, pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("release: while a node is down that was not before", safeToProceed,
		func(o Observed, pools []Pool) []Blocker { return newlyUnavailable(o, pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("release: while another pool is not held", safeToProceed,
		func(o Observed, pools []Pool) []Blocker { return unpausedPools(o, pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("release: a pool that somebody paused mid-pulse is opened again", carryOutRelease,
		func(p Pool) bool { return p.pausedDuringWindow() },
		func() bool { return false }),
	mutant.Of("release: an old intent is good for ever", carryOutRelease,
		func(o Observed, r v1alpha1.ReleaseRecord) bool { return o.Now.Sub(r.IntendedAt.Time) > intentAge },
		func() bool { return false }),
	mutant.Of("release: without consent", carryOutRelease,
		func(o Observed) Step { return consent(o) },
		func() Step { return Step(nil) }),
	mutant.Of("release: with a deadline in the past", openUnpauseWindow,
		func(p Pool) time.Duration { return unpauseWindowTime(len(p.Nodes)) },
		func(p Pool) time.Duration { return -unpauseWindowTime(len(p.Nodes)) }),
	mutant.Of("release: a node that is down counts as a candidate", candidates,
		func(n Node, p Pool) bool { return n.DesiredConfig != p.Rendered && n.Ready && !n.Unschedulable },
		func(n Node, p Pool) bool { return n.DesiredConfig != p.Rendered }),
	mutant.Of("release: a node that is not at rest is told by name", candidates,
		func(n Node, p Pool, o Observed) bool {
			return n.DesiredConfig != p.Rendered && n.Ready && !n.Unschedulable && (n.done() || !o.Rollout.Targeted)
		},
		func(n Node, p Pool) bool { return n.DesiredConfig != p.Rendered && n.Ready && !n.Unschedulable && true }),
	mutant.Of("release: a node that cannot be released any more is told", targetNodes,
		func(able []string, name string) bool { return !slices.Contains(able, name) },
		func(able []string, name string) bool { return !slices.Contains(able, name) && false }),
	mutant.Of("release: of the control plane while it rolls", controlPlaneReady,
		func(p Pool) bool { return !p.ControlPlane },
		func() bool { return true }),
	mutant.Of("release: one by name counts as an open pool", targetNodes,
		func(ledger PauseRecord, r v1alpha1.ReleaseRecord) {
			ledger.Release.Nodes, ledger.Release.Closed = slices.Clone(r.TargetNodes), true
		},
		func(ledger PauseRecord, r v1alpha1.ReleaseRecord) {
			ledger.Release.Nodes, ledger.Release.Closed = slices.Clone(r.TargetNodes), false
		}),
	mutant.Of("release: the leader drains itself", stepDown,
		func(o Observed, in func(name string) bool) bool {
			return o.Operator.LeaderNode == "" || !in(o.Operator.LeaderNode)
		},
		func() bool { return true }),
	mutant.Of("release: leaders hand the lead to and fro", stepDown,
		func(in func(name string) bool, standby string) bool { return !in(standby) },
		func() bool { return true }),
	mutant.Of("release: a node that came late is not followed", followNodes,
		func(o Observed, p Pool, r v1alpha1.ReleaseRecord) []string { return additionalNodes(o, p, r) },
		func() []string { return []string(nil) }),
	mutant.Of("release: the next node before the last is back", followNodes,
		func(n Node) bool { return !n.Ready || n.Unschedulable },
		func(n Node) bool { return n.Name == "" }),
	mutant.Of("release: ends before the pause is seen", followNodes,
		func(o Observed, p Pool) []Blocker { return unpausedPools(o, []Pool{p}) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("release: the next node before the pods are back", followNodes,
		func(o Observed, r v1alpha1.ReleaseRecord) Step { return awaitPods(o, r) },
		func() Step { return Step(nil) }),
	mutant.Of("release: a workload that was short before may lose more", awaitPods,
		func(w Workload, had int32) bool { return w.Ready >= had },
		func(had int32) bool { return had >= 0 }),
	mutant.Of("release: an unpause window ends before the pause is seen", followRelease,
		func(pulsed bool, p Pool) bool { return pulsed && !p.pauseObserved() },
		func() bool { return false }),
	mutant.Of("release: of a configuration that was rendered after the intent", followRelease,
		func(p Pool, r v1alpha1.ReleaseRecord) bool { return p.Rendered != r.TargetConfig },
		func() bool { return false }),
	mutant.Of("release: with nobody who would pause the pool again", noStandby,
		func(o Observed) bool {
			return o.Rollout.Targeted || o.Operator.Replicas < 2 || len(o.Operator.StandbyNodes) > 0
		},
		func(o Observed) bool { return o.Rollout.Targeted || true }),
	// The canary.
	mutant.Of("canary: an intent without it", releaseNodes,
		func(o Observed, pools []Pool) Step { return awaitPullsOnNodes(o, pools) },
		func() Step { return Step(nil) }),
	mutant.Of("canary: a release without it", carryOutRelease,
		func(o Observed, pools []Pool) Step { return awaitPullsOnNodes(o, pools) },
		func() Step { return Step(nil) }),
	mutant.Of("canary: none", awaitPullsOnNodes,
		func(canary CanaryPulls) []func([]Pool) (failed []Blocker, open []Blocker) {
			return []func([]Pool) (failed, open []Blocker){canary.blockers, canary.Preload.blockers}
		},
		func(canary CanaryPulls) []func([]Pool) (failed []Blocker, open []Blocker) {
			return []func([]Pool) (failed, open []Blocker){canary.Preload.blockers}
		}),
	mutant.Of("preload: none", awaitPullsOnNodes,
		func(canary CanaryPulls) []func([]Pool) (failed []Blocker, open []Blocker) {
			return []func([]Pool) (failed, open []Blocker){canary.blockers, canary.Preload.blockers}
		},
		func(canary CanaryPulls) []func([]Pool) (failed []Blocker, open []Blocker) {
			return []func([]Pool) (failed, open []Blocker){canary.blockers}
		}),
	mutant.Of("canary: a pull that has failed is one in progress", CanaryPulls.blockers,
		func(k CanaryGroup) bool { return k.Failed > 0 },
		func() bool { return false }),
	mutant.Of("canary: one pull is enough", CanaryGroup.passed,
		func(k CanaryGroup) bool { return k.Proven+k.ManifestOnly >= k.Wanted },
		func() bool { return true }),
	mutant.Of("canary: nothing was asked", CanaryPulls.blockers,
		func(c CanaryPulls, pools []Pool) (Pool, bool) { return poolWithoutSelection(c, pools) },
		func() (Pool, bool) { return func() (Pool, bool) { return Pool{}, false }() }),
	mutant.Of("canary: what was asked for before counts", poolWithoutSelection,
		func(k CanaryGroup) bool { return !k.Selected },
		func() bool { return false }),
	mutant.Of("canary: a manifest is enough for good", CanaryPulls.blockers,
		func(k CanaryGroup, pools []Pool, i int) bool { return k.needsReselection(pools[i]) },
		func() bool { return false }),
	mutant.Of("preload: an image that is not there yet", PreloadPool.pending,
		func(l PreloadPool) bool { return l.Loaded < l.Wanted },
		func() bool { return false }),
	mutant.Of("preload: a node that was not looked at", PreloadPool.pending,
		func(missed []string) bool { return len(missed) > 0 },
		func() bool { return false }),
	mutant.Of("preload: a pull that has failed is one in progress", Preload.blockers,
		func(there PreloadPool) bool { return there.Failed > 0 },
		func() bool { return false }),
	mutant.Of("canary: the end is on record with pods left", cleanUpCanaryPulls,
		func(ended bool, d Decision) {
			if ended {
				d.Facts = nil
			}
		},
		func(ended bool) {
			if ended {
				_ = ended
			}
		}),
	// The unpause window.
	mutant.Of("unpause window: nodes that have the target do not end it", Pool.UnpauseWindowOver,
		func(p Pool, pulse *UnpauseWindow, more int) bool {
			return p.CountDesired(pulse.Target) >= pulse.UpdatedBefore+more
		},
		func() bool { return false }),
	mutant.Of("unpause window: updating nodes do not end it", Pool.UnpauseWindowOver,
		func(p Pool, pulse *UnpauseWindow, more int) bool {
			return len(p.updatingNodes()) >= pulse.StuckBefore+more
		},
		func() bool { return false }),
	mutant.Of("unpause window: a node that is done does not end it", Pool.UnpauseWindowOver,
		func(p Pool, pulse *UnpauseWindow) bool { return p.countRunning(pulse.Target) > pulse.UpdatedBefore },
		func() bool { return false }),
	mutant.Of("budget: a stuck node makes room twice", baseline,
		func(node Node, isStuck bool) bool { return !node.available() && !isStuck },
		func(node Node, isStuck bool) bool { return !node.available() && (isStuck || !isStuck) }),
	mutant.Of("unpause window: a node that comes back does not end it", Pool.UnpauseWindowOver,
		func(p Pool, pulse *UnpauseWindow) bool { return p.unavailable() < pulse.UnavailableBefore },
		func() bool { return false }),
	mutant.Of("restore: a pause record that is lost at the end", restorePools,
		func(rec *v1alpha1.PoolRecord, p Pool) bool { return rec.Restored && pauseRecordLost(p, *rec) },
		func() bool { return false }),
	mutant.Of("unpause window: another configuration does not end it", Pool.UnpauseWindowOver,
		func(p Pool, pulse *UnpauseWindow) bool { return p.Rendered != pulse.Target },
		func() bool { return false }),
	mutant.Of("unpause window: the deadline does not end it", Pool.UnpauseWindowOver,
		func(now time.Time, pulse *UnpauseWindow) bool { return !now.Before(pulse.Deadline) },
		func() bool { return false }),
	mutant.Of("unpause window: a hold does not end it", repauseActions,
		func(stop bool, p Pool, o Observed) bool { return !stop && !p.UnpauseWindowOver(o.Now) },
		func(p Pool, o Observed) bool { return !p.UnpauseWindowOver(o.Now) }),
	mutant.Of("hold: does not close an open pool", mustRepause,
		func(o Observed) bool { return o.Rollout.Held },
		func() bool { return false }),
	mutant.Of("hold: a failure does not close an open pool", mustRepause,
		func(d Decision) bool { return d.Stalled },
		func() bool { return false }),
	mutant.Of("hold: an upgrade does not close an open pool", mustRepause,
		func(d Decision) bool { return d.Phase == PhasePreflight },
		func() bool { return false }),
	mutant.Of("closures: together with something disruptive", repauseFirst,
		func(a Action) bool { return a.Disruptive() },
		func() bool { return false }),
	mutant.Of("closures: a war of pauses", repauseActions,
		func(ledger PauseRecord) bool { return ledger.Repaused == 0 },
		func(ledger PauseRecord) bool { return ledger.Repaused >= 0 }),
	mutant.Of("hold: the wrong way round", waitWhileHeld,
		func(o Observed) bool { return !o.Rollout.Held },
		func(o Observed) bool { return o.Rollout.Held }),
	// The fence.
	mutant.Of("fence: one generation behind is enough", Pool.pauseObserved,
		func(p Pool) int64 { return p.Generation },
		func(p Pool) int64 { return p.Generation - 1 }),
	mutant.Of("fence: not waited for", unpausedPools,
		func(p Pool) bool { return !p.pauseObserved() },
		func() bool { return false }),
	mutant.Of("fence: a pool that was restored may have nodes left", unpausedPools,
		func(p Pool) bool { return p.fullyUpdated() },
		func() bool { return true }),
	mutant.Of("node: at rest before its daemon says so", Node.done,
		func(n Node) bool { return n.State == stateDone },
		func() bool { return true }),
	// The proofs.
	mutant.Of("proof: some are missing", awaitProofs,
		func(transfers Transfers) bool { return transfers.Verified < transfers.Total },
		func(transfers Transfers) bool { return transfers.Verified < 0 }),
	mutant.Of("proof: of any age", awaitProofs,
		func(transfers Transfers, bound time.Time) bool {
			return transfers.Total > 0 && transfers.OldestProof.Before(bound)
		},
		func() bool { return false }),
	mutant.Of("proof: good for a day", maxProofAge,
		func() time.Duration { return time.Minute },
		func() time.Duration { return time.Hour }),
	mutant.Of("proof: of another plan", awaitProofs,
		func(transfers Transfers, plan PlanSummary) bool { return transfers.PlanDigest != plan.Digest },
		func() bool { return false }),
	mutant.Of("proof: one lost reference is none", checkPlan,
		func(plan PlanSummary) bool { return plan.Lost > 0 },
		func(plan PlanSummary) bool { return plan.Lost > 1 }),
	mutant.Of("proof: from before the pause", verifyImages,
		func(started *metav1.Time) bool { return started != nil },
		func(started *metav1.Time) bool { return started != nil && false }),
	// The mirror sets.
	mutant.Of("apply: while a node is updating", safeToApply,
		func(o Observed, pools []Pool) []Blocker { return updatingBlockers(o, pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("apply: while a pool is open", safeToApply,
		func(o Observed, pools []Pool) []Blocker { return unpausedPools(o, pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("apply: without the intent on record", applyMirrorSets,
		func(o Observed, plan PlanSummary, sets MirrorSets) bool {
			return o.Record.AppliedPlanHash != plan.Digest || writeIntentMissing(o, sets)
		},
		func() bool { return false }),
	mutant.Of("apply: over somebody else's set", foreignSets,
		func(s kindState) bool { return s.state == SetForeign },
		func() bool { return false }),
	mutant.Of("render: the previous configuration is somebody else's", awaitRendering,
		func() RegistriesMatch { return MatchesBefore },
		func() RegistriesMatch { return RegistriesMatch("none") }),
	mutant.Of("render: any other configuration is released", awaitRendering,
		func(p Pool) RegistriesMatch { return p.Registries },
		func(p Pool) RegistriesMatch {
			return map[bool]RegistriesMatch{true: MatchesPlanned, false: p.Registries}[p.Registries == MatchesOther]
		}),
	mutant.Of("render: riders come along", pendingChangeBlockers,
		func(p Pool) bool { return !p.fullyUpdated() },
		func(p Pool) bool { return p.fullyUpdated() }),
	// Restoring.
	mutant.Of("restore: with nodes left", restorePools,
		func(p Pool) bool { return !p.fullyUpdated() },
		func() bool { return false }),
	mutant.Of("restore: without the fact on record", restorePool,
		func(rec v1alpha1.PoolRecord) bool { return !rec.Restored },
		func() bool { return false }),
	mutant.Of("restore: a paused pool with nodes left", restorePausedPools,
		func(p Pool, o Observed) bool { return !p.fullyUpdated() && !pendingChangesNotOurs(o, p) },
		func() bool { return false }),
	mutant.Of("restore: what is queued is harmless without a deletion", pendingChangesNotOurs,
		func(o Observed) bool { return o.Rollout.Deleting },
		func() bool { return true }),
	mutant.Of("restore: what is queued is harmless while our set exists", pendingChangesNotOurs,
		func(sets MirrorSets) bool { return !sets.anyPresent() },
		func(sets MirrorSets) bool { return (sets.anyPresent() || !sets.anyPresent()) }),
	mutant.Of("restore: what is queued is harmless whatever it means", pendingChangesNotOurs,
		func(p Pool) bool { return p.Registries == MatchesBefore },
		func() bool { return true }),
	mutant.Of("restore: what is queued is harmless after a release", pendingChangesNotOurs,
		func(p Pool) bool { return neverReleased(p) },
		func() bool { return true }),
	mutant.Of("settled: one node is enough", Pool.fullyUpdated,
		func(p Pool) bool { return p.Updated() == len(p.Nodes) },
		func(p Pool) bool { return p.Updated() > 0 }),
	mutant.Of("record: a later look replaces what was before", PoolAdded.apply,
		func(r *v1alpha1.Record, f PoolAdded) bool { return poolRecord(*r, f.Pool.Name) == nil },
		func() bool { return true }),
	// Other people's pools, and other rollouts.
	mutant.Of("pause: another rollout's pool", toPause,
		func(p Pool) bool { return p.ForeignOwner != "" },
		func() bool { return false }),
	mutant.Of("pause: a pool that its user has paused", toPause,
		func(p Pool, rec *v1alpha1.PoolRecord) bool {
			return p.Paused && (rec == nil || !pauseRecordLost(p, *rec))
		},
		func(p Pool, rec *v1alpha1.PoolRecord) bool { return p.Paused && rec == nil }),
	mutant.Of("pause: a pause record that was never ours is lost", pauseRecordLost,
		func(p Pool) bool { return p.PausedByUs },
		func() bool { return true }),
	mutant.Of("preflight: a pool that its user has paused", awaitPoolsUpdated,
		func(p Pool) bool { return p.Paused },
		func() bool { return false }),
	mutant.Of("preflight: before a rollout that has begun", awaitOtherRollouts,
		func(a OtherRollout, b OtherRollout) int { return -compareBool(a.active(), b.active()) },
		func(a OtherRollout, b OtherRollout) int { return compareBool(a.active(), b.active()) }),
	mutant.Of("preflight: before a rollout that has begun earlier", awaitOtherRollouts,
		func(a OtherRollout, b OtherRollout) int { return a.ActiveSince.Compare(b.ActiveSince) },
		func(b OtherRollout, a OtherRollout) int { return b.ActiveSince.Compare(a.ActiveSince) }),
	mutant.Of("rollback: a complete rollout keeps its old place", RollbackStarted.apply,
		func(r *v1alpha1.Record) bool { return r.CompletedGeneration != 0 },
		func(r *v1alpha1.Record) bool { return r.CompletedGeneration != 0 && false }),
	mutant.Of("preflight: during an upgrade", awaitUpgrade,
		func(cluster Cluster) bool { return cluster.Upgrading == "" },
		func() bool { return true }),
	// The end and the way back.
	mutant.Of("finalizer: with pools held", needsRestore,
		func(pools []Pool) bool { return anyPauseRecord(pools) },
		func() bool { return false }),
	mutant.Of("finalizer: with the policy left behind", needsRestore,
		func(o Observed) bool { return policyInCluster(o) },
		func() bool { return false }),
	mutant.Of("deletion: half way", mustComplete,
		func(sets MirrorSets) bool {
			if sets.anyPresent() {
				return true
			}
			return sets.Conflict == "" // for the compiler
		},
		func() {}),
	mutant.Of("rollback: decided again and again", startRollback,
		func(o Observed) bool { return rollingBack(o) },
		func() bool { return false }),
	mutant.Of("abort: after nodes were reached", abort,
		func(o Observed, reached int) bool { return o.Record.AppliedPlanHash == "" || reached == 0 },
		func() bool { return true }),
	mutant.Of("rollback: any node that moves is stuck", Pool.stuckNodes,
		func(n Node, rendered bool, p Pool, stage string) bool {
			return n.CurrentConfig != "" &&
				(!rendered || (n.DesiredConfig != p.Rendered && (stage == "Draining" || stage == "Degraded")))
		},
		func(n Node, rendered bool, p Pool, stage string) bool {
			return n.CurrentConfig != "" &&
				(rendered || (n.DesiredConfig != p.Rendered && (stage == "Draining" || stage == "Degraded")))
		}),
	mutant.Of("rollback: its reason changes", RollbackStarted.apply,
		func(r *v1alpha1.Record) bool { return r.Rollback != nil },
		func() bool { return false }),
	// The next reading.
	mutant.Of("recheck: any time later", recheck,
		func(d Decision, latest time.Time) bool { return d.RecheckAt.After(latest) },
		func() bool { return false }),
	// Two passes, and two writes.
	mutant.Of("pass: the second begins without its gate, and is held while it is proven", entryGate,
		func(o Observed) bool { return currentPass(o) == v1alpha1.PassEnforce },
		func() bool { return false }),
	mutant.Of("pass: the first is not watched", enforcePass,
		func(o Observed, until time.Time) bool { return o.Now.Before(until) },
		func() bool { return false }),
	mutant.Of("pass: a deleted rollout goes on to the second", enforcePass,
		func(o Observed) bool { return o.Rollout.Deleting },
		func() bool { return false }),
	mutant.Of("pass: the second begins over a pool that somebody else holds", enforcePass,
		func(pools []Pool) Step { return awaitPoolsUpdated(pools) },
		func(pools []Pool) Step { return awaitPoolsUpdated(pools[:0]) }),
	mutant.Of("writing: what is half written waits for its turn", MirrorSets.partiallyWritten,
		func(w *v1alpha1.PendingWriteRecord, m MirrorSets) bool {
			return w == nil || w.TargetHash != m.DesiredHash || m.upToDate()
		},
		func() bool { return true }),
	mutant.Of("writing: what nobody has begun is finished", MirrorSets.partiallyWritten,
		func(m MirrorSets, w *v1alpha1.PendingWriteRecord) bool {
			return (m.IDMS.upToDate() && m.PresentIDMSHash != w.DigestMirrorsHash) ||
				(m.ITMS.upToDate() && m.PresentITMSHash != w.TagMirrorsHash)
		},
		func() bool { return true }),
	mutant.Of("writing: what clashes with somebody else's set is finished", finishWriting,
		func(sets MirrorSets) bool { return sets.Conflict != "" },
		func() bool { return false }),
	mutant.Of("writing: two writes without a word on record", applyIntent,
		func(sets MirrorSets) bool { return sets.needsTwoWrites() },
		func() bool { return false }),
	mutant.Of("writing: again, without a word on record", applyMirrorSets,
		func(o Observed, sets MirrorSets) bool { return writeIntentMissing(o, sets) },
		func() bool { return false }),
	// The policy.
	mutant.Of("policy: restored while a node is on its way", restorePolicy,
		func(pools []Pool) []Blocker { return pendingReloads(pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("policy: restored, unwanted, while a node is on its way", removePolicy,
		func(pools []Pool) bool { return len(pendingReloads(pools)) > 0 },
		func() bool { return false }),
	mutant.Of("policy: one generation behind is good enough", NodeDisruptionPolicy.inEffect,
		func(p NodeDisruptionPolicy) bool { return p.ObservedGeneration >= p.Generation },
		func() bool { return true }),
	mutant.Of("policy: not in effect", ensurePolicy,
		func(p NodeDisruptionPolicy) bool { return !p.inEffect() },
		func() bool { return false }),
	mutant.Of("policy: what the user has now is not on record", installPolicy,
		func(rec *v1alpha1.NodeDisruptionPolicyRecord, p NodeDisruptionPolicy) bool {
			return rec.Previous != p.Entry && !p.Ours
		},
		func() bool { return false }),
	mutant.Of("policy: restored without the fact on record", writeUserPolicy,
		func(o Observed) bool { return !o.Record.NodeDisruptionPolicy.Restored },
		func() bool { return false }),
	mutant.Of("policy: written while a pool is open", installPolicy,
		func(o Observed, pools []Pool) []Blocker { return unpausedPools(o, pools) },
		func() []Blocker { return []Blocker(nil) }),
	mutant.Of("policy: a pool stays open when it is gone", mustRepause,
		func(d Decision) bool { return d.Phase == PhasePolicy },
		func() bool { return false }),
	mutant.Of("policy: left behind at the end", restorePools,
		func(o Observed, pools []Pool) bool { return !nodesLeft(o, pools) },
		func() bool { return false }),
}
