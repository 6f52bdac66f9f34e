package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestRemedyEvents(t *testing.T) {
	in := func(state v1alpha1.RemedyState, outcome v1alpha1.RemedyOutcome) []v1alpha1.RemedyRecord {
		return []v1alpha1.RemedyRecord{{ID: "1", Action: v1alpha1.Relocate, Node: "worker-1", Kind: "Node",
			Name: "worker-0", State: state, Outcome: outcome}}
	}
	begun := Event{"Normal", "Remedy", "Relocate",
		"the drain of node worker-1 makes no progress: Relocate of Node worker-0"}
	cases := map[string]struct {
		before, after []v1alpha1.RemedyRecord
		want          []Event
	}{
		"begun":       {nil, in(v1alpha1.RemedyIntended, ""), []Event{begun}},
		"still begun": {in(v1alpha1.RemedyIntended, ""), in(v1alpha1.RemedyIntended, ""), nil},
		"in effect":   {in(v1alpha1.RemedyIntended, ""), in(v1alpha1.RemedyTaken, ""), nil},
		"over": {in(v1alpha1.RemedyEnding, "Helped"), in(v1alpha1.RemedyEnded, "Helped"),
			[]Event{{"Normal", "RemedyEnded", "Relocate", "Relocate of Node worker-0 is over: Helped"}}},
		"changed by others": {in(v1alpha1.RemedyEnding, ""), in(v1alpha1.RemedyEnded, "ChangedElsewhere"),
			[]Event{{"Warning", "RemedyEnded", "Relocate",
				"Node worker-0 was changed by somebody else since Relocate, and is left as it is"}}},
		"forgotten in the end": {in(v1alpha1.RemedyEnded, "Helped"), nil, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, remedyEvents(c.before, c.after)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
