package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

func statusOf(before v1alpha1.SafeMirrorRolloutStatus, phase rollout.Phase, reason v1alpha1.ConditionReason, why string,
	stalled bool) v1alpha1.SafeMirrorRolloutStatus {
	return Of(before, observation(), rollout.Decision{Phase: phase, Reason: reason, Why: why, Stalled: stalled}, nil)
}

func TestEvents(t *testing.T) {
	none := v1alpha1.SafeMirrorRolloutStatus{}
	planning := statusOf(none, rollout.PhasePlan, v1alpha1.ReasonWaiting, "asking", false)
	lost := statusOf(none, rollout.PhasePlan, v1alpha1.ReasonImagesLost, "one is lost", true)
	unreachable := statusOf(none, rollout.PhaseMirror, v1alpha1.ReasonMirrorUnreachable, "no answer", true)
	taken := statusOf(none, rollout.PhaseRelease, v1alpha1.ReasonWaiting, "drains", false)
	taken.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", Nodes: []string{"worker-0"},
		TargetConfig: "rendered-worker-planned"}
	intended := *taken.DeepCopy()
	intended.Record.Release.Nodes = nil
	another := *taken.DeepCopy()
	another.Record.Release.Nodes = []string{"worker-1"}
	both := *taken.DeepCopy()
	both.Record.Release.Nodes = []string{"worker-0", "worker-1"}
	nodeTaken := func(name string) Event {
		return Event{"Normal", "NodeTaken", "Release", "node " + name + " of pool worker takes rendered-worker-planned"}
	}
	cases := map[string]struct {
		before, after v1alpha1.SafeMirrorRolloutStatus
		want          []Event
	}{
		"the first phase": {none, planning, []Event{{"Normal", "Plan", "Plan", "Plan: asking"}}},
		"nothing new":     {planning, planning, nil},
		"another message": {planning,
			statusOf(planning, rollout.PhasePlan, v1alpha1.ReasonWaiting, "still asking", false), nil},
		"a stall":       {planning, lost, []Event{{"Warning", "ImagesLost", "Plan", "Plan: one is lost"}}},
		"still stalled": {lost, lost, nil},
		"stalled for another reason": {lost, unreachable,
			[]Event{{"Warning", "MirrorUnreachable", "Mirror", "Mirror: no answer"}}},
		"the end of a stall": {lost, planning, []Event{{"Normal", "Plan", "Plan", "Plan: asking"}}},
		"a node":             {intended, taken, []Event{nodeTaken("worker-0")}},
		"the same node":      {taken, taken, nil},
		"another node":       {taken, another, []Event{nodeTaken("worker-1")}},
		"a second node":      {taken, both, []Event{nodeTaken("worker-1")}},
		"two at once":        {intended, both, []Event{nodeTaken("worker-0"), nodeTaken("worker-1")}},
		"a phase and a node": {planning, taken,
			[]Event{{"Normal", "Release", "Release", "Release: drains"}, nodeTaken("worker-0")}},
		"the end of a release": {taken, intended, nil},
		"no status at all":     {none, none, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Events(c.before, c.after)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventNoteIsBounded(t *testing.T) {
	after := statusOf(v1alpha1.SafeMirrorRolloutStatus{}, rollout.PhasePlan, v1alpha1.ReasonWaiting,
		strings.Repeat("ß", 900), false)
	if got := Events(v1alpha1.SafeMirrorRolloutStatus{}, after)[0].Note; len(got) > maxNote ||
		!strings.HasSuffix(got, "ß…") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-5:])
	}
}

// A rollout that looks every second for an hour tells of each transition once.
func TestEventsDoNotRepeat(t *testing.T) {
	s, events := v1alpha1.SafeMirrorRolloutStatus{}, 0
	o := observation()
	for range 100 {
		o.Now = o.Now.Add(time.Second)
		after := Of(s, o, waiting(), nil)
		events += len(Events(s, after))
		s = after
	}
	if events != 1 {
		t.Errorf("%d events, want 1", events)
	}
}
