package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// rung is one remedy of the ladder. plan returns the record with which it begins, or nil and why it does not apply.
type rung struct {
	action v1alpha1.RemedyAction
	plan   func(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string)
}

// ladder is in the order of v1alpha1.RemedyActions: what disturbs least comes first. Between Relocate and ScaleIngress lies what the rollout
// does anyway: while a drain is held up, no other node is released. After the last come the rollback, if the user wants it, and a person.
func ladder() []rung {
	return []rung{
		{v1alpha1.MirrorMissingImages, mirrorMissing}, {v1alpha1.RestartFailingPods, restartPods}, {v1alpha1.TrustMirrorCA, trustMirror},
		{v1alpha1.Relocate, relocate},
		{v1alpha1.ScaleIngress, scale(v1alpha1.ScaleIngress)}, {v1alpha1.ScaleDeployments, scale(v1alpha1.ScaleDeployments)},
		{v1alpha1.RaiseMaxUnavailable, raiseMaxUnavailable},
	}
}

// grace is how long a drain may be held up by something before anything is done about it. What passes by itself has none: however long a
// virtual machine migrates, it is not helped by us.
func (h Hindrance) grace() (time.Duration, bool) {
	if h.Passing() {
		return 0, false
	}
	switch h {
	case HindrancePull:
		return 5 * time.Second, true // the kubelet tries again after 10, 20, 40 seconds, and in the end every five minutes
	case HindranceUnschedulable, HindranceBudgetZero, HindranceOverlap:
		return 30 * time.Second, true
	case HindranceCrashing, HindranceWebhook, HindranceBudgetStale:
		return 2 * time.Minute, true
	case HindranceNodeLost:
		return 6 * time.Minute, true // the pods of a lost node are deleted after five
	case HindranceNotDraining:
		return 10 * time.Minute, true
	default: // HindranceFinalizer, HindranceUnknown
		return 5 * time.Minute, true
	}
}

// effect is how long the last remedy of a drain is given to work before the next is begun.
func (o Observed) effect(r v1alpha1.RemedyRecord) time.Duration {
	switch {
	case r.Action == v1alpha1.MirrorMissingImages && r.Outcome == v1alpha1.OutcomeHelped && !o.Rollout.remedy(v1alpha1.RestartFailingPods):
		return 5 * time.Minute // the longest back-off of a kubelet
	case r.Action == v1alpha1.RestartFailingPods && r.Outcome == v1alpha1.OutcomeHelped:
		return time.Minute
	case r.Action == v1alpha1.TrustMirrorCA:
		return 3 * time.Minute
	}
	return 0
}

// nextRemedy looks at the drains that are held up, and begins the next remedy for the first that has one left. When none of them has, it
// is a person's turn, with the evidence.
func nextRemedy(o Observed) treatment {
	obstacles, ok := o.Obstacles.Get()
	pools, havePools := o.Pools.Get()
	if !ok || !havePools || o.Record.StartedAt == nil {
		return treatment{}
	}
	var out treatment
	for _, ob := range obstacles {
		grace, matters := ob.Hindrance.grace()
		r := o.Record.Release
		draining, followed := undrained(pools, ob.Node), r != nil && slices.Contains(r.Nodes, ob.Node)
		if !matters || (!draining && !followed) {
			continue
		}
		if due := ob.Since.Add(grace); o.Now.Before(due) {
			out.until = soonest(out.until, due)
			continue
		}
		t := climb(o, ob, draining)
		if t.busy() {
			return t
		}
		out.stalled = out.stalled || t.stalled
		out.blockers = append(out.blockers, t.blockers...)
		out.until = soonest(out.until, t.until)
	}
	return out
}

// climb begins the first remedy for the obstacle that applies and has not been tried. Once the node is drained and only its pods are waited
// for, nothing is disturbed any more to get them back.
func climb(o Observed, ob Obstacle, draining bool) treatment {
	if open := OpenRemedies(o.Record); len(open) > 0 && !relocating(open, ob) {
		return treatment{} // one at a time
	}
	var notes []string
	for _, r := range ladder() {
		if !o.Rollout.remedy(r.action) {
			notes = append(notes, string(r.action)+" is Disabled")
			continue
		}
		if !draining && !harmlessRemedy(r.action) {
			continue
		}
		rec, why := r.plan(o, ob)
		if rec == nil {
			notes = append(notes, fmt.Sprintf("%s: %s", r.action, why))
			continue
		}
		if last, waiting := lastEffect(o, ob, rec); waiting {
			return treatment{until: last, blockers: []Blocker{heldUp(ob, fmt.Sprintf("the last remedy is given until %s to help", last.UTC().Format(time.RFC3339)))}}
		}
		return treatment{facts: []Fact{RemedyBegun{Remedy: *rec}}, until: o.Now,
			why: fmt.Sprintf("the drain of node %s is held up by %s: about to try %s", ob.Node, ob.Hindrance, r.action)}
	}
	if last, waiting := lastEffect(o, ob, nil); waiting {
		return treatment{until: last, blockers: []Blocker{heldUp(ob, fmt.Sprintf("the last remedy is given until %s to help", last.UTC().Format(time.RFC3339)))}}
	}
	if len(OpenRemedies(o.Record)) > 0 {
		return treatment{}
	}
	if !draining {
		return treatment{} // its pods are waited for by name
	}
	return treatment{stalled: true, blockers: []Blocker{heldUp(ob, "no remedy is left: "+strings.Join(append(triedAlready(o, ob), notes...), "; ")+
		". No other node is released, and the rollout goes on by itself once the cause is gone")}}
}

// lastEffect tells whether the newest remedy for this drain may still help, and until when. The next pod is restarted without a wait.
func lastEffect(o Observed, ob Obstacle, next *v1alpha1.RemedyRecord) (until time.Time, waiting bool) {
	for _, r := range attempts(o, ob) {
		if next != nil && next.Kind == "Pod" && r.Kind == "Pod" {
			continue
		}
		if due := r.DecidedAt.Add(o.effect(r)); o.Now.Before(due) && due.After(until) {
			until, waiting = due, true
		}
	}
	return until, waiting
}

// heldUp is the obstacle in one message, its root cause and what is done about it.
func heldUp(ob Obstacle, what string) Blocker {
	cause := string(ob.Hindrance)
	if n := len(ob.Chain); n > 0 {
		cause = fmt.Sprintf("%s %s: %s", ob.Chain[n-1].Kind, ob.Chain[n-1].Name, ob.Chain[n-1].Message)
	}
	return Blocker{Reason: v1alpha1.ReasonDrainBlocked, Kind: "Node", Name: ob.Node, Message: fmt.Sprintf(
		"the drain of node %s is held up since %s by %s (%s); %s", ob.Node, ob.Since.UTC().Format(time.RFC3339), ob.Hindrance, cause, what)}
}

// attempts are the remedies that were tried for this drain: since the node's release, or since the rollback that found it stuck.
func attempts(o Observed, ob Obstacle) []v1alpha1.RemedyRecord {
	var since time.Time
	if r := o.Record.Release; r != nil {
		since = r.IntendedAt.Time
	}
	return slices.DeleteFunc(slices.Clone(o.Record.Remedies), func(r v1alpha1.RemedyRecord) bool {
		return r.Node != ob.Node || r.DecidedAt.Time.Before(since)
	})
}

// tried counts the attempts of an action, for one object when it has a name.
func tried(o Observed, ob Obstacle, action v1alpha1.RemedyAction, name string) int {
	n := 0
	for _, r := range attempts(o, ob) {
		if r.Action == action && (name == "" || r.Name == name || r.UID == name) {
			n++
		}
	}
	return n
}

func triedAlready(o Observed, ob Obstacle) []string {
	var out []string
	for _, r := range attempts(o, ob) {
		out = append(out, fmt.Sprintf("%s of %s ended as %s", r.Action, remedyObject(r), r.Outcome))
	}
	return out[max(0, len(out)-6):]
}

const once = "was tried once for this drain"

// What one remedy names at most: as many references as the record has room for, and none that is longer than a reference can be.
const (
	maxReferences = 8
	maxReference  = 1024
)

// mirrorMissing begins with whatever the waiting pods cannot pull: even when the cause is a login or a certificate, the proof that is made
// with a node's eyes tells whether it still is.
func mirrorMissing(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string) {
	var references []string
	for _, p := range ob.Pods {
		for _, pull := range p.Pulls {
			if !slices.Contains(references, pull.Reference) && len(references) < maxReferences && len(pull.Reference) <= maxReference {
				references = append(references, pull.Reference)
			}
		}
	}
	slices.Sort(references)
	switch {
	case ob.Hindrance != HindrancePull:
		return nil, "no pull is waited for"
	case len(references) == 0:
		return nil, "no reference is named"
	case slices.ContainsFunc(attempts(o, ob), func(r v1alpha1.RemedyRecord) bool {
		return r.Action == v1alpha1.MirrorMissingImages && slices.Equal(r.References, references)
	}):
		return nil, once
	}
	r := remedyRecord(o, ob.Node, v1alpha1.MirrorMissingImages, "Image", "", "", references...)
	return &r, ""
}

// maxRestarts bounds how many pods are restarted for one drain: the pods of a budget, and a few that failed once more.
const maxRestarts = 6

// restartPods deletes the pods that wait in back-off for images which were proven since. Only those that have never run, and that
// somebody replaces (I9).
func restartPods(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string) {
	if ob.Hindrance != HindrancePull {
		return nil, "no pull is waited for"
	}
	why := "no pod waits for a pull"
	for _, p := range ob.Pods {
		switch {
		case len(p.Pulls) == 0:
		case !deletable(p):
			why = fmt.Sprintf("pod %s/%s has a container that has run, or nobody who would replace it", p.Namespace, p.Name)
		case tried(o, ob, v1alpha1.RestartFailingPods, p.UID) > 0:
			why = fmt.Sprintf("pod %s/%s was restarted once", p.Namespace, p.Name)
		case tried(o, ob, v1alpha1.RestartFailingPods, "") >= maxRestarts:
			why = fmt.Sprintf("%d pods were restarted for this drain", maxRestarts)
		case !provenSince(p, provingBegan(o, ob)):
			why = fmt.Sprintf("what pod %s/%s cannot pull was not proven since %s, so another one would fail too", p.Namespace, p.Name, provingBegan(o, ob).UTC().Format(time.RFC3339))
		default:
			r := podRecord(o, ob, v1alpha1.RestartFailingPods, p)
			return &r, ""
		}
	}
	return nil, why
}

// provingBegan is the time from which on a proof says that the cause is gone: that of the last attempt to prove, or the beginning of the
// trouble when there was none.
func provingBegan(o Observed, ob Obstacle) time.Time {
	began := ob.Since
	for _, r := range attempts(o, ob) {
		if r.Action == v1alpha1.MirrorMissingImages && r.DecidedAt.After(began) {
			began = r.DecidedAt.Time
		}
	}
	return began
}

func deletable(p FailingPod) bool { return p.AllWaiting && p.Owner != "" && p.UID != "" }

func provenSince(p FailingPod, t time.Time) bool {
	return !slices.ContainsFunc(p.Pulls, func(pull FailedPull) bool { return pull.Proven.Before(t) })
}

func podRecord(o Observed, ob Obstacle, action v1alpha1.RemedyAction, p FailingPod) v1alpha1.RemedyRecord {
	r := remedyRecord(o, ob.Node, action, "Pod", p.Namespace, p.Name)
	r.UID = p.UID
	return r
}

// offers are what the remedy would find in the cluster for this drain; why says what speaks against those that are refused.
func offers(o Observed, ob Obstacle, action v1alpha1.RemedyAction) (good []Offer, why string) {
	if back(o) {
		return nil, "the rollout goes back, and disturbs nothing else meanwhile"
	}
	if tried(o, ob, action, "") > 0 {
		return nil, once
	}
	if step := consent(o); step != nil {
		return nil, "spec.state is Held, or no maintenance window is open"
	}
	seen, ok := o.Remedies.Get()
	if !ok {
		return nil, "what it would change could not be read: " + o.Remedies.Why()
	}
	why = "there is nothing that it could change"
	for _, f := range seen.Offers {
		switch {
		case f.Node != ob.Node || f.Action != action:
		case f.Refusal != "":
			why = f.Refusal
		default:
			good = append(good, f)
		}
	}
	return good, why
}

func recordOf(o Observed, f Offer, intended string) *v1alpha1.RemedyRecord {
	r := remedyRecord(o, f.Node, f.Action, f.Kind, f.Namespace, f.Name)
	r.UID, r.OriginalValue, r.IntendedValue = f.UID, f.Value, intended
	return &r
}

// trustMirror adds a key and never replaces the ConfigMap: one that goes missing for a moment strips every node of its authorities.
func trustMirror(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string) {
	untrusted := slices.ContainsFunc(ob.Pods, func(p FailingPod) bool {
		return slices.ContainsFunc(p.Pulls, func(pull FailedPull) bool { return pull.Cause == PullUntrusted })
	})
	if !untrusted {
		return nil, "no certificate is distrusted"
	}
	good, why := offers(o, ob, v1alpha1.TrustMirrorCA)
	if len(good) == 0 {
		return nil, why
	}
	return recordOf(o, good[0], good[0].Key), ""
}

// The values of a node that a cordon is about.
const (
	Schedulable = "schedulable"
	Cordoned    = "cordoned"
)

// relocating tells whether a cordon of this drain is in effect and pods that wait on its node are left: they go one after another.
func relocating(open []v1alpha1.RemedyRecord, ob Obstacle) bool {
	return len(open) == 1 && open[0].Action == v1alpha1.Relocate && open[0].Kind == "Node" && open[0].State == v1alpha1.RemedyTaken && open[0].Node == ob.Node
}

// relocate cordons the node on which a pod cannot start, if it could elsewhere, and then deletes what waits there.
func relocate(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string) {
	if ob.Hindrance != HindrancePull {
		return nil, "no pull is waited for"
	}
	if open := OpenRemedies(o.Record); relocating(open, ob) {
		for _, p := range ob.Pods {
			if p.Node == open[0].Name && deletable(p) && tried(o, ob, v1alpha1.Relocate, p.UID) == 0 {
				r := podRecord(o, ob, v1alpha1.Relocate, p)
				return &r, ""
			}
		}
		return nil, "it is under way"
	}
	good, why := offers(o, ob, v1alpha1.Relocate)
	for _, f := range good {
		i := slices.IndexFunc(ob.Pods, func(p FailingPod) bool { return p.Node == f.Name && deletable(p) })
		switch {
		case f.Spares == 0:
			why = "no other node has the image, or pulls it from where it did before"
		case i < 0:
			why = fmt.Sprintf("the pods on node %s have run, or nobody replaces them", f.Name)
		default:
			return recordOf(o, f, Cordoned), ""
		}
	}
	return nil, why
}

// scale gives the workload as many replicas as its budget needs to allow one eviction, if that number exists and there are nodes for it.
func scale(action v1alpha1.RemedyAction) func(Observed, Obstacle) (*v1alpha1.RemedyRecord, string) {
	return func(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string) {
		if ob.Budget == nil {
			return nil, "no PodDisruptionBudget refuses"
		}
		good, why := offers(o, ob, action)
		for _, f := range good {
			replicas, err := strconv.Atoi(f.Value)
			extra, helps := extraReplicas(*ob.Budget, action == v1alpha1.ScaleIngress)
			switch {
			case err != nil:
				why = fmt.Sprintf("%s %s/%s has %q replicas", f.Kind, f.Namespace, f.Name, f.Value)
			case !helps:
				why = fmt.Sprintf("with up to %d more replicas PodDisruptionBudget %s/%s would allow nothing either", maxExtra, ob.Budget.Namespace, ob.Budget.Name)
			case f.Spares < extra:
				why = fmt.Sprintf("%d more replicas would be needed, and they could start on %d nodes", extra, f.Spares)
			default:
				return recordOf(o, f, strconv.Itoa(replicas+extra)), ""
			}
		}
		return nil, why
	}
}

// raiseMaxUnavailable lets go of the stuck node, when a configuration that was corrected since waits for it: the pool has room for one
// more, and the MCO may take a node that has the earlier configuration to the newer one. The pods that could not start there can then.
func raiseMaxUnavailable(o Observed, ob Obstacle) (*v1alpha1.RemedyRecord, string) {
	pools, _ := o.Pools.Get()
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == ob.Pool })
	plan, havePlan := o.Plan.Get()
	if i < 0 || !havePlan {
		return nil, "the pool or the plan is not known"
	}
	p := pools[i]
	corrected := plan.Digest != o.Record.AppliedPlanHash || slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.Name == ob.Node && n.Desired != p.Rendered })
	available := 0
	for _, n := range p.Nodes {
		if n.available() {
			available++
		}
	}
	switch _, why := offers(o, ob, v1alpha1.RaiseMaxUnavailable); {
	case why == once:
		return nil, why
	case back(o):
		return nil, "the rollback does so by itself"
	case consent(o) != nil:
		return nil, "spec.state is Held, or no maintenance window is open"
	case !corrected:
		return nil, "no corrected configuration waits for its nodes"
	case available < 2:
		return nil, fmt.Sprintf("%d nodes of pool %s are available, and one has to stay", available, p.Name)
	}
	r := remedyRecord(o, ob.Node, v1alpha1.RaiseMaxUnavailable, "MachineConfigPool", "", p.Name)
	r.OriginalValue, r.IntendedValue = "room for one node", "room for two nodes"
	return &r, ""
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
