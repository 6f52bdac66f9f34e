package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// releaseNodes lets the nodes take the new configuration one at a time, or a few where that is
// allowed, stage by stage: intent on record, the release, the nodes that took it watched to their
// end, their pods back, and only then the next.
func releaseNodes(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	if o.Record.Release != nil {
		return followRelease(o, pools, *o.Record.Release)
	}
	if unrecorded, found := unrecordedRelease(o, pools); found {
		return Do{Facts: []Fact{ReleaseIntended{Release: unrecorded}},
			Why: "taking up the release that the pause record of pool " + unrecorded.Pool + " tells of"}
	}
	if updating := updatingBlockers(o, pools); len(updating) > 0 {
		return Wait{Blockers: updating}
	}
	stages := effectiveStages(o, pools)
	stage, p, ok := nextStage(o, stages, pools)
	if !ok {
		return finishReleases(o, pools)
	}
	if step := awaitPullsOnNodes(o, pools); step != nil {
		return step
	}
	if step := awaitSoak(o, stages, pools, stage); step != nil {
		return step
	}
	if step := consent(o, stage.Name); step != nil {
		return step
	}
	if step := safeToRelease(o, pools, p); step != nil {
		return step
	}
	if step := awaitForecast(o, p); step != nil {
		return step
	}
	size := batchSize(o, stage, p)
	if step := stepDown(o, p, size); step != nil {
		return step
	}
	return recordIntent(o, p, size)
}

// recordIntent puts the release on record before anything is done for it (I4).
func recordIntent(o Observed, p Pool, size int) Step {
	workloads, ok := o.Workloads.Get()
	if !ok {
		return waitForRead("Workloads", o.Workloads.Why())
	}
	r := v1alpha1.ReleaseRecord{
		Pool: p.Name, IntendedAt: *apiTime(o.Now), TargetConfig: p.Rendered,
		UpdatedNodes:     int32(p.CountDesired(p.Rendered)),
		UnreadyWorkloads: unreadyNow(workloads),
	}
	if size > 1 {
		r.NodeCount = int32(size)
	}
	what := "release one more"
	if size > 1 {
		what = fmt.Sprintf("release %d more", size)
	}
	if o.Rollout.Targeted {
		r.TargetNodes = namesOf(nextNodes(o, p, size))
		what = "release " + joinNodeNames(r.TargetNodes)
	}
	return Do{
		Facts: []Fact{ReleaseIntended{Release: r}},
		Why: fmt.Sprintf("pool %s: %d of %d nodes done, about to %s", p.Name, p.Updated(), len(p.Nodes), what) +
			sizeLimitReason(o, p, size),
	}
}

// finishReleases ends the releases. Should nodes be left that cannot be released (down, cordoned,
// in a pool that somebody else holds), the pools that are whole are restored all the same, and
// the others are waited for by name.
func finishReleases(o Observed, pools []Pool) Step {
	if !allPoolsUpdated(pools) {
		step := restorePools(o)
		if _, all := step.(Done); !all {
			return step
		}
	}
	messages := append([]string{fmt.Sprintf("%d nodes run the planned configuration", countUpdated(pools))},
		pullSummaries(o)...)
	return Done{Message: strings.Join(messages, "; ")}
}

// effectiveStages are the stages of the spec, followed by every pool that they do not finish. No two
// have the same name.
func effectiveStages(o Observed, pools []Pool) []Stage {
	stages := slices.Clone(o.Rollout.Stages)
	if len(stages) == 0 {
		stages = defaultStages(pools, o.Rollout.Soak)
	}
	for _, p := range pools {
		stages = append(stages, Stage{Pool: p.Name, Soak: o.Rollout.Soak})
	}
	nameStages(stages)
	return stages
}

// nameStages names the stages that have no name after their pool and their place among its stages:
// worker-1, worker-2. A name that the user has given to another stage is passed over, because one
// approval would open both gates. Example: of the stages {pool worker}, {pool worker, name
// worker-1} the first is worker-2.
func nameStages(stages []Stage) {
	taken := map[string]bool{}
	for _, s := range stages {
		taken[s.Name] = true
	}
	count := map[string]int{}
	for i := range stages {
		s := &stages[i]
		count[s.Pool]++
		if s.Name != "" {
			continue
		}
		for n := count[s.Pool]; s.Name == "" || taken[s.Name]; n++ {
			s.Name = fmt.Sprintf("%s-%d", s.Pool, n)
		}
		taken[s.Name] = true
	}
}

// arbiterPool holds the third member of etcd on a control plane of two masters. The MCO updates it
// after the masters, and so do we.
const arbiterPool = "arbiter"

// defaultStages: one canary of each worker pool, then the control plane (while it is paused with
// pending configuration the machine-config ClusterOperator is Degraded, so that is kept short),
// then the rest.
func defaultStages(pools []Pool, soak time.Duration) []Stage {
	var canaries, control []Stage
	pools = slices.Clone(pools)
	slices.SortStableFunc(pools, func(a, b Pool) int {
		return compareBool(a.Name == arbiterPool, b.Name == arbiterPool)
	})
	for _, p := range pools {
		if p.ControlPlane {
			control = append(control, Stage{Pool: p.Name, Soak: soak})
			continue
		}
		canaries = append(canaries, Stage{Pool: p.Name, Nodes: 1, Soak: soak})
	}
	return append(canaries, control...)
}

// nextStage is the first stage that is not reached and whose pool has a node which can take it. A
// pool that somebody else has paused is passed over; it is named once the others are done.
func nextStage(o Observed, stages []Stage, pools []Pool) (Stage, Pool, bool) {
	for _, s := range stages {
		i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == s.Pool })
		if i < 0 {
			continue
		}
		if p := pools[i]; p.PauseRecord != nil && !stageReached(o, s, pools) {
			return s, p, true
		}
	}
	return Stage{}, Pool{}, false
}

// intentAge is how long an intent may wait to be carried out. What it remembers of the workloads is
// about the moment before the release; after a long hold it is taken anew.
const intentAge = time.Minute

// carryOutRelease carries the intent out: by an unpause window, or by telling the nodes that it
// names.
func carryOutRelease(o Observed, pools []Pool, p Pool, r v1alpha1.ReleaseRecord) Step {
	if step := consent(o); step != nil {
		return step
	}
	if p.PauseRecord == nil {
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "pool " + p.Name + " is not held by this rollout any more"}
	}
	if p.pausedDuringWindow() {
		return Wait{Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonPoolNotReady, fmt.Sprintf(
			"was paused by %q while it was open for a release, which is taken as a stop: unpause it to go on (the rollout pauses it again "+
				"at once), and use spec.state Held for the next stop", p.PausedBy))}}
	}
	if step := awaitPullsOnNodes(o, pools); step != nil { // an intent outlives the process that has seen the proof
		return step
	}
	if step := safeToRelease(o, pools, p); step != nil {
		return step
	}
	if step := awaitForecast(o, p); step != nil {
		return step
	}
	if size := max(int(r.NodeCount), len(r.TargetNodes)); maxConcurrentDrains(o, p, size) < size {
		return Do{Facts: []Fact{ReleaseEnded{}},
			Why: fmt.Sprintf("%s of pool %s cannot be drained at the same time any more%s; choosing anew",
				nodeCountText(size), p.Name, sizeLimitReason(o, p, maxConcurrentDrains(o, p, size)))}
	}
	if o.Now.Sub(r.IntendedAt.Time) > intentAge {
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "the release of pool " + p.Name +
			" was held for long; looking again at what it would meet"}
	}
	if len(r.TargetNodes) > 0 {
		return targetNodes(o, p, r)
	}
	return openUnpauseWindow(o, p, r)
}

// openUnpauseWindow is one patch that unpauses, makes room for exactly as many more nodes as the
// release is for, and carries its own deadline. The limit of the pool is looked at once more: nodes
// may have gone since the intent.
func openUnpauseWindow(o Observed, p Pool, r v1alpha1.ReleaseRecord) Step {
	size := min(max(1, int(r.NodeCount)), maxConcurrent(o, p))
	record := *p.PauseRecord
	record.Release = newUnpauseWindow(o, p, r, size)
	record.Release.UnavailableBefore = p.unavailable()
	record.Release.Deadline = o.Now.Add(unpauseWindowTime(len(p.Nodes))).UTC().Truncate(time.Second)
	maxUnavailable := baseline(o, p) + len(p.stuckNodes(o)) + size
	return Do{
		Actions: []Action{ReleaseNodes{Pool: p.Name, MaxUnavailable: maxUnavailable, Record: record}},
		Why: fmt.Sprintf("releasing %s of pool %s: %d of %d done, room for %d unavailable", nodeCountText(size),
			p.Name, p.Updated(), len(p.Nodes), maxUnavailable),
	}
}

// newUnpauseWindow is what the pause record says of the release.
func newUnpauseWindow(o Observed, p Pool, r v1alpha1.ReleaseRecord, size int) *UnpauseWindow {
	out := &UnpauseWindow{IntendedAt: r.IntendedAt.UTC(), Target: r.TargetConfig, UpdatedBefore: int(r.UpdatedNodes),
		StuckBefore: len(p.stuckNodes(o))}
	if size > 1 {
		out.Size = size
	}
	return out
}

// safeToRelease holds a release of this pool: while anything moves that should not, and for the
// control plane while the rest of it is not at rest either.
func safeToRelease(o Observed, pools []Pool, p Pool) Step {
	if step := safeToProceed(o, pools); step != nil {
		return step
	}
	if step := noStandby(o, p); step != nil {
		return step
	}
	return controlPlaneReady(o, p)
}

// noStandby holds an unpause window while the leader is the only one of several replicas that is
// ready. Should it die with the pool open, nobody would be there to pause it (I14). One that is the
// only replica by somebody's choice goes on, and so does a release by name, which opens nothing.
// While the operator's own pods cannot be read, both are held: the leader's node is unknown too.
func noStandby(o Observed, p Pool) Step {
	if o.Operator.Unreadable != "" {
		return Wait{Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting,
			"is not opened: the operator's own pods cannot be read, so it is unknown whether another replica would "+
				"pause the pool again should this one fail; it continues when they can be read: "+
				o.Operator.Unreadable)}}
	}
	if o.Rollout.Targeted || o.Operator.Replicas < 2 || len(o.Operator.StandbyNodes) > 0 {
		return nil
	}
	return Wait{Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
		"is not opened: of %d replicas of the operator none is ready but the leader on node %s, so nobody would pause the pool again should it die; "+
			"make another one ready, scale the operator to one replica, or set spec.release.mechanism to Targeted",
		o.Operator.Replicas, o.Operator.LeaderNode))}}
}

// safeToProceed holds while any node of any pool is on its way, while one is down that was not
// before, and while there is a pool of which the MCO could take a node by itself.
func safeToProceed(o Observed, pools []Pool) Step {
	for _, blockers := range [][]Blocker{updatingBlockers(o, pools), newlyUnavailable(o, pools),
		unpausedPools(o, pools)} {
		if len(blockers) > 0 {
			return Wait{Blockers: blockers}
		}
	}
	return nil
}

// unpauseWindowTime is how long a pool stays open for the MCO to pick a node: it looks 5 s after
// the unpause and first taints every waiting node, about two and a half a second (101 s were seen
// with 200 nodes).
func unpauseWindowTime(nodes int) time.Duration {
	return 30*time.Second + time.Duration(nodes)*750*time.Millisecond
}

// active names every node that is on its way to another configuration, in any pool (I11).
func updatingBlockers(o Observed, pools []Pool) []Blocker {
	var out []Blocker
	for _, p := range pools {
		for _, n := range p.progressingNodes(o) {
			out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name,
				Message: updatingMessage(o, p, n)})
		}
	}
	return out
}

func updatingMessage(o Observed, p Pool, n Node) string {
	if n.CurrentConfig == "" {
		return fmt.Sprintf("node %s of pool %s is new, and the MCO has not taken it up yet; no other node is released until it has, or it is deleted", n.Name, p.Name)
	}
	stage := n.UpdateStage(n.DesiredConfig)
	msg := fmt.Sprintf("node %s of pool %s is updating from %s to %s: %s", n.Name, p.Name, n.CurrentConfig,
		n.DesiredConfig, stage)
	if n.CurrentConfig == n.DesiredConfig { // the daemon has written the configuration and is not done yet
		msg = fmt.Sprintf("node %s of pool %s has %s and its update is not complete: %s", n.Name, p.Name,
			n.DesiredConfig, stage)
	}
	if r := o.Record.Release; r != nil && r.UpdateStartedAt != nil && slices.Contains(r.Nodes, n.Name) {
		msg += " since " + r.UpdateStartedAt.UTC().Format(time.RFC3339)
	}
	if blocked, ok := o.blockedDrain(n.Name); ok {
		return blocked.Summary() + "; " + msg
	}
	if n.Reason != "" {
		msg += "; its daemon reports: " + n.Reason
	}
	if n.DrainMessage != "" {
		msg += "; the drain reports: " + n.DrainMessage
	}
	return msg
}

// baseline counts the nodes of the pool that were unavailable before we began and still are: they
// are not ours to count against the budget, and with a plain maxUnavailable of 1 a single one of
// them would stop the MCO for ever (R11). One that a rollback finds stuck on its way is counted
// there, and not twice.
func baseline(o Observed, p Pool) int {
	rec := poolRecord(o.Record, p.Name)
	if rec == nil {
		return 0
	}
	n, stuck := 0, p.stuckNodes(o)
	for _, node := range p.Nodes {
		isStuck := slices.ContainsFunc(stuck, func(s Node) bool { return s.Name == node.Name })
		if !node.available() && !isStuck && unavailableBefore(rec, node.Name) {
			n++
		}
	}
	return n
}

// newlyUnavailable names nodes that went down or were cordoned since the start: the budget is for
// the node that we release, not for theirs (I1).
func newlyUnavailable(o Observed, pools []Pool) []Blocker {
	var out []Blocker
	for _, p := range pools {
		rec, stuck := poolRecord(o.Record, p.Name), p.stuckNodes(o)
		isStuck := func(n Node) bool {
			return slices.ContainsFunc(stuck,
				func(s Node) bool { return s.Name == n.Name })
		}
		for _, n := range p.Nodes {
			if n.Ready && !n.Unschedulable || unavailableBefore(rec, n.Name) || isStuck(n) {
				continue
			}
			out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name,
				Message: unavailableMessage(o, p, n)})
		}
	}
	return out
}

// unavailableMessage tells a node that went down from one that has only just come: machines may be
// born between our releases (R5).
func unavailableMessage(o Observed, p Pool, n Node) string {
	if start := o.Record.StartedAt; start != nil && n.Created.After(start.Time) {
		return fmt.Sprintf("node %s of pool %s is new since %s and is %s; no other node is released until it is ready or deleted",
			n.Name, p.Name, n.Created.UTC().Format(time.RFC3339), unavailableText(n))
	}
	return fmt.Sprintf("node %s of pool %s is %s and was not when the rollout began; no other node is released until it is back or deleted",
		n.Name, p.Name, unavailableText(n))
}

func countUpdated(pools []Pool) int {
	n := 0
	for _, p := range pools {
		n += p.Updated()
	}
	return n
}
