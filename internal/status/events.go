package status

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Event tells people of a transition.
type Event struct {
	Type   string
	Reason string
	Action string
	Note   string
}

// maxNote is the API's limit for the note of an event.
const maxNote = 1000

// Events are the transitions between two statuses: another phase, a stall, its end, a node that was
// taken, a drain that is blocked and one that is not any more. One for each transition, not for
// each look.
func Events(before, after v1alpha1.SafeMirrorRolloutStatus) []Event {
	var out []Event
	ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return nil
	}
	stalled, was := isTrue(after, v1alpha1.ConditionStalled), isTrue(before, v1alpha1.ConditionStalled)
	switch {
	case stalled && (!was || reasonOf(before) != ready.Reason):
		out = append(out, Event{corev1.EventTypeWarning, ready.Reason, string(after.Phase),
			truncateNote(ready.Message)})
	case before.Phase != after.Phase, was && !stalled:
		out = append(out, Event{corev1.EventTypeNormal, string(after.Phase), string(after.Phase),
			truncateNote(ready.Message)})
	}
	out = append(out, nodeEvents(before.Record.Release, after.Record.Release)...)
	out = append(out, blockedDrainEvents(before.BlockedDrains, after.BlockedDrains)...)
	return append(out, remedyEvents(before.Record.Remedies, after.Record.Remedies)...)
}

// nodeEvents tells of each node once, when it is first on the record of its release.
func nodeEvents(before, after *v1alpha1.ReleaseRecord) []Event {
	if after == nil {
		return nil
	}
	var out []Event
	for _, node := range after.Nodes {
		if before == nil || !slices.Contains(before.Nodes, node) {
			out = append(out, Event{corev1.EventTypeNormal, "NodeTaken", "Release", "node " + node + " of pool " +
				after.Pool + " takes " + after.TargetConfig})
		}
	}
	return out
}

func isTrue(s v1alpha1.SafeMirrorRolloutStatus, kind string) bool {
	return meta.IsStatusConditionPresentAndEqual(s.Conditions, kind, metav1.ConditionTrue)
}

func reasonOf(s v1alpha1.SafeMirrorRolloutStatus) string {
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason
	}
	return ""
}

func truncateNote(s string) string { return truncate(s, maxNote) }
