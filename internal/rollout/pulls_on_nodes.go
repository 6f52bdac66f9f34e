package rollout

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// awaitPullsOnNodes holds every further release until what matters was pulled under the new
// configuration by the nodes that have it (I2): by one of each kind, and by all of them where that
// is wanted. nil lets the release go on. On the way back there is nothing to find out by it: every
// node has pulled from there before.
func awaitPullsOnNodes(o Observed, pools []Pool) Step {
	if rollingBack(o) || o.Record.CompletedGeneration != 0 || !slices.ContainsFunc(pools, Pool.hasUpdatedNode) {
		return nil
	}
	pulls, ok := o.CanaryPulls.Get()
	if !ok {
		return waitForRead("Canary", o.CanaryPulls.Why())
	}
	plan, _ := o.Plan.Get() // the phases before this one have read it
	ensure := []Action{EnsureCanaryPulls{PlanDigest: plan.Digest}}
	for _, check := range []func([]Pool) (failed, open []Blocker){pulls.blockers, pulls.Preload.blockers} {
		failed, open := check(pools)
		switch {
		case len(failed) > 0:
			return Fail{Reason: v1alpha1.ReasonNodesCannotPull, Blockers: failed, Actions: ensure}
		case len(open) > 0:
			return Wait{Blockers: open, Actions: ensure, RecheckAt: pulls.RecheckAt}
		}
	}
	return nil
}

// pullSummaries says what nodes have shown, and been given, by the end; nothing when nothing was.
func pullSummaries(o Observed) []string {
	pulls, ok := o.CanaryPulls.Get()
	if !ok {
		return nil
	}
	return slices.DeleteFunc([]string{pulls.summary(), pulls.Preload.summary()},
		func(text string) bool { return text == "" })
}

// skippedSuffix is the end of a message about proofs: "; not asked for: the first of the list and 2
// more". It is empty when nothing is lacking.
func skippedSuffix(what string, list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; %s: %s", what, list[0])
	default:
		return fmt.Sprintf("; %s: %s and %d more", what, list[0], len(list)-1)
	}
}
