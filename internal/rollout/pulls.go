package rollout

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// pullsOnNodes holds every further release until what matters was pulled under the new configuration by the nodes that have it (I2): by one
// of each kind, and by all of them where that is wanted. nil lets the release go on. On the way back there is nothing to find out by it:
// every node has pulled from there before.
func pullsOnNodes(o Observed, pools []Pool) Step {
	if back(o) || o.Record.CompletedGeneration != 0 || !slices.ContainsFunc(pools, Pool.hasCanary) {
		return nil
	}
	canary, ok := o.Canary.Get()
	if !ok {
		return unreadable("Canary", o.Canary.Why())
	}
	plan, _ := o.Plan.Get() // the phases before this one have read it
	work := []Action{EnsureCanary{Plan: plan.Digest}}
	for _, look := range []func([]Pool) (failed, open []Blocker){canary.byFirstNodes, canary.Preload.byAllNodes} {
		failed, open := look(pools)
		switch {
		case len(failed) > 0:
			return Fail{Reason: v1alpha1.ReasonNodesCannotPull, Blockers: failed, Actions: work}
		case len(open) > 0:
			return Wait{Blockers: open, Actions: work, Until: canary.Until}
		}
	}
	return nil
}

// pulled says what nodes have shown, and been given, by the end; nothing when nothing was.
func pulled(o Observed) []string {
	canary, ok := o.Canary.Get()
	if !ok {
		return nil
	}
	return slices.DeleteFunc([]string{canary.shown(), canary.Preload.given()}, func(text string) bool { return text == "" })
}

// lacking is the end of a message about proofs: "; not asked for: the first of the list and 2 more". It is empty when nothing is lacking.
func lacking(what string, list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; %s: %s", what, list[0])
	default:
		return fmt.Sprintf("; %s: %s and %d more", what, list[0], len(list)-1)
	}
}
