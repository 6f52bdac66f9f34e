package rollout

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// TestProperties decides on thousands of made-up observations and holds each decision to the rules.
func TestProperties(t *testing.T) {
	reached := map[string]int{}
	for seed := range int64(8) {
		g := generator{rand.New(rand.NewSource(seed))}
		for i := range 700 {
			o := g.observed()
			d := Decide(o)
			count(reached, d)
			if why := observationUnchanged(o); why != "" {
				t.Fatalf("seed %d, case %d: the observation has changed: %s", seed, i, why)
			}
			if broken := rules(o, d); len(broken) > 0 {
				text, _ := json.MarshalIndent(o, "", " ")
				t.Fatalf("seed %d, case %d: %v\nphase %s: %s\n%s", seed, i, broken, d.Phase, d.Why, text)
			}
		}
	}
	// A rule that is never put to the test is not kept: every phase, action and fact has to come
	// up.
	for _, name := range []string{
		"ensure-finalizer", "remove-finalizer", "ensure-transfers", "ensure-probes", "ensure-canary", "sweep-canary",
		"pause-pool", "apply-mirror-sets", "release-one", "target-nodes", "step-down", "restore-pool",
		"RolloutStarted", "RollbackStarted", "Retried", "try-again", "PoolAdded", "PoolReclaimed", "ApplyIntended",
		"ReleaseIntended", "NodesStarted", "ReleaseEnded", "PoolRestored", "RolloutCompleted", "RolloutRestarted",
		"save-previous", "MirrorSetsWritten", "PassReached", "PassStarted", "PolicyIntended", "PolicyRestored",
		"finish-mirror-sets", "ensure-policy", "restore-policy",
		"mirror-again", "delete-pod", "add-trust", "cordon", "uncordon", "scale-up", "scale-back", "RemedyStarted",
		"RemedyStateChanged",
		string(PhaseComplete),
	} {
		if reached[name] < 10 {
			t.Errorf("%s came up %d times only", name, reached[name])
		}
	}
	for _, row := range PhaseTable() {
		if reached[string(row.Phase)] < 10 {
			t.Errorf("phase %s came up %d times only", row.Phase, reached[string(row.Phase)])
		}
	}
}

func count(reached map[string]int, d Decision) {
	reached[string(d.Phase)]++
	for _, a := range d.Actions {
		switch a.(type) {
		case EnsureFinalizer, RemoveFinalizer, FinishMirrorSets, EnsurePolicy, RestorePolicy:
			reached[a.Key()]++
		case EnsureTransfers:
			reached["ensure-transfers"]++
		case EnsurePullChecks:
			reached["ensure-probes"]++
		case EnsureCanaryPulls:
			name, _, _ := strings.Cut(a.Key(), "/")
			reached[name]++
		case RetryFailed:
			reached["try-again"]++
		case PausePool:
			reached["pause-pool"]++
		case ApplyMirrorSets:
			reached["apply-mirror-sets"]++
		case ReleaseNodes:
			reached["release-one"]++
		case TargetNodes:
			reached["target-nodes"]++
		case StepDown:
			reached["step-down"]++
		case RestorePool:
			reached["restore-pool"]++
		default:
			reached[strings.Split(a.Key(), "/")[0]]++
		}
	}
	for _, f := range d.Facts {
		name := factNames([]Fact{f})[0]
		for i, c := range name {
			if c == ' ' {
				name = name[:i]
				break
			}
		}
		reached[name]++
	}
}

// rules names the rules that the decision breaks.
func rules(o Observed, d Decision) []string {
	var broken []string
	for _, rule := range []func(Observed, Decision) string{
		deterministic, oneDisruption, factsFirst, knownInputs, applyRule, releaseRule, restoreRule, pauseRule,
		finalizerRule,
		policyRule, writingRule, progress, factsOnce, stillSafe, phaseResultsInOrder, rollbackRequestedRule, remedyRule,
		undoFirst, canaryRule,
	} {
		if why := rule(o, d); why != "" {
			broken = append(broken, why)
		}
	}
	return broken
}

// Nobody rolls back who was not asked to: by a request, by a deletion, or by a node that got stuck.
func rollbackRequestedRule(o Observed, d Decision) string {
	for _, f := range d.Facts {
		b, ok := f.(RollbackStarted)
		if !ok {
			continue
		}
		requested := slices.ContainsFunc(o.Rollout.Requests, func(q Request) bool {
			return q.ID == b.Request && (q.Verb == v1alpha1.RequestRollback || q.Verb == v1alpha1.RequestAbort)
		})
		deleted := o.Rollout.Deleting && o.Rollout.RollbackOnDelete
		stuck := o.Rollout.RollbackOnFailure && o.Record.Release != nil && len(o.Record.Release.Nodes) > 0
		if !requested && !deleted && !stuck {
			return "a rollback that nobody asked for: " + string(b.Reason)
		}
	}
	return ""
}

// No node is released after the first of its kind before the critical images were pulled there
// (I2).
func canaryRule(o Observed, d Decision) string {
	releases := slices.ContainsFunc(d.Actions, func(a Action) bool { _, is := a.(ReleaseNodes); return is }) ||
		slices.ContainsFunc(d.Facts, func(f Fact) bool {
			_, is := f.(ReleaseIntended)
			return is && o.Record.Release == nil && !releaseUnrecorded(o)
		})
	canary, known := o.CanaryPulls.Get()
	if !releases || o.Record.Rollback != nil {
		return ""
	}
	pools, _ := o.Pools.Get()
	if why := preloadRule(canary.Preload, pools); why != "" || canary.Disabled {
		return why
	}
	for _, p := range pools {
		if p.Registries != MatchesPlanned || p.Updated() == 0 {
			continue
		}
		shown := false
		for _, k := range canary.Groups {
			if k.Pool == p.Name && (!k.Selected || k.Failed > 0 || k.Proven+k.ManifestOnly < k.Wanted) {
				return "I2: a release while a canary of pool " + p.Name + " has not pulled"
			}
			shown = shown || k.Pool == p.Name
		}
		if !known || !shown {
			return "I2: a release while nothing was asked of pool " + p.Name
		}
	}
	return ""
}

// No node is released while one that has the planned configuration and can take pods lacks what it
// is to be given (I2).
func preloadRule(l Preload, pools []Pool) string {
	for _, p := range pools {
		if !l.Enabled || p.Registries != MatchesPlanned || p.Updated() == 0 {
			continue
		}
		i := slices.IndexFunc(l.Pools, func(l PreloadPool) bool { return l.Pool == p.Name })
		if i < 0 || l.Pools[i].Failed > 0 || l.Pools[i].Loaded < l.Pools[i].Wanted {
			return "I2: a release while nodes of pool " + p.Name + " lack critical images"
		}
		for _, n := range p.Nodes {
			if n.runs(p.Rendered) && n.Ready && !n.Unschedulable && !slices.Contains(l.Pools[i].Nodes, n.Name) {
				return "I2: a release while nobody has looked at node " + n.Name
			}
		}
	}
	return ""
}

// releaseUnrecorded tells whether a release that is not on record is in progress: then its intent
// is only taken up.
func releaseUnrecorded(o Observed) bool {
	pools, _ := o.Pools.Get()
	_, lost := unrecordedRelease(o, pools)
	return lost
}

// I8.
func deterministic(o Observed, d Decision) string {
	if again := Decide(o); !reflect.DeepEqual(d, again) {
		return "I8: decided otherwise the second time: " + cmp.Diff(d, again)
	}
	return ""
}

// Deciding changes nothing of what was observed.
func observationUnchanged(o Observed) string {
	before, _ := json.Marshal(o)
	Decide(o)
	after, _ := json.Marshal(o)
	return cmp.Diff(string(before), string(after))
}

func disruptive(d Decision) []Action {
	return slices.DeleteFunc(slices.Clone(d.Actions), func(a Action) bool { return !a.Disruptive() })
}

func oneDisruption(_ Observed, d Decision) string {
	if list := disruptive(d); len(list) > 1 {
		return fmt.Sprintf("I3: %v at once", keys(list))
	}
	return ""
}

// I4: what an action relies on is durable before it, so never in the same decision.
func factsFirst(_ Observed, d Decision) string {
	if len(disruptive(d)) > 0 && len(d.Facts) > 0 {
		return fmt.Sprintf("I4: %v together with %v", keys(d.Actions), factNames(d.Facts))
	}
	return ""
}

// I3: nothing is disrupted on the strength of something unknown.
func knownInputs(o Observed, d Decision) string {
	_, cluster := o.Cluster.Get()
	_, spec := o.SpecProblems.Get()
	_, sets := o.Sets.Get()
	_, plan := o.Plan.Get()
	_, transfers := o.Transfers.Get()
	_, pools := o.Pools.Get()
	_, remedies := o.Remedies.Get()
	for _, a := range disruptive(d) {
		if why, is := remedyInputs(a, pools, remedies); is {
			if why != "" {
				return why
			}
			continue
		}
		_, restores := a.(RestorePool)
		ended := restores && (o.Rollout.Deleting || o.Record.CompletedGeneration != 0)
		_, applies := a.(ApplyMirrorSets)
		_, probes := o.PullChecks.Get()
		p, _ := o.Plan.Get()
		asked := !applies || probes || o.Record.AppliedPlanHash == p.Digest
		_, policy := o.NodeDisruptionPolicy.Get()
		switch a.(type) {
		case FinishMirrorSets: // half of it is done already, on the strength of what was known then
			if sets {
				continue
			}
		case RestorePolicy:
			ended = policy
		case EnsurePolicy:
			asked = asked && policy
		}
		known := pools && (ended || (cluster && spec && sets && plan && transfers && asked))
		if !known {
			return "I3: " + a.Key() + " on something unknown"
		}
	}
	return ""
}

// remedyInputs: what disturbs a running cluster rests on the pools and on the object that is
// changed; restoring rests on that object.
func remedyInputs(a Action, pools, remedies bool) (why string, is bool) {
	switch a.(type) {
	case Cordon, AddTrustedCA, ScaleUp:
		if !pools || !remedies {
			why = "I3: " + a.Key() + " on something unknown"
		}
	case ScaleDown:
		if !remedies {
			why = "I3: " + a.Key() + " on something unknown"
		}
	default:
		return "", false
	}
	return why, true
}

// remedyRule: what is done about a drain is on record with its deadline, is wanted by the user, and
// is never the deletion of a pod that is known to have run (I4, I9).
func remedyRule(o Observed, d Decision) string {
	for _, a := range d.Actions {
		r, is := remedyOf(a)
		if !is {
			continue
		}
		i := slices.IndexFunc(o.Record.Remedies, func(have v1alpha1.RemedyRecord) bool { return have.ID == r.ID })
		switch _, undoes := map[string]bool{"Uncordon": true, "ScaleDown": true}[reflect.TypeOf(a).Name()]; {
		case i < 0:
			return "I4: " + a.Key() + " is not on record"
		case undoes && o.Record.Remedies[i].State != v1alpha1.RemedyEnding:
			return a.Key() + " undoes what is in effect"
		case !undoes && o.Record.Remedies[i].State != v1alpha1.RemedyIntended:
			return "I8: " + a.Key() + " is done again"
		case !undoes && !slices.Contains(o.Rollout.Remedies, r.Action):
			return a.Key() + " is not wanted"
		case !undoes && !o.Now.Before(r.Deadline.Time):
			return a.Key() + " comes too late"
		}
		obstacles, _ := o.BlockedDrains.Get()
		for _, blocked := range obstacles {
			for _, p := range blocked.Pods {
				if _, deletes := a.(DeletePod); deletes && p.UID == r.UID && !p.NeverStarted {
					return "I9: " + a.Key() + " of a pod that has run"
				}
			}
		}
	}
	return ""
}

func remedyOf(a Action) (v1alpha1.RemedyRecord, bool) {
	switch a := a.(type) {
	case RetryMirroring:
		return a.Remedy, true
	case DeletePod:
		return a.Remedy, true
	case AddTrustedCA:
		return a.Remedy, true
	case Cordon:
		return a.Remedy, true
	case Uncordon:
		return a.Remedy, true
	case ScaleUp:
		return a.Remedy, true
	case ScaleDown:
		return a.Remedy, true
	}
	return v1alpha1.RemedyRecord{}, false
}

// Nothing that ends a rollout happens while something of a remedy is left (I5).
func undoFirst(o Observed, d Decision) string {
	if endsRollout(d) && len(OpenRemedies(o.Record)) > 0 {
		return fmt.Sprintf("I5: it ends with %d remedies open", len(OpenRemedies(o.Record)))
	}
	return ""
}

// missingProof says what is missing for anything to change under a pod (I2).
func missingProof(o Observed) string {
	plan, _ := o.Plan.Get()
	t, _ := o.Transfers.Get()
	switch {
	case plan.Lost > 0 || plan.PendingChecks > 0:
		return "I2: references are lost or asked about"
	case t.PlanDigest != plan.Digest || !t.Copying || t.Verified < t.Total:
		return "I2: references are not proven"
	case t.Total > 0 && t.OldestProof.Before(o.Now.Add(-maxProofAge)):
		return "I2: a proof is too old"
	case o.Rollout.Held:
		return "held"
	}
	return ""
}

// notStuck tells whether a node that is on its way while the rollout rolls back is more than stuck.
func notStuck(p Pool) func(Node) bool {
	return func(n Node) bool {
		stage := n.UpdateStage(n.DesiredConfig)
		return n.CurrentConfig == "" ||
			(p.Registries == MatchesPlanned &&
				(n.DesiredConfig == p.Rendered || (stage != "Draining" && stage != "Degraded")))
	}
}

// nodesAtRest says which node moves, or could (I11).
func nodesAtRest(o Observed) string {
	pools, _ := o.Pools.Get()
	for _, p := range pools {
		rec := poolRecord(o.Record, p.Name)
		isRestored := rec != nil && rec.Restored && p.PauseRecord == nil
		switch {
		case len(p.updatingNodes()) > 0 &&
			(o.Record.Rollback == nil || slices.ContainsFunc(p.updatingNodes(), notStuck(p))):
			return "I11: a node of pool " + p.Name + " is on its way"
		case isRestored && p.fullyUpdated():
		case !p.Paused:
			return "I11: pool " + p.Name + " is not paused"
		case p.ObservedGeneration < p.Generation:
			return "I11: pool " + p.Name + " is not fenced"
		case p.ForeignOwner != "" || p.Degraded != "" || p.Layered:
			return "pool " + p.Name + " is unfit"
		}
	}
	return ""
}

func applyRule(o Observed, d Decision) string {
	for _, a := range d.Actions {
		if _, ok := a.(ApplyMirrorSets); !ok {
			continue
		}
		plan, _ := o.Plan.Get()
		sets, _ := o.Sets.Get()
		pools, _ := o.Pools.Get()
		switch {
		case o.Record.AppliedPlanHash != plan.Digest:
			return "I4: applied without its intent on record"
		case sets.IDMS == SetForeign || sets.ITMS == SetForeign:
			return "somebody else's mirror set is written over"
		case slices.ContainsFunc(pools, func(p Pool) bool { return !p.Paused }):
			return "I5: applied while a pool is the MCO's own"
		}
		if why := missingProof(o) + nodesAtRest(o); why != "" {
			return a.Key() + ": " + why
		}
	}
	return ""
}

func releaseRule(o Observed, d Decision) string {
	for _, a := range d.Actions {
		if r, ok := a.(TargetNodes); ok {
			if why := targetNodesRule(o, r); why != "" {
				return a.Key() + ": " + why
			}
		}
		r, ok := a.(ReleaseNodes)
		if !ok {
			continue
		}
		pools, _ := o.Pools.Get()
		p := pools[slices.IndexFunc(pools, func(p Pool) bool { return p.Name == r.Pool })]
		intent, pulse := o.Record.Release, r.Record.Release
		missing := len(slices.DeleteFunc(slices.Clone(p.Nodes), Node.available))
		switch {
		case intent == nil || intent.Pool != r.Pool || len(intent.Nodes) > 0 ||
			!intent.IntendedAt.Time.Equal(pulse.IntendedAt):
			return "I4: released without its intent on record"
		case p.PauseRecord == nil:
			return "I5: a pool is opened that is not ours"
		case p.Registries != MatchesPlanned || p.Rendered != intent.TargetConfig || pulse.Target != intent.TargetConfig:
			return "I12: what is released was not planned"
		case r.MaxUnavailable != missing+max(1, pulse.Size) || max(1, pulse.Size) > allowed(o, p):
			return fmt.Sprintf("I1: room for %d with %d missing, for %d of %d", r.MaxUnavailable, missing, pulse.Size,
				allowed(o, p))
		case !pulse.Deadline.After(o.Now) || pulse.Closed:
			return "I14: an unpause window without an end"
		}
		if why := missingProof(o) + nodesAtRest(o); why != "" {
			return a.Key() + ": " + why
		}
	}
	return ""
}

// allowed is I1 in other words: what the user asks for, what the pool had, and one of the control
// plane.
func allowed(o Observed, p Pool) int {
	own := 1
	for _, rec := range o.Record.Pools {
		if rec.Name != p.Name || p.ControlPlane {
			continue
		}
		if v := intstr.Parse(rec.MaxUnavailable); rec.MaxUnavailable != "" {
			own, _ = intstr.GetScaledValueFromIntOrPercent(&v, len(p.Nodes), false)
		}
	}
	return min(max(1, own), max(1, o.Rollout.MaxConcurrent))
}

// targetNodesRule: nodes are told by name only while their pool is paused, at rest, with the intent
// on record, and no more than I1 allows.
func targetNodesRule(o Observed, a TargetNodes) string {
	pools, _ := o.Pools.Get()
	p := pools[slices.IndexFunc(pools, func(p Pool) bool { return p.Name == a.Pool })]
	intent := o.Record.Release
	switch {
	case intent == nil || intent.Pool != a.Pool || len(intent.Nodes) > 0 || !slices.Equal(intent.TargetNodes, a.Nodes):
		return "I4: told without its intent on record"
	case p.PauseRecord == nil || !p.Paused:
		return "I5: nodes of a pool that is not held are told"
	case p.Registries != MatchesPlanned || p.Rendered != intent.TargetConfig || a.Target != intent.TargetConfig:
		return "I12: what is released was not planned"
	case len(a.Nodes) > allowed(o, p):
		return fmt.Sprintf("I1: %d nodes at once, allowed are %d", len(a.Nodes), allowed(o, p))
	case !a.Record.Release.Closed:
		return "I14: a pool that is never open has an open unpause window"
	}
	for _, name := range a.Nodes {
		i := slices.IndexFunc(p.Nodes, func(n Node) bool { return n.Name == name })
		if i < 0 || !p.Nodes[i].available() || p.Nodes[i].DesiredConfig == a.Target {
			return "I1: node " + name + " is told, which is not at rest"
		}
	}
	return missingProof(o) + nodesAtRest(o)
}

// I5: for good, a pool is unpaused only when every node runs its configuration; or when a deleted
// rollout has brought nothing to any node, and what is queued there changes no pull.
func restoreRule(o Observed, d Decision) string {
	for _, a := range d.Actions {
		r, ok := a.(RestorePool)
		if !ok {
			continue
		}
		pools, _ := o.Pools.Get()
		sets, _ := o.Sets.Get()
		p := pools[slices.IndexFunc(pools, func(p Pool) bool { return p.Name == r.Pool })]
		rec := poolRecord(o.Record, r.Pool)
		switch {
		case rec == nil || !rec.Restored:
			return "I4: restored without the fact on record"
		case r.Paused != rec.Paused || r.MaxUnavailable != rec.MaxUnavailable:
			return "I5: restored to other values than those on record"
		case p.PauseRecord == nil:
			return "I5: a pool is restored that is not ours"
		case p.fullyUpdated():
		case o.Rollout.Deleting && !sets.anyPresent() && p.Registries == MatchesBefore && p.PauseRecord.Release == nil:
		default:
			return "I5: unpaused with nodes left"
		}
	}
	return ""
}

// The policy: what was there before is on record before it is changed, no node is released that
// would be drained, and none is in progress when it is restored.
func policyRule(o Observed, d Decision) string {
	p, known := o.NodeDisruptionPolicy.Get()
	pools, _ := o.Pools.Get()
	moves := slices.ContainsFunc(pools, func(p Pool) bool {
		return unpauseWindowOpen(p) ||
			slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.CurrentConfig != "" && !n.done() })
	})
	for _, a := range d.Actions {
		switch a := a.(type) {
		case EnsurePolicy:
			if why := policyWritten(o, p, a); why != "" {
				return why
			}
		case RestorePolicy:
			rec := o.Record.NodeDisruptionPolicy
			if rec == nil || !rec.Restored || p.Record == nil || a.Prior != p.Record.Prior {
				return "I4: the policy is restored without the fact on record"
			}
			if moves {
				return "the policy is restored while a node is on its way"
			}
		case ReleaseNodes:
			if o.Rollout.Reload && (!known || !p.inEffect()) {
				return "a node is released that would be drained"
			}
		case RemoveFinalizer:
			if c, _ := o.Cluster.Get(); c.Unsupported == "" && p.Record != nil {
				return "I5: finalizer removed with the policy left behind"
			}
		}
	}
	return ""
}

func policyWritten(o Observed, p NodeDisruptionPolicy, a EnsurePolicy) string {
	rec := o.Record.NodeDisruptionPolicy
	if rec == nil || rec.Restored || a.Record.Prior != rec.Previous || (p.Entry != rec.Previous && !p.Ours) {
		return "I4: the policy is written, and what was there before is not on record"
	}
	if why := nodesAtRest(o); why != "" || !o.Rollout.Reload || p.ForeignOwner != "" {
		return "the policy is written: " + why
	}
	return ""
}

// I13: what is half written is finished before anything else, and nothing else looks half written.
func writingRule(o Observed, d Decision) string {
	sets, known := o.Sets.Get()
	partial := known && sets.partiallyWritten(o.Record.PendingWrite) && sets.Conflict == "" &&
		sets.IDMS != SetForeign && sets.ITMS != SetForeign
	for _, a := range d.Actions {
		_, finishes := a.(FinishMirrorSets)
		_, pauses := a.(PausePool)
		switch {
		case finishes && !partial:
			return "I13: sets are finished that are not half written"
		case !finishes && !pauses && partial:
			return "I13: " + a.Key() + " comes before the sets are finished"
		}
	}
	return ""
}

// A pause never loses what the pool had before, and never takes a pool over.
func pauseRule(o Observed, d Decision) string {
	pools, _ := o.Pools.Get()
	for _, a := range d.Actions {
		r, ok := a.(PausePool)
		if !ok {
			continue
		}
		p := pools[slices.IndexFunc(pools, func(p Pool) bool { return p.Name == r.Pool })]
		switch have := p.PauseRecord; {
		case p.Paused && have == nil && !p.PausedByUs:
			return "I5: a pool that somebody else has paused is taken over"
		case p.ForeignOwner != "":
			return "I11: another rollout's pool is taken over"
		case have == nil:
		case have.PriorPaused != r.Record.PriorPaused || have.PriorMaxUnavailable != r.Record.PriorMaxUnavailable:
			return "the prior values are lost"
		case r.Record.Repaused > max(1, have.Repaused):
			return "R2: a war of writes"
		}
	}
	return ""
}

func finalizerRule(o Observed, d Decision) string {
	for _, a := range d.Actions {
		if _, ok := a.(RemoveFinalizer); !ok {
			continue
		}
		c, _ := o.Cluster.Get()
		ended := o.Record.CompletedGeneration != 0
		if pools, ok := o.Pools.Get(); c.Unsupported == "" && ((!ok && !ended) || anyPauseRecord(pools)) {
			return "I5: finalizer removed with pools held"
		}
	}
	return ""
}

// I7: progress or a named blocker, and a time at which it is looked at again.
func progress(o Observed, d Decision) string {
	if d.Complete {
		if len(d.Actions)+len(d.Facts)+len(d.Blockers) > 0 || d.Stalled {
			return "complete, and not complete"
		}
		return ""
	}
	switch {
	case len(d.Facts) == 0 && len(d.Blockers) == 0 && len(d.Actions) == 0:
		return "I7: neither progress nor blocker"
	case d.RecheckAt.Before(o.Now) || d.RecheckAt.After(o.Now.Add(time.Minute)):
		return fmt.Sprintf("I7: looked at again at %s", d.RecheckAt)
	case d.Reason == "" || d.Phase == "":
		return "I7: no reason or no phase"
	}
	for _, b := range d.Blockers {
		if b.Kind == "" || b.Name == "" || b.Message == "" {
			return fmt.Sprintf("I7: a blocker without a name: %+v", b)
		}
	}
	return ""
}

// I8: facts that are written twice are as if written once.
func factsOnce(o Observed, d Decision) string {
	once := Apply(o.Record, d.Facts)
	if twice := Apply(once, d.Facts); !reflect.DeepEqual(once, twice) {
		return "I8: " + cmp.Diff(once, twice)
	}
	return ""
}

func stillSafe(o Observed, d Decision) string {
	for _, a := range d.Actions {
		if why, ok := StillSafe(o, a); !ok {
			return a.Key() + " is not safe a moment later: " + why
		}
	}
	return ""
}

func phaseResultsInOrder(o Observed, d Decision) string {
	table := phasesFor(o)
	for i, v := range d.PhaseResults {
		if v.Phase != table[i].name {
			return fmt.Sprintf("verdict %d is of phase %s", i, v.Phase)
		}
		if !v.Done && (i != len(d.PhaseResults)-1 || v.Phase != d.Phase) {
			return fmt.Sprintf("phase %s is not done, and the current one is %s", v.Phase, d.Phase)
		}
	}
	return ""
}
