package status

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// remedyEvents tell of each remedy that was taken, and of each that has ended, with what it has
// come to.
func remedyEvents(before, after []v1alpha1.RemedyRecord) []Event {
	var out []Event
	for _, r := range after {
		was := v1alpha1.RemedyState("")
		if i := slices.IndexFunc(before, func(b v1alpha1.RemedyRecord) bool { return b.ID == r.ID }); i >= 0 {
			was = before[i].State
		}
		object := r.Kind + " " + r.Name
		switch {
		case r.Namespace != "":
			object = r.Kind + " " + r.Namespace + "/" + r.Name
		case len(r.References) > 0:
			object = r.Kind + " " + strings.Join(r.References, ", ")
		}
		switch {
		case was == r.State:
		case r.State == v1alpha1.RemedyIntended:
			out = append(out, Event{corev1.EventTypeNormal, "Remedy", string(r.Action),
				truncateNote("the drain of node " + r.Node + " makes no progress: " + string(r.Action) + " of " +
					object)})
		case r.State == v1alpha1.RemedyEnded && r.Outcome == v1alpha1.OutcomeChangedElsewhere:
			out = append(out, Event{corev1.EventTypeWarning, "RemedyEnded", string(r.Action),
				truncateNote(object + " was changed by somebody else since " + string(r.Action) +
					", and is left as it is")})
		case r.State == v1alpha1.RemedyEnded:
			out = append(out, Event{corev1.EventTypeNormal, "RemedyEnded", string(r.Action),
				truncateNote(string(r.Action) + " of " + object + " is over: " + string(r.Outcome))})
		}
	}
	return out
}
