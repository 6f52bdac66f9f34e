// Package status turns a look, a decision and its outcome into the status of the SafeMirrorRollout. It is pure: the same inputs
// give the same status, and what has not changed keeps its times.
package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Bounds of the lists in the status.
const (
	maxBlockers = 20
	maxPools    = 32
	maxMessage  = 1024
	maxKind     = 63 // of a kind or a namespace
)

// Of computes the status that follows from the look and the decision. failure is the error of an action, if any. The decision's
// facts are taken over all the same: they state intents and what was seen, never that an action has succeeded.
func Of(before v1alpha1.SafeMirrorRolloutStatus, o rollout.Observed, d rollout.Decision, failure error) v1alpha1.SafeMirrorRolloutStatus {
	after := *before.DeepCopy()
	after.ObservedGeneration = o.Rollout.Generation
	after.Record = rollout.Apply(o.Record, d.Facts)
	after.Phase = v1alpha1.RolloutPhase(d.Phase)
	after.Images = images(before.Images, o)
	after.Pools, after.Nodes = pools(before, o)
	if plan, ok := o.Plan.Get(); ok {
		after.PlanHash = plan.Digest
	}
	after.BlockedDrains = obstacles(before.BlockedDrains, o)
	after.Forecast = forecast(before.Forecast, o)
	after.Preload = preload(before.Preload, o)
	if sets, ok := o.Sets.Get(); ok {
		after.Pass = sets.Pass
	}
	after.Blockers = blockers(before.Blockers, d, o.Now, failure)
	setConditions(&after, o, d, failure)
	return after
}

func images(before v1alpha1.ImageCounts, o rollout.Observed) v1alpha1.ImageCounts {
	plan, ok := o.Plan.Get()
	if !ok || o.Record.CompletedGeneration == o.Rollout.Generation {
		return before // unknown, or the end: what was proven on the way is what counts, and nothing is proven any more
	}
	out := v1alpha1.ImageCounts{
		Total: count(plan.Total), Changed: count(plan.Changed), Lost: count(plan.Lost), Accepted: count(plan.Accepted), NoWorse: count(plan.NoWorse),
		Drifted: count(plan.Drifted), Historical: count(plan.Historical), Advisory: count(plan.Advisory),
	}
	out.NodePullsVerified, out.NodePullsDesired = before.NodePullsVerified, before.NodePullsDesired
	if p, ok := o.Probes.Get(); ok && p.Plan == plan.Digest {
		out.NodePullsVerified, out.NodePullsDesired = count(p.Proven), count(p.Wanted)
	}
	out.CanaryPullsVerified, out.CanaryPullsDesired = before.CanaryPullsVerified, before.CanaryPullsDesired
	if c, ok := o.Canary.Get(); ok && len(c.Kinds) > 0 {
		out.CanaryPullsVerified, out.CanaryPullsDesired = 0, 0
		for _, k := range c.Kinds {
			out.CanaryPullsVerified += count(k.Proven + k.Resolved)
			out.CanaryPullsDesired += count(k.Wanted)
		}
	}
	if t, ok := o.Transfers.Get(); ok {
		out.Verified, out.Failed, out.Copied = count(t.Verified), count(t.Failed), count(t.Copied)
		out.BytesCopied = t.Bytes
		if t.Verified < t.Total {
			out.BytesCopied = t.Bytes >> 20 << 20
		}
		out.Summary = fmt.Sprintf("%d/%d", t.Verified, t.Total)
	}
	return out
}

func pools(before v1alpha1.SafeMirrorRolloutStatus, o rollout.Observed) ([]v1alpha1.PoolStatus, v1alpha1.NodeCounts) {
	list, ok := o.Pools.Get()
	if !ok {
		return before.Pools, before.Nodes
	}
	var out []v1alpha1.PoolStatus
	var nodes v1alpha1.NodeCounts
	for _, p := range list {
		updated := 0
		if p.Meaning == rollout.MeansPlanned {
			updated = p.Updated()
		}
		s := v1alpha1.PoolStatus{Name: p.Name, Total: count(len(p.Nodes)), Updated: count(updated), Paused: p.Paused, Rendered: p.Rendered}
		underWay(&s, p, o)
		nodes.Total += s.Total
		nodes.Updated += s.Updated
		if len(out) < maxPools {
			out = append(out, s)
		}
	}
	nodes.Summary = fmt.Sprintf("%d/%d", nodes.Updated, nodes.Total)
	return out, nodes
}

// underWay counts the pool's nodes that are on their way, or whose pods are waited for, and names the first: one that is on its way before one
// that is not any more.
func underWay(s *v1alpha1.PoolStatus, p rollout.Pool, o rollout.Observed) {
	release := o.Record.Release
	moving := false
	for _, n := range p.Nodes {
		stage := n.Stage(n.Desired)
		waited := stage == "Done" && release != nil && slices.Contains(release.Nodes, n.Name)
		if stage == "Done" && !waited {
			continue
		}
		s.Updating++
		switch {
		case !waited && !moving:
			s.Node, s.NodeState, moving = n.Name, v1alpha1.NodeUpdateState(stage), true
		case waited && s.Node == "":
			s.Node, s.NodeState = n.Name, v1alpha1.NodeWaitingForPods
		}
	}
}

// blockers keep the time at which the same object was first in the way.
func blockers(before []v1alpha1.Blocker, d rollout.Decision, now time.Time, failure error) []v1alpha1.Blocker {
	var out []v1alpha1.Blocker
	add := func(b v1alpha1.Blocker) {
		b.Message = shorten(b.Message)
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
		add(v1alpha1.Blocker{Kind: cut(b.Kind, maxKind), Namespace: cut(b.Namespace, maxKind), Name: cut(b.Name, maxMessage), Message: b.Message})
	}
	return out
}

func setConditions(s *v1alpha1.SafeMirrorRolloutStatus, o rollout.Observed, d rollout.Decision, failure error) {
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: shorten(message), ObservedGeneration: o.Rollout.Generation,
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
	set(v1alpha1.ConditionReady, boolean(complete), reason, message)
	set(v1alpha1.ConditionReconciling, boolean(!complete && !stalled), reason, message)
	set(v1alpha1.ConditionStalled, boolean(stalled), reason, message)
	phaseConditions(d, set)
	if at, long := pausedTooLong(o); long {
		set(v1alpha1.ConditionPauseLimitExceeded, metav1.ConditionTrue, v1alpha1.ReasonWaiting, fmt.Sprintf(
			"pools have been held since %s, longer than spec.release.maxPauseSeconds: they get no other change meanwhile, rotated certificates among them; status.blockers says what holds the rollout",
			at.UTC().Format(time.RFC3339)))
	} else {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionPauseLimitExceeded)
	}
}

// pausedTooLong tells since when the first of the pools has been held, if that is longer than the user wants.
func pausedTooLong(o rollout.Observed) (since time.Time, long bool) {
	list, ok := o.Pools.Get()
	if !ok {
		return time.Time{}, false
	}
	for _, p := range list {
		if p.Ledger != nil && (since.IsZero() || p.Ledger.Since.Before(since)) {
			since = p.Ledger.Since
		}
	}
	return since, !since.IsZero() && o.Now.Sub(since) > o.Rollout.MaxPause()
}

// phaseConditions: a phase that was looked at says how it stands; one behind the current phase is pending, whatever it said
// before, because it will have to be satisfied again. A condition of several phases is about the first that is not done.
func phaseConditions(d rollout.Decision, set func(kind string, status metav1.ConditionStatus, reason, message string)) {
	settled := map[string]bool{}
	for _, row := range rollout.Table() {
		if row.Condition == "" || settled[row.Condition] {
			continue
		}
		i := slices.IndexFunc(d.Verdicts, func(v rollout.Verdict) bool { return v.Phase == row.Phase })
		settled[row.Condition] = i < 0 || !d.Verdicts[i].Done
		switch {
		case i < 0:
			set(row.Condition, metav1.ConditionUnknown, v1alpha1.ReasonPending, "not reached: "+row.About)
		case d.Verdicts[i].Done:
			set(row.Condition, metav1.ConditionTrue, v1alpha1.ReasonDone, orElse(d.Verdicts[i].Message, row.About))
		default:
			set(row.Condition, metav1.ConditionFalse, orElse(d.Verdicts[i].Reason, v1alpha1.ReasonProgressing), orElse(d.Verdicts[i].Message, row.About))
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

func boolean(b bool) metav1.ConditionStatus {
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

// shorten cuts between characters, never inside one: the API server refuses a status that is not UTF-8.
func shorten(s string) string { return cut(s, maxMessage) }

func cut(s string, most int) string {
	if s = strings.ToValidUTF8(s, "?"); len(s) <= most {
		return s
	}
	end := most - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// count narrows a number of objects: a cluster has nowhere near two thousand million of anything.
func count(n int) int32 {
	return int32(min(n, 1<<31-1))
}
