package rollout

import (
	"time"
)

// amendment changes a decision that the guards and the phases have made, whatever the phase is.
type amendment struct {
	name string
	// about is the row's text on the page.
	about string
	// amend gets the decision as the guards and phases made it, which says what goes on, and as the
	// amendments above have left it.
	amend func(o Observed, made, d Decision) Decision
}

// amendments are made in this order. Closures come after remedies, because they take out whatever
// is disruptive; the time of the next reading comes last, because it depends on whether anything is
// left to do.
var amendments = []amendment{
	{"SweepCanary", "deletes pull check pods that nothing waits for any more; the end is put on record after that",
		func(o Observed, _, d Decision) Decision { return cleanUpCanaryPulls(o, d) }},
	{"Remedies", "carries on the remedies on record, undoes those that are not wanted any more, and begins the next one; adds what blocks drains",
		func(o Observed, _, d Decision) Decision { return remediate(o, d) }},
	{"Close", "pauses a pool again that was open for its nodes, or that somebody unpaused, before anything else; takes disruptive actions out",
		func(o Observed, made, d Decision) Decision {
			return repauseFirst(d, repauseActions(o, mustRepause(o, made)))
		}},
	{"Retry", "tries again what has failed when a request asks for it",
		func(o Observed, _, d Decision) Decision { return addRetry(o, d) }},
	{"Recheck", "bounds the time of the next reading: at most a minute while there is something to do",
		func(o Observed, _, d Decision) Decision {
			d.RecheckAt = recheck(d, o.Now)
			return d
		}},
}

// amended goes through the amendments in order.
func amended(o Observed, made Decision) Decision {
	d := made
	for _, a := range amendments {
		d = a.amend(o, made, d)
	}
	return d
}

// maxRecheckInterval is the longest time between two readings while there is something to do (I7).
const maxRecheckInterval = time.Minute
