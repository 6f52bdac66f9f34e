package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// remedy is one remedy of the ladder. plan returns the record with which it begins, or nil and why
// it does not apply.
type remedy struct {
	action v1alpha1.RemedyAction
	plan   func(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string)
}

// orderedRemedies is in the order of v1alpha1.RemedyActions: what disturbs least comes first.
// Between Relocate and ScaleIngress lies what the rollout does anyway: while a drain is blocked, no
// other node is released. After the last come the rollback, if the user wants it, and a person.
func orderedRemedies() []remedy {
	return []remedy{
		{v1alpha1.MirrorMissingImages, planMirroring}, {v1alpha1.RestartFailingPods, planRestart},
		{v1alpha1.TrustMirrorCA, planTrust},
		{v1alpha1.Relocate, planRelocation},
		{v1alpha1.ScaleIngress, planScaling(v1alpha1.ScaleIngress)},
		{v1alpha1.ScaleDeployments, planScaling(v1alpha1.ScaleDeployments)},
		{v1alpha1.RaiseMaxUnavailable, planMaxUnavailable},
	}
}

// gracePeriod is how long a drain may be blocked by something before anything is done about it.
// What passes by itself has none: however long a virtual machine migrates, it is not helped by us.
func (h DrainBlockReason) gracePeriod() (time.Duration, bool) {
	if h.Transient() {
		return 0, false
	}
	switch h {
	case DrainBlockPull:
		// the kubelet tries again after 10, 20, 40 seconds, and in the end every five minutes
		return 5 * time.Second, true
	case DrainBlockUnschedulable, DrainBlockBudgetZero, DrainBlockOverlap:
		return 30 * time.Second, true
	case DrainBlockCrashing, DrainBlockWebhook, DrainBlockBudgetStale:
		return 2 * time.Minute, true
	case DrainBlockNodeLost:
		return 6 * time.Minute, true // the pods of a lost node are deleted after five
	case DrainBlockNotDraining:
		return 10 * time.Minute, true
	default: // DrainBlockFinalizer, DrainBlockUnknown
		return 5 * time.Minute, true
	}
}

// remedyEffectTime is how long the last remedy of a drain is given to work before the next is
// begun.
func (o Observed) remedyEffectTime(r v1alpha1.RemedyRecord) time.Duration {
	switch {
	case r.Action == v1alpha1.MirrorMissingImages && r.Outcome == v1alpha1.OutcomeHelped &&
		!o.Rollout.remedyEnabled(v1alpha1.RestartFailingPods):
		return 5 * time.Minute // the longest back-off of a kubelet
	case r.Action == v1alpha1.RestartFailingPods && r.Outcome == v1alpha1.OutcomeHelped:
		return time.Minute
	case r.Action == v1alpha1.TrustMirrorCA:
		return 3 * time.Minute
	}
	return 0
}

// nextRemedy looks at the drains that are blocked, and begins the next remedy for the first that
// has one left. When none of them has, it is a person's turn, with the evidence.
func nextRemedy(o Observed) remediation {
	drains, ok := o.BlockedDrains.Get()
	pools, havePools := o.Pools.Get()
	if !ok || !havePools || o.Record.StartedAt == nil {
		return remediation{}
	}
	var out remediation
	for _, blocked := range drains {
		grace, persistent := blocked.Reason.gracePeriod()
		r := o.Record.Release
		draining, followed := undrained(pools, blocked.Node), r != nil && slices.Contains(r.Nodes, blocked.Node)
		if !persistent || (!draining && !followed) {
			continue
		}
		if due := blocked.Since.Add(grace); o.Now.Before(due) {
			out.recheckAt = earliest(out.recheckAt, due)
			continue
		}
		t := tryNextRemedy(o, blocked, draining)
		if t.hasWork() {
			return t
		}
		out.stalled = out.stalled || t.stalled
		out.blockers = append(out.blockers, t.blockers...)
		out.recheckAt = earliest(out.recheckAt, t.recheckAt)
	}
	return out
}

// tryNextRemedy begins the first remedy for the obstacle that applies and has not been tried. Once
// the node is drained and only its pods are waited for, nothing is disturbed any more to get them
// back.
func tryNextRemedy(o Observed, blocked BlockedDrain, draining bool) remediation {
	if open := OpenRemedies(o.Record); len(open) > 0 && !relocationActive(open, blocked) {
		return remediation{} // one at a time
	}
	var notes []string
	for _, r := range orderedRemedies() {
		if !o.Rollout.remedyEnabled(r.action) {
			notes = append(notes, string(r.action)+" is Disabled")
			continue
		}
		if !draining && !nonDisruptive(r.action) {
			continue
		}
		rec, why := r.plan(o, blocked)
		if rec == nil {
			notes = append(notes, fmt.Sprintf("%s: %s", r.action, why))
			continue
		}
		if last, waiting := awaitLastRemedy(o, blocked, rec); waiting {
			return remediation{recheckAt: last,
				blockers: []Blocker{blockedDrainBlocker(blocked,
					fmt.Sprintf("the last remedy is given until %s to help", last.UTC().Format(time.RFC3339)))}}
		}
		return remediation{facts: []Fact{RemedyStarted{Remedy: *rec}}, recheckAt: o.Now,
			why: fmt.Sprintf("the drain of node %s is blocked by %s: about to try %s", blocked.Node, blocked.Reason,
				r.action)}
	}
	if last, waiting := awaitLastRemedy(o, blocked, nil); waiting {
		return remediation{recheckAt: last,
			blockers: []Blocker{blockedDrainBlocker(blocked,
				fmt.Sprintf("the last remedy is given until %s to help", last.UTC().Format(time.RFC3339)))}}
	}
	if len(OpenRemedies(o.Record)) > 0 {
		return remediation{}
	}
	if !draining {
		return remediation{} // its pods are waited for by name
	}
	return remediation{stalled: true,
		blockers: []Blocker{blockedDrainBlocker(blocked, "no remedy is left: "+
			strings.Join(append(attemptTexts(o, blocked), notes...), "; ")+
			". No other node is released, and the rollout goes on by itself once the cause is gone")}}
}

// awaitLastRemedy tells whether the newest remedy for this drain may still help, and until when.
// The next pod is restarted without a wait.
func awaitLastRemedy(o Observed, blocked BlockedDrain, next *v1alpha1.RemedyRecord) (until time.Time, waiting bool) {
	for _, r := range attempts(o, blocked) {
		if next != nil && next.Kind == "Pod" && r.Kind == "Pod" {
			continue
		}
		if due := r.DecidedAt.Add(o.remedyEffectTime(r)); o.Now.Before(due) && due.After(until) {
			until, waiting = due, true
		}
	}
	return until, waiting
}

// blockedDrainBlocker is the obstacle in one message, its root cause and what is done about it.
func blockedDrainBlocker(blocked BlockedDrain, what string) Blocker {
	cause := string(blocked.Reason)
	if n := len(blocked.CauseChain); n > 0 {
		cause = fmt.Sprintf("%s %s: %s", blocked.CauseChain[n-1].Kind, blocked.CauseChain[n-1].Name,
			blocked.CauseChain[n-1].Message)
	}
	return Blocker{Reason: v1alpha1.ReasonDrainBlocked, Kind: "Node", Name: blocked.Node, Message: fmt.Sprintf(
		"the drain of node %s is blocked since %s by %s (%s); %s", blocked.Node,
		blocked.Since.UTC().Format(time.RFC3339), blocked.Reason, cause, what)}
}

// attempts are the remedies that were tried for this drain: since the node's release, or since the
// rollback that found it stuck.
func attempts(o Observed, blocked BlockedDrain) []v1alpha1.RemedyRecord {
	var since time.Time
	if r := o.Record.Release; r != nil {
		since = r.IntendedAt.Time
	}
	return slices.DeleteFunc(slices.Clone(o.Record.Remedies), func(r v1alpha1.RemedyRecord) bool {
		return r.Node != blocked.Node || r.DecidedAt.Time.Before(since)
	})
}

// countAttempts counts the attempts of an action, for one object when it has a name.
func countAttempts(o Observed, blocked BlockedDrain, action v1alpha1.RemedyAction, name string) int {
	n := 0
	for _, r := range attempts(o, blocked) {
		if r.Action == action && (name == "" || r.Name == name || r.UID == name) {
			n++
		}
	}
	return n
}

func attemptTexts(o Observed, blocked BlockedDrain) []string {
	var out []string
	for _, r := range attempts(o, blocked) {
		out = append(out, fmt.Sprintf("%s of %s ended as %s", r.Action, remedyObjectName(r), r.Outcome))
	}
	return out[max(0, len(out)-6):]
}

const triedOnce = "was tried once for this drain"

// What one remedy names at most: as many references as the record has room for, and none that is
// longer than a reference can be.
const (
	maxReferences = 8
	maxReference  = 1024
)

// planMirroring begins with whatever the waiting pods cannot pull: even when the cause is a login
// or a certificate, the proof that is made with a node's eyes tells whether it still is.
func planMirroring(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string) {
	var references []string
	for _, p := range blocked.Pods {
		for _, pull := range p.Pulls {
			if !slices.Contains(references, pull.Reference) && len(references) < maxReferences &&
				len(pull.Reference) <= maxReference {
				references = append(references, pull.Reference)
			}
		}
	}
	slices.Sort(references)
	switch {
	case blocked.Reason != DrainBlockPull:
		return nil, "no pull is waited for"
	case len(references) == 0:
		return nil, "no reference is named"
	case slices.ContainsFunc(attempts(o, blocked), func(r v1alpha1.RemedyRecord) bool {
		return r.Action == v1alpha1.MirrorMissingImages && slices.Equal(r.References, references)
	}):
		return nil, triedOnce
	}
	r := remedyRecord(o, blocked.Node, v1alpha1.MirrorMissingImages, "Image", "", "", references...)
	return &r, ""
}

// maxRestarts bounds how many pods are restarted for one drain: the pods of a budget, and a few
// that failed once more.
const maxRestarts = 6

// planRestart deletes the pods that wait in back-off for images which were proven since. Only those
// that have never run, and that somebody replaces (I9).
func planRestart(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string) {
	if blocked.Reason != DrainBlockPull {
		return nil, "no pull is waited for"
	}
	why := "no pod waits for a pull"
	for _, p := range blocked.Pods {
		switch {
		case len(p.Pulls) == 0:
		case !deletable(p):
			why = fmt.Sprintf("pod %s/%s has a container that has run, or nobody who would replace it",
				p.Namespace, p.Name)
		case countAttempts(o, blocked, v1alpha1.RestartFailingPods, p.UID) > 0:
			why = fmt.Sprintf("pod %s/%s was restarted once", p.Namespace, p.Name)
		case countAttempts(o, blocked, v1alpha1.RestartFailingPods, "") >= maxRestarts:
			why = fmt.Sprintf("%d pods were restarted for this drain", maxRestarts)
		case !provenSince(p, proofRequiredSince(o, blocked)):
			why = fmt.Sprintf("what pod %s/%s cannot pull was not proven since %s, so another one would fail too",
				p.Namespace, p.Name, proofRequiredSince(o, blocked).UTC().Format(time.RFC3339))
		default:
			r := podRecord(o, blocked, v1alpha1.RestartFailingPods, p)
			return &r, ""
		}
	}
	return nil, why
}

// proofRequiredSince is the time from which on a proof says that the cause is gone: that of the
// last attempt to prove, or the beginning of the trouble when there was none.
func proofRequiredSince(o Observed, blocked BlockedDrain) time.Time {
	began := blocked.Since
	for _, r := range attempts(o, blocked) {
		if r.Action == v1alpha1.MirrorMissingImages && r.DecidedAt.After(began) {
			began = r.DecidedAt.Time
		}
	}
	return began
}

func deletable(p FailingPod) bool { return p.NeverStarted && p.Owner != "" && p.UID != "" }

func provenSince(p FailingPod, t time.Time) bool {
	return !slices.ContainsFunc(p.Pulls, func(pull FailedPull) bool { return pull.ProvenAt.Before(t) })
}

func podRecord(o Observed, blocked BlockedDrain, action v1alpha1.RemedyAction, p FailingPod) v1alpha1.RemedyRecord {
	r := remedyRecord(o, blocked.Node, action, "Pod", p.Namespace, p.Name)
	r.UID = p.UID
	return r
}

// remedyCandidates are what the remedy would find in the cluster for this drain; why says what
// speaks against those that are refused.
func remedyCandidates(o Observed, blocked BlockedDrain, action v1alpha1.RemedyAction) (candidates []RemedyCandidate,
	why string) {
	if rollingBack(o) {
		return nil, "the rollout rolls back, and disturbs nothing else meanwhile"
	}
	if countAttempts(o, blocked, action, "") > 0 {
		return nil, triedOnce
	}
	if step := consent(o); step != nil {
		return nil, "spec.state is Held, or no maintenance window is open"
	}
	remedies, ok := o.Remedies.Get()
	if !ok {
		return nil, "what it would change could not be read: " + o.Remedies.Why()
	}
	why = "there is nothing that it could change"
	for _, candidate := range remedies.Candidates {
		switch {
		case candidate.Node != blocked.Node || candidate.Action != action:
		case candidate.Refusal != "":
			why = candidate.Refusal
		default:
			candidates = append(candidates, candidate)
		}
	}
	return candidates, why
}

func candidateRecord(o Observed, candidate RemedyCandidate, intended string) *v1alpha1.RemedyRecord {
	r := remedyRecord(o, candidate.Node, candidate.Action, candidate.Kind, candidate.Namespace, candidate.Name)
	r.UID, r.OriginalValue, r.IntendedValue = candidate.UID, candidate.Value, intended
	return &r
}

// planTrust adds a key and never replaces the ConfigMap: one that goes missing for a moment strips
// every node of its authorities.
func planTrust(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string) {
	untrusted := slices.ContainsFunc(blocked.Pods, func(p FailingPod) bool {
		return slices.ContainsFunc(p.Pulls, func(pull FailedPull) bool { return pull.Cause == PullUntrusted })
	})
	if !untrusted {
		return nil, "no certificate is distrusted"
	}
	candidates, why := remedyCandidates(o, blocked, v1alpha1.TrustMirrorCA)
	if len(candidates) == 0 {
		return nil, why
	}
	return candidateRecord(o, candidates[0], candidates[0].Key), ""
}

// The values of a node that a cordon is about.
const (
	Schedulable = "schedulable"
	Cordoned    = "cordoned"
)

// relocationActive tells whether a cordon of this drain is in effect and pods that wait on its node
// are left: they go one after another.
func relocationActive(open []v1alpha1.RemedyRecord, blocked BlockedDrain) bool {
	return len(open) == 1 && open[0].Action == v1alpha1.Relocate && open[0].Kind == "Node" &&
		open[0].State == v1alpha1.RemedyTaken && open[0].Node == blocked.Node
}

// planRelocation cordons the node on which a pod cannot start, if it could elsewhere, and then
// deletes what waits there.
func planRelocation(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string) {
	if blocked.Reason != DrainBlockPull {
		return nil, "no pull is waited for"
	}
	if open := OpenRemedies(o.Record); relocationActive(open, blocked) {
		for _, p := range blocked.Pods {
			if p.Node == open[0].Name && deletable(p) && countAttempts(o, blocked, v1alpha1.Relocate, p.UID) == 0 {
				r := podRecord(o, blocked, v1alpha1.Relocate, p)
				return &r, ""
			}
		}
		return nil, "it is in progress"
	}
	candidates, why := remedyCandidates(o, blocked, v1alpha1.Relocate)
	for _, candidate := range candidates {
		i := slices.IndexFunc(blocked.Pods, func(p FailingPod) bool { return p.Node == candidate.Name && deletable(p) })
		switch {
		case candidate.FeasibleNodes == 0:
			why = "no other node has the image, or pulls it from where it did before"
		case i < 0:
			why = fmt.Sprintf("the pods on node %s have run, or nobody replaces them", candidate.Name)
		default:
			return candidateRecord(o, candidate, Cordoned), ""
		}
	}
	return nil, why
}

// planScaling gives the workload as many replicas as its budget needs to allow one eviction, if
// that number exists and there are nodes for it.
func planScaling(action v1alpha1.RemedyAction) func(Observed, BlockedDrain) (*v1alpha1.RemedyRecord, string) {
	return func(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string) {
		if blocked.Budget == nil {
			return nil, "no PodDisruptionBudget refuses"
		}
		candidates, why := remedyCandidates(o, blocked, action)
		for _, candidate := range candidates {
			replicas, err := strconv.Atoi(candidate.Value)
			extra, helps := extraReplicas(*blocked.Budget, action == v1alpha1.ScaleIngress)
			switch {
			case err != nil:
				why = fmt.Sprintf("%s %s/%s has %q replicas", candidate.Kind, candidate.Namespace, candidate.Name,
					candidate.Value)
			case !helps:
				why = fmt.Sprintf("with up to %d more replicas PodDisruptionBudget %s/%s would allow nothing either",
					maxExtraReplicas, blocked.Budget.Namespace, blocked.Budget.Name)
			case candidate.FeasibleNodes < extra:
				why = fmt.Sprintf("%d more replicas would be needed, and they could start on %d nodes", extra,
					candidate.FeasibleNodes)
			default:
				return candidateRecord(o, candidate, strconv.Itoa(replicas+extra)), ""
			}
		}
		return nil, why
	}
}

// planMaxUnavailable lets go of the stuck node, when a configuration that was corrected since waits
// for it: the pool has room for one more, and the MCO may take a node that has the earlier
// configuration to the newer one. The pods that could not start there can then.
func planMaxUnavailable(o Observed, blocked BlockedDrain) (*v1alpha1.RemedyRecord, string) {
	pools, _ := o.Pools.Get()
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == blocked.Pool })
	plan, havePlan := o.Plan.Get()
	if i < 0 || !havePlan {
		return nil, "the pool or the plan is not known"
	}
	p := pools[i]
	corrected := plan.Digest != o.Record.AppliedPlanHash ||
		slices.ContainsFunc(p.Nodes, func(n Node) bool {
			return n.Name == blocked.Node &&
				n.DesiredConfig != p.Rendered
		})
	available := 0
	for _, n := range p.Nodes {
		if n.available() {
			available++
		}
	}
	switch _, why := remedyCandidates(o, blocked, v1alpha1.RaiseMaxUnavailable); {
	case why == triedOnce:
		return nil, why
	case rollingBack(o):
		return nil, "the rollback does so by itself"
	case consent(o) != nil:
		return nil, "spec.state is Held, or no maintenance window is open"
	case !corrected:
		return nil, "no corrected configuration waits for its nodes"
	case available < 2:
		return nil, fmt.Sprintf("%d nodes of pool %s are available, and one has to stay", available, p.Name)
	}
	r := remedyRecord(o, blocked.Node, v1alpha1.RaiseMaxUnavailable, "MachineConfigPool", "", p.Name)
	r.OriginalValue, r.IntendedValue = "room for one node", "room for two nodes"
	return &r, ""
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
