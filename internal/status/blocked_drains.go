package status

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Bounds of the obstacles in the status.
const (
	maxBlockedDrains = 4
	maxLinks         = 8
	maxLinkLength    = 512
)

// blockedDrains tells of the nodes that make no progress. What cannot be seen now stays as it was:
// a look that fails is no news of the drain.
func blockedDrains(before []v1alpha1.BlockedDrain, o rollout.Observed) []v1alpha1.BlockedDrain {
	list, ok := o.BlockedDrains.Get()
	if !ok {
		if release := o.Record.Release; release == nil || rollout.Ended(o.Record, o.Rollout) {
			return nil
		}
		return before
	}
	var out []v1alpha1.BlockedDrain
	for _, d := range list[:min(len(list), maxBlockedDrains)] {
		s := v1alpha1.BlockedDrain{
			Pool: d.Pool, Node: d.Node, Reason: v1alpha1.DrainBlockReason(d.Reason), Transient: d.Reason.Transient(),
			PullFailure: pullCause(d), Since: apiTime(d.Since),
		}
		for _, link := range d.CauseChain[:min(len(d.CauseChain), maxLinks)] {
			s.CauseChain = append(s.CauseChain,
				v1alpha1.CauseLink{Kind: truncate(link.Kind, maxKind), Namespace: truncate(link.Namespace, maxKind),
					Name: truncate(link.Name, maxLinkLength), Message: truncate(link.Message, maxLinkLength)})
		}
		out = append(out, s)
	}
	return out
}

// pullCause is why the first image that counts cannot be pulled.
func pullCause(o rollout.BlockedDrain) v1alpha1.PullFailureCause {
	if o.Reason != rollout.DrainBlockPull {
		return ""
	}
	for _, p := range o.Pods {
		for _, pull := range p.Pulls {
			if pull.Message == o.RootCause() || pull.Cause != rollout.PullOther {
				return v1alpha1.PullFailureCause(pull.Cause)
			}
		}
	}
	return v1alpha1.PullFailureCause(rollout.PullOther)
}

func apiTime(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.NewTime(t.Truncate(time.Second))
}

// blockedDrainEvents are the transitions: what does not pass by itself appears, gets another cause,
// or goes. Words and numbers that change while it lasts are no transition.
func blockedDrainEvents(before, after []v1alpha1.BlockedDrain) []Event {
	var out []Event
	was, is := persistentReasons(before), persistentReasons(after)
	for _, o := range after {
		if _, ok := is[o.Node]; ok && was[o.Node] != is[o.Node] {
			out = append(out, Event{corev1.EventTypeWarning, "DrainBlocked", "Drain", truncateNote(summaryOf(o))})
		}
	}
	for _, o := range before {
		if _, ok := was[o.Node]; ok && is[o.Node] == "" {
			out = append(out, Event{corev1.EventTypeNormal, "DrainUnblocked", "Drain",
				truncateNote("node " + o.Node + " of pool " + o.Pool + " is not held by " + string(o.Reason) +
					" any more")})
		}
	}
	return out
}

// persistentReasons are, by node, the obstacles that do not pass by themselves, each by its cause.
func persistentReasons(list []v1alpha1.BlockedDrain) map[string]string {
	out := map[string]string{}
	for _, o := range list {
		if !o.Transient {
			out[o.Node] = string(o.Reason) + "/" + string(o.PullFailure)
		}
	}
	return out
}

// summaryOf is the chain with its root cause first, as in the blocker: an event may be cut off as
// well.
func summaryOf(o v1alpha1.BlockedDrain) string {
	r := rollout.BlockedDrain{Node: o.Node, Since: o.Since.Time}
	for _, link := range o.CauseChain {
		r.CauseChain = append(r.CauseChain, rollout.CauseLink{Message: link.Message})
	}
	return r.Summary()
}
