package rollout

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// The mechanism Targeted keeps the pool paused and gives the nodes of the batch their configuration
// by name, as the MCO itself would have done. It fails closed by nature (I14): a pool that is never
// open releases nothing when everybody dies. It has no moment in which the MCO could take another
// node, and no fence to wait for. What it costs: the annotation is not an API that is documented
// for others, the nodes that are left get no UpdateInProgress taint, so that evicted pods may land
// on one of them, and everything that the MCO would have checked is for us to check.

// targetNodes tells the nodes of the intent, if each of them can still be told: Ready, schedulable,
// and at rest on something else. Otherwise the batch is chosen anew.
func targetNodes(o Observed, p Pool, r v1alpha1.ReleaseRecord) Step {
	eligible := namesOf(candidates(o, p))
	for _, name := range r.TargetNodes {
		if !slices.Contains(eligible, name) {
			return Do{Facts: []Fact{ReleaseEnded{}}, Why: fmt.Sprintf(
				"node %s of pool %s cannot be released any more: it is gone, not at rest, or not available; choosing anew", name, p.Name)}
		}
	}
	if missing := notInForecast(o, p, r.TargetNodes); len(missing) > 0 {
		return Do{Facts: []Fact{ReleaseEnded{}},
			Why: fmt.Sprintf("nobody has looked ahead at the drain of %s of pool %s; choosing anew",
				joinNodeNames(missing), p.Name)}
	}
	if len(r.TargetNodes) > maxConcurrent(o, p) {
		return Do{Facts: []Fact{ReleaseEnded{}},
			Why: fmt.Sprintf("pool %s has fewer nodes than before and allows %s at once; choosing anew", p.Name,
				nodeCountText(maxConcurrent(o, p)))}
	}
	record := *p.PauseRecord
	record.Release = newUnpauseWindow(o, p, r, len(r.TargetNodes))
	// it is a release that never opens the pool
	record.Release.Nodes, record.Release.Closed = slices.Clone(r.TargetNodes), true
	record.Release.Deadline = r.IntendedAt.UTC()
	return Do{
		Actions: []Action{TargetNodes{Pool: p.Name, Target: r.TargetConfig, Nodes: slices.Clone(r.TargetNodes),
			Record: record}},
		Why: fmt.Sprintf("releasing %s of pool %s, which stays paused: %d of %d done",
			joinNodeNames(r.TargetNodes), p.Name, p.Updated(), len(p.Nodes)),
	}
}

// controlPlaneReady holds a release of the control plane while the rest of it is not at rest: an
// operator that rolls static pods takes a member of etcd or an API server away, and so does the
// drain of a node (R9). On the way back only what passes by itself is waited for: it may be the
// rollout itself that has brought the control plane down.
func controlPlaneReady(o Observed, p Pool) Step {
	if !p.ControlPlane {
		return nil
	}
	problems, ok := o.ControlPlane.Get()
	if !ok {
		return waitForRead("ClusterOperator", o.ControlPlane.Why())
	}
	if rollingBack(o) {
		problems = slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return !p.Transient })
	}
	if len(problems) == 0 {
		return nil
	}
	return Wait{Blockers: toBlockers(problems)}
}
