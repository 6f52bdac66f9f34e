// Package status turns a look, a decision and its outcome into the status of the SafeMirrorRollout.
// It is pure: the same inputs give the same status, and what has not changed keeps its times.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// Bounds of the lists in the status.
const (
	maxBlockers = 20
	maxPools    = 32
	maxMessage  = 1024
	maxKind     = 63 // of a kind or a namespace
)

// Of computes the status that follows from the look and the decision. failure is the error of an
// action, if any. The decision's facts are taken over all the same: they state intents and what was
// seen, never that an action has succeeded.
func Of(before v1alpha1.SafeMirrorRolloutStatus, o rollout.Observed, d rollout.Decision,
	failure error) v1alpha1.SafeMirrorRolloutStatus {
	after := *before.DeepCopy()
	after.ObservedGeneration = o.Rollout.Generation
	after.Record = rollout.Apply(o.Record, d.Facts)
	after.Phase = v1alpha1.RolloutPhase(d.Phase)
	after.Images = imageCounts(before.Images, o)
	after.Pools, after.Nodes = poolStatuses(before, o)
	if plan, ok := o.Plan.Get(); ok {
		after.PlanHash = plan.Digest
	}
	after.BlockedDrains = blockedDrains(before.BlockedDrains, o)
	after.Forecast = forecastStatus(before.Forecast, o)
	after.Preload = preloadStatus(before.Preload, o)
	if sets, ok := o.Sets.Get(); ok {
		after.Pass = sets.Pass
	}
	after.Blockers = blockers(before.Blockers, d, o.Now, failure)
	setConditions(&after, o, d, failure)
	return after
}

func imageCounts(before v1alpha1.ImageCounts, o rollout.Observed) v1alpha1.ImageCounts {
	plan, ok := o.Plan.Get()
	if !ok || o.Record.CompletedGeneration == o.Rollout.Generation {
		return before // unknown, or the end: what was proven on the way is what counts, and nothing is proven any more
	}
	out := v1alpha1.ImageCounts{
		Total: toInt32(plan.Total), Changed: toInt32(plan.Changed), Lost: toInt32(plan.Lost),
		Accepted: toInt32(plan.Accepted), NoWorse: toInt32(plan.NoWorse),
		Drifted: toInt32(plan.Drifted), Historical: toInt32(plan.Historical), Advisory: toInt32(plan.Advisory),
	}
	out.NodePullsVerified, out.NodePullsDesired = before.NodePullsVerified, before.NodePullsDesired
	if p, ok := o.PullChecks.Get(); ok && p.PlanDigest == plan.Digest {
		out.NodePullsVerified, out.NodePullsDesired = toInt32(p.Proven), toInt32(p.Wanted)
	}
	out.CanaryPullsVerified, out.CanaryPullsDesired = before.CanaryPullsVerified, before.CanaryPullsDesired
	if c, ok := o.CanaryPulls.Get(); ok && len(c.Groups) > 0 {
		out.CanaryPullsVerified, out.CanaryPullsDesired = 0, 0
		for _, k := range c.Groups {
			out.CanaryPullsVerified += toInt32(k.Proven + k.ManifestOnly)
			out.CanaryPullsDesired += toInt32(k.Wanted)
		}
	}
	if t, ok := o.Transfers.Get(); ok {
		out.Verified, out.Failed, out.Copied = toInt32(t.Verified), toInt32(t.Failed), toInt32(t.Copied)
		out.BytesCopied = t.Bytes
		if t.Verified < t.Total {
			out.BytesCopied = t.Bytes >> 20 << 20
		}
		out.Summary = fmt.Sprintf("%d/%d", t.Verified, t.Total)
	}
	return out
}

func poolStatuses(before v1alpha1.SafeMirrorRolloutStatus, o rollout.Observed) ([]v1alpha1.PoolStatus,
	v1alpha1.NodeCounts) {
	list, ok := o.Pools.Get()
	if !ok {
		return before.Pools, before.Nodes
	}
	var out []v1alpha1.PoolStatus
	var nodes v1alpha1.NodeCounts
	for _, p := range list {
		updated := 0
		if p.Registries == rollout.MatchesPlanned {
			updated = p.Updated()
		}
		s := v1alpha1.PoolStatus{Name: p.Name, Total: toInt32(len(p.Nodes)), Updated: toInt32(updated),
			Paused: p.Paused, Rendered: p.Rendered}
		nodesInProgress(&s, p, o)
		nodes.Total += s.Total
		nodes.Updated += s.Updated
		if len(out) < maxPools {
			out = append(out, s)
		}
	}
	nodes.Summary = fmt.Sprintf("%d/%d", nodes.Updated, nodes.Total)
	return out, nodes
}

// nodesInProgress counts the pool's nodes that are on their way, or whose pods are waited for, and
// names the first: one that is on its way before one that is not any more.
func nodesInProgress(s *v1alpha1.PoolStatus, p rollout.Pool, o rollout.Observed) {
	release := o.Record.Release
	updating := false
	for _, n := range p.Nodes {
		stage := n.UpdateStage(n.DesiredConfig)
		waitingForPods := stage == "Done" && release != nil && slices.Contains(release.Nodes, n.Name)
		if stage == "Done" && !waitingForPods {
			continue
		}
		s.Updating++
		switch {
		case !waitingForPods && !updating:
			s.Node, s.NodeState, updating = n.Name, v1alpha1.NodeUpdateState(stage), true
		case waitingForPods && s.Node == "":
			s.Node, s.NodeState = n.Name, v1alpha1.NodeWaitingForPods
		}
	}
}

// blockers keep the time at which the same object was first in the way.
func blockers(before []v1alpha1.Blocker, d rollout.Decision, now time.Time, failure error) []v1alpha1.Blocker {
	var out []v1alpha1.Blocker
	add := func(b v1alpha1.Blocker) {
		b.Message = truncateMessage(b.Message)
		b.Since = metav1.NewTime(now.Truncate(time.Second))
		for _, old := range before {
			if old.Kind == b.Kind && old.Namespace == b.Namespace && old.Name == b.Name {
				b.Since = old.Since
			}
		}
		if len(out) < maxBlockers {
			out = append(out, b)
		}
	}
	if failure != nil {
		add(v1alpha1.Blocker{Kind: "Action", Name: string(d.Phase), Message: failure.Error() + "; it is tried again"})
	}
	for _, b := range d.Blockers {
		add(v1alpha1.Blocker{Kind: truncate(b.Kind, maxKind), Namespace: truncate(b.Namespace, maxKind),
			Name: truncate(b.Name, maxMessage), Message: b.Message})
	}
	return out
}

func setConditions(s *v1alpha1.SafeMirrorRolloutStatus, o rollout.Observed, d rollout.Decision, failure error) {
	set := func(kind string, status metav1.ConditionStatus, reason v1alpha1.ConditionReason, message string) {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: string(reason), Message: truncateMessage(message),
			ObservedGeneration: o.Rollout.Generation,
			LastTransitionTime: metav1.NewTime(o.Now.Truncate(time.Second)),
		})
	}
	reason, message := d.Reason, summary(d)
	if failure != nil {
		reason, message = v1alpha1.ReasonWaiting, failure.Error()
	}
	if reason == "" {
		reason = v1alpha1.ReasonProgressing
	}
	stalled, complete := d.Stalled && failure == nil, d.Complete && failure == nil
	set(v1alpha1.ConditionReady, conditionStatus(complete), reason, message)
	set(v1alpha1.ConditionReconciling, conditionStatus(!complete && !stalled), reason, message)
	set(v1alpha1.ConditionStalled, conditionStatus(stalled), reason, message)
	phaseConditions(d, set)
	// the write that follows is a new attempt
	meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionStatusIncomplete)
	if at, tooLong := pausedTooLong(o); tooLong {
		set(v1alpha1.ConditionPauseLimitExceeded, metav1.ConditionTrue, v1alpha1.ReasonWaiting, fmt.Sprintf(
			"pools have been held since %s, longer than spec.release.maxPauseSeconds: they get no other change meanwhile, rotated certificates among them; status.blockers says what holds the rollout",
			at.UTC().Format(time.RFC3339)))
	} else {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionPauseLimitExceeded)
	}
}

// pausedTooLong tells since when the first of the pools has been held, if that is longer than the
// user wants.
func pausedTooLong(o rollout.Observed) (since time.Time, tooLong bool) {
	list, ok := o.Pools.Get()
	if !ok {
		return time.Time{}, false
	}
	for _, p := range list {
		if p.PauseRecord != nil && (since.IsZero() || p.PauseRecord.Since.Before(since)) {
			since = p.PauseRecord.Since
		}
	}
	return since, !since.IsZero() && o.Now.Sub(since) > o.Rollout.MaxPause()
}

// phaseConditions: a phase that was looked at says how it stands; one behind the current phase is
// pending, whatever it said before, because it will have to be satisfied again. A condition of
// several phases is about the first that is not done.
func phaseConditions(d rollout.Decision,
	set func(kind string, status metav1.ConditionStatus, reason v1alpha1.ConditionReason, message string)) {
	notDone := map[string]bool{}
	for _, row := range rollout.PhaseTable() {
		if row.Condition == "" || notDone[row.Condition] {
			continue
		}
		i := slices.IndexFunc(d.PhaseResults, func(v rollout.PhaseResult) bool { return v.Phase == row.Phase })
		notDone[row.Condition] = i < 0 || !d.PhaseResults[i].Done
		switch {
		case i < 0:
			set(row.Condition, metav1.ConditionUnknown, v1alpha1.ReasonPending, "not reached: "+row.Description)
		case d.PhaseResults[i].Done:
			set(row.Condition, metav1.ConditionTrue, v1alpha1.ReasonDone,
				orElse(d.PhaseResults[i].Message, row.Description))
		default:
			set(row.Condition, metav1.ConditionFalse, cmp.Or(d.PhaseResults[i].Reason, v1alpha1.ReasonProgressing),
				orElse(d.PhaseResults[i].Message, row.Description))
		}
	}
}

func summary(d rollout.Decision) string {
	switch {
	case d.Complete:
		return "every node has the declared mirror sets and every pool is as it was before"
	case d.Why != "":
		return string(d.Phase) + ": " + d.Why
	default:
		return string(d.Phase)
	}
}

func conditionStatus(b bool) metav1.ConditionStatus {
	if b {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// truncateMessage makes a text safe to show and keeps at most maxMessage bytes. It cuts between
// characters, never inside one: the API server refuses a status that is not UTF-8. Messages quote
// image references and answers of registries, and kubectl prints them as they are.
func truncateMessage(s string) string { return truncate(s, maxMessage) }

func truncate(s string, most int) string {
	if s = safetext.Clean(s); len(s) <= most {
		return s
	}
	end := most - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// toInt32 narrows a number of objects: a cluster has nowhere near two thousand million of anything.
func toInt32(n int) int32 {
	return int32(min(n, 1<<31-1))
}
