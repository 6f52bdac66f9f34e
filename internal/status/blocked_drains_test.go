package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// blockedByPull is a drain that waits for an image.
func blockedByPull(node string) rollout.BlockedDrain {
	message := "mirror.local/acme/router:v1 answers 404 (manifest unknown); the source is blocked by ImageTagMirrorSet/shop"
	return rollout.BlockedDrain{
		Pool: "worker", Node: node, Reason: rollout.DrainBlockPull,
		Since: now.Add(-48*time.Second + 300*time.Millisecond),
		Pods:  []rollout.FailingPod{{Pulls: []rollout.FailedPull{{Cause: rollout.PullMissing, Message: message}}}},
		CauseChain: []rollout.CauseLink{
			{Kind: "Node", Name: node, Message: "drain of " + node + " is blocked"},
			{Kind: "PodDisruptionBudget", Namespace: "ingress", Name: "router",
				Message: "PDB ingress/router allows 0 (2 of 3 healthy, 2 wanted)"},
			{Kind: "Registry", Name: "mirror.local/acme/router:v1", Message: message},
		},
	}
}

func withBlockedDrains(list ...rollout.BlockedDrain) rollout.Observed {
	o := observation()
	o.BlockedDrains = rollout.Known(list)
	return o
}

func TestBlockedDrainsInStatus(t *testing.T) {
	got := Of(v1alpha1.SafeMirrorRolloutStatus{}, withBlockedDrains(blockedByPull("worker-1")), waiting(),
		nil).BlockedDrains
	want := []v1alpha1.BlockedDrain{{
		Pool: "worker", Node: "worker-1", Reason: "Pull", PullFailure: "Missing", Since: at(now.Add(-48 * time.Second)),
		CauseChain: []v1alpha1.CauseLink{
			{Kind: "Node", Name: "worker-1", Message: "drain of worker-1 is blocked"},
			{Kind: "PodDisruptionBudget", Namespace: "ingress", Name: "router",
				Message: "PDB ingress/router allows 0 (2 of 3 healthy, 2 wanted)"},
			{Kind: "Registry", Name: "mirror.local/acme/router:v1",
				Message: "mirror.local/acme/router:v1 answers 404 (manifest unknown); the source is blocked by ImageTagMirrorSet/shop"},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("obstacles (-want +got):\n%s", diff)
	}
}

// TestBlockedDrainsDoNotChurn: time alone changes nothing, and what could not be seen for once
// stays while the release does.
func TestBlockedDrainsDoNotChurn(t *testing.T) {
	o := withBlockedDrains(blockedByPull("worker-1"))
	o.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", Nodes: []string{"worker-1"}}
	before := Of(v1alpha1.SafeMirrorRolloutStatus{}, o, waiting(), nil)
	later := o
	later.Now = o.Now.Add(time.Hour)
	if diff := cmp.Diff(before.BlockedDrains, Of(before, later, waiting(), nil).BlockedDrains); diff != "" {
		t.Errorf("an hour later (-want +got):\n%s", diff)
	}
	unknown := o
	unknown.BlockedDrains = rollout.Unknown[[]rollout.BlockedDrain]("connection refused")
	if diff := cmp.Diff(before.BlockedDrains, Of(before, unknown, waiting(), nil).BlockedDrains); diff != "" {
		t.Errorf("unseen (-want +got):\n%s", diff)
	}
	unknown.Record.Release = nil
	if got := Of(before, unknown, waiting(), nil).BlockedDrains; got != nil {
		t.Errorf("after the release %v is still there", got)
	}
}

func TestBlockedDrainsAreBounded(t *testing.T) {
	var many []rollout.BlockedDrain
	for range maxBlockedDrains + 1 {
		o := blockedByPull("worker-1")
		for range maxLinks + 1 {
			o.CauseChain = append(o.CauseChain, rollout.CauseLink{Kind: "Pod", Name: strings.Repeat("ß", maxLinkLength),
				Message: strings.Repeat("ß", maxLinkLength)})
		}
		many = append(many, o)
	}
	got := Of(v1alpha1.SafeMirrorRolloutStatus{}, withBlockedDrains(many...), waiting(), nil).BlockedDrains
	if len(got) != maxBlockedDrains || len(got[0].CauseChain) != maxLinks {
		t.Fatalf("%d obstacles with %d links", len(got), len(got[0].CauseChain))
	}
	for _, l := range got[0].CauseChain {
		if len(l.Message) > maxLinkLength || len(l.Name) > maxLinkLength {
			t.Errorf("a link of %d and %d bytes", len(l.Name), len(l.Message))
		}
	}
}

func TestBlockedDrainEvents(t *testing.T) {
	of := func(list ...rollout.BlockedDrain) v1alpha1.SafeMirrorRolloutStatus {
		return Of(v1alpha1.SafeMirrorRolloutStatus{}, withBlockedDrains(list...), waiting(), nil)
	}
	slow := blockedByPull("worker-1")
	slow.Reason = rollout.DrainBlockStarting
	denied := blockedByPull("worker-1")
	denied.Pods = []rollout.FailingPod{{Pulls: []rollout.FailedPull{{Cause: rollout.PullDenied,
		Message: denied.RootCause()}}}}
	reworded := blockedByPull("worker-1")
	reworded.CauseChain[1].Message = "PDB ingress/router allows 0 (1 of 3 healthy, 2 wanted)"
	warning := Event{"Warning", "DrainBlocked", "Drain",
		"drain of worker-1 is blocked since 2026-03-01T11:59:12Z: mirror.local/acme/router:v1 answers 404 (manifest unknown); " +
			"the source is blocked by ImageTagMirrorSet/shop (drain of worker-1 is blocked <- PDB ingress/router allows 0 (2 of 3 healthy, 2 wanted))"}
	gone := Event{"Normal", "DrainUnblocked", "Drain", "node worker-1 of pool worker is not held by Pull any more"}
	cases := map[string]struct {
		before, after v1alpha1.SafeMirrorRolloutStatus
		want          []Event
	}{
		"it appears":            {of(), of(blockedByPull("worker-1")), []Event{warning}},
		"it lasts":              {of(blockedByPull("worker-1")), of(blockedByPull("worker-1")), nil},
		"its words change":      {of(blockedByPull("worker-1")), of(reworded), nil},
		"it gets another cause": {of(blockedByPull("worker-1")), of(denied), []Event{warning}},
		"it goes":               {of(blockedByPull("worker-1")), of(), []Event{gone}},
		"it becomes slow":       {of(blockedByPull("worker-1")), of(slow), []Event{gone}},
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
