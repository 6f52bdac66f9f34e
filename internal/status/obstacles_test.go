package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// blocked is a drain that waits for an image.
func blocked(node string) rollout.Obstacle {
	message := "mirror.local/acme/router:v1 answers 404 (manifest unknown); the source is blocked by ImageTagMirrorSet/shop"
	return rollout.Obstacle{
		Pool: "worker", Node: node, Hindrance: rollout.HindrancePull, Since: now.Add(-48*time.Second + 300*time.Millisecond),
		Pods: []rollout.FailingPod{{Pulls: []rollout.FailedPull{{Cause: rollout.PullMissing, Message: message}}}},
		Chain: []rollout.Link{
			{Kind: "Node", Name: node, Message: "drain of " + node + " is blocked"},
			{Kind: "PodDisruptionBudget", Namespace: "ingress", Name: "router", Message: "PDB ingress/router allows 0 (2 of 3 healthy, 2 wanted)"},
			{Kind: "Registry", Name: "mirror.local/acme/router:v1", Message: message},
		},
	}
}

func seeing(list ...rollout.Obstacle) rollout.Observed {
	o := look()
	o.Obstacles = rollout.Seen(list)
	return o
}

func TestObstaclesInTheStatus(t *testing.T) {
	got := Of(v1alpha1.SafeMirrorRolloutStatus{}, seeing(blocked("worker-1")), waiting(), nil).BlockedDrains
	want := []v1alpha1.BlockedDrain{{
		Pool: "worker", Node: "worker-1", Reason: "Pull", PullFailure: "Missing", Since: at(now.Add(-48 * time.Second)),
		CauseChain: []v1alpha1.CauseLink{
			{Kind: "Node", Name: "worker-1", Message: "drain of worker-1 is blocked"},
			{Kind: "PodDisruptionBudget", Namespace: "ingress", Name: "router", Message: "PDB ingress/router allows 0 (2 of 3 healthy, 2 wanted)"},
			{Kind: "Registry", Name: "mirror.local/acme/router:v1", Message: "mirror.local/acme/router:v1 answers 404 (manifest unknown); the source is blocked by ImageTagMirrorSet/shop"},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("obstacles (-want +got):\n%s", diff)
	}
}

// TestObstaclesDoNotChurn: time alone changes nothing, and what could not be seen for once stays while the release does.
func TestObstaclesDoNotChurn(t *testing.T) {
	o := seeing(blocked("worker-1"))
	o.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", Nodes: []string{"worker-1"}}
	before := Of(v1alpha1.SafeMirrorRolloutStatus{}, o, waiting(), nil)
	later := o
	later.Now = o.Now.Add(time.Hour)
	if diff := cmp.Diff(before.BlockedDrains, Of(before, later, waiting(), nil).BlockedDrains); diff != "" {
		t.Errorf("an hour later (-want +got):\n%s", diff)
	}
	unseen := o
	unseen.Obstacles = rollout.Unseen[[]rollout.Obstacle]("connection refused")
	if diff := cmp.Diff(before.BlockedDrains, Of(before, unseen, waiting(), nil).BlockedDrains); diff != "" {
		t.Errorf("unseen (-want +got):\n%s", diff)
	}
	unseen.Record.Release = nil
	if got := Of(before, unseen, waiting(), nil).BlockedDrains; got != nil {
		t.Errorf("after the release %v is still there", got)
	}
}

func TestObstaclesAreBounded(t *testing.T) {
	var many []rollout.Obstacle
	for range maxObstacles + 1 {
		o := blocked("worker-1")
		for range maxLinks + 1 {
			o.Chain = append(o.Chain, rollout.Link{Kind: "Pod", Name: strings.Repeat("ß", maxLink), Message: strings.Repeat("ß", maxLink)})
		}
		many = append(many, o)
	}
	got := Of(v1alpha1.SafeMirrorRolloutStatus{}, seeing(many...), waiting(), nil).BlockedDrains
	if len(got) != maxObstacles || len(got[0].CauseChain) != maxLinks {
		t.Fatalf("%d obstacles with %d links", len(got), len(got[0].CauseChain))
	}
	for _, l := range got[0].CauseChain {
		if len(l.Message) > maxLink || len(l.Name) > maxLink {
			t.Errorf("a link of %d and %d bytes", len(l.Name), len(l.Message))
		}
	}
}

func TestEventsOfObstacles(t *testing.T) {
	of := func(list ...rollout.Obstacle) v1alpha1.SafeMirrorRolloutStatus {
		return Of(v1alpha1.SafeMirrorRolloutStatus{}, seeing(list...), waiting(), nil)
	}
	slow := blocked("worker-1")
	slow.Hindrance = rollout.HindranceStarting
	denied := blocked("worker-1")
	denied.Pods = []rollout.FailingPod{{Pulls: []rollout.FailedPull{{Cause: rollout.PullDenied, Message: denied.Root()}}}}
	reworded := blocked("worker-1")
	reworded.Chain[1].Message = "PDB ingress/router allows 0 (1 of 3 healthy, 2 wanted)"
	warning := Event{"Warning", "DrainBlocked", "Drain", "drain of worker-1 is blocked since 2026-03-01T11:59:12Z: mirror.local/acme/router:v1 answers 404 (manifest unknown); " +
		"the source is blocked by ImageTagMirrorSet/shop (drain of worker-1 is blocked <- PDB ingress/router allows 0 (2 of 3 healthy, 2 wanted))"}
	gone := Event{"Normal", "DrainUnblocked", "Drain", "node worker-1 of pool worker is not held by Pull any more"}
	cases := map[string]struct {
		before, after v1alpha1.SafeMirrorRolloutStatus
		want          []Event
	}{
		"it appears":            {of(), of(blocked("worker-1")), []Event{warning}},
		"it lasts":              {of(blocked("worker-1")), of(blocked("worker-1")), nil},
		"its words change":      {of(blocked("worker-1")), of(reworded), nil},
		"it gets another cause": {of(blocked("worker-1")), of(denied), []Event{warning}},
		"it goes":               {of(blocked("worker-1")), of(), []Event{gone}},
		"it becomes slow":       {of(blocked("worker-1")), of(slow), []Event{gone}},
		"slow is no news":       {of(), of(slow), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.before.Phase, c.before.Conditions = c.after.Phase, c.after.Conditions // nothing else changes
			if diff := cmp.Diff(c.want, Events(c.before, c.after)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
