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
	maxObstacles = 4
	maxLinks     = 8
	maxLink      = 512
)

// obstacles tells of the nodes that do not get on. What cannot be seen now stays as it was: a look that fails is no news of the drain.
func obstacles(before []v1alpha1.BlockedDrain, o rollout.Observed) []v1alpha1.BlockedDrain {
	list, ok := o.Obstacles.Get()
	if !ok {
		if release := o.Record.Release; release == nil || rollout.Ended(o.Record, o.Rollout) {
			return nil
		}
		return before
	}
	var out []v1alpha1.BlockedDrain
	for _, one := range list[:min(len(list), maxObstacles)] {
		s := v1alpha1.BlockedDrain{
			Pool: one.Pool, Node: one.Node, Reason: v1alpha1.DrainBlockReason(one.Hindrance), Transient: one.Hindrance.Passing(), PullFailure: pullCause(one), Since: stamp(one.Since),
		}
		for _, l := range one.Chain[:min(len(one.Chain), maxLinks)] {
			s.CauseChain = append(s.CauseChain, v1alpha1.CauseLink{Kind: cut(l.Kind, maxKind), Namespace: cut(l.Namespace, maxKind), Name: cut(l.Name, maxLink), Message: cut(l.Message, maxLink)})
		}
		out = append(out, s)
	}
	return out
}

// pullCause is why the first image that counts cannot be pulled.
func pullCause(o rollout.Obstacle) v1alpha1.PullFailureCause {
	if o.Hindrance != rollout.HindrancePull {
		return ""
	}
	for _, p := range o.Pods {
		for _, pull := range p.Pulls {
			if pull.Message == o.Root() || pull.Cause != rollout.PullOther {
				return v1alpha1.PullFailureCause(pull.Cause)
			}
		}
	}
	return v1alpha1.PullFailureCause(rollout.PullOther)
}

func stamp(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.NewTime(t.Truncate(time.Second))
}

// obstacleEvents are the transitions: what does not pass by itself appears, gets another cause, or goes. Words and numbers that change
// while it lasts are no transition.
func obstacleEvents(before, after []v1alpha1.BlockedDrain) []Event {
	var out []Event
	was, is := lasting(before), lasting(after)
	for _, o := range after {
		if _, ok := is[o.Node]; ok && was[o.Node] != is[o.Node] {
			out = append(out, Event{corev1.EventTypeWarning, "DrainBlocked", "Drain", note(line(o))})
		}
	}
	for _, o := range before {
		if _, ok := was[o.Node]; ok && is[o.Node] == "" {
			out = append(out, Event{corev1.EventTypeNormal, "DrainUnblocked", "Drain", note("node " + o.Node + " of pool " + o.Pool + " is not held by " + string(o.Reason) + " any more")})
		}
	}
	return out
}

// lasting are, by node, the obstacles that do not pass by themselves, each by its cause.
func lasting(list []v1alpha1.BlockedDrain) map[string]string {
	out := map[string]string{}
	for _, o := range list {
		if !o.Transient {
			out[o.Node] = string(o.Reason) + "/" + string(o.PullFailure)
		}
	}
	return out
}

// line is the chain with its root cause first, as in the blocker: an event may be cut off as well.
func line(o v1alpha1.BlockedDrain) string {
	r := rollout.Obstacle{Node: o.Node, Since: o.Since.Time}
	for _, l := range o.CauseChain {
		r.Chain = append(r.Chain, rollout.Link{Message: l.Message})
	}
	return r.Summary()
}
