package rollout

import (
	"strings"
	"testing"
	"time"
)

func drainBlockedByPull() BlockedDrain {
	return BlockedDrain{Pool: "worker", Node: "worker-1", Reason: DrainBlockPull, Since: now,
		Budget: &DisruptionBudget{Namespace: "ingress", Name: "router"}, CauseChain: []CauseLink{
			{Kind: "Node", Name: "worker-1", Message: "drain of worker-1 is blocked"},
			{Kind: "PodDisruptionBudget", Message: "PDB ingress/router allows 0"},
			{Kind: "Registry", Message: "mirror.local/router:v1 answers 404"},
		}}
}

func TestBlockedDrainText(t *testing.T) {
	since := now.UTC().Format(time.RFC3339)
	for name, c := range map[string]struct{ got, want string }{
		"the chain": {drainBlockedByPull().String(), "drain of worker-1 is blocked since " + since +
			" <- PDB ingress/router allows 0 <- mirror.local/router:v1 answers 404"},
		"the cause first": {drainBlockedByPull().Summary(), "drain of worker-1 is blocked since " + since +
			": mirror.local/router:v1 answers 404 (drain of worker-1 is blocked <- PDB ingress/router allows 0)"},
		"a short one": {BlockedDrain{CauseChain: drainBlockedByPull().CauseChain[:2]}.Summary(),
			"drain of worker-1 is blocked: PDB ingress/router allows 0"},
		"nothing but the drain": {BlockedDrain{Node: "worker-1"}.Summary(),
			"drain of worker-1 is blocked: nothing is known of why"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

// TestABlockedDrainIsTheBlocker: whoever waits for the node is told what holds it, and not only
// that it drains.
func TestABlockedDrainIsTheBlocker(t *testing.T) {
	o := observed().rendered().startsUpdate("worker-1",
		"Draining").with(func(o *Observed) { o.BlockedDrains = Known([]BlockedDrain{drainBlockedByPull()}) }).build()
	blockers := Decide(o).Blockers
	if len(blockers) == 0 || !strings.HasPrefix(blockers[0].Message, "drain of worker-1 is blocked since ") ||
		!strings.Contains(blockers[0].Message, "answers 404") {
		t.Errorf("blockers %v", blockers)
	}
	o.BlockedDrains = Unknown[[]BlockedDrain]("connection refused")
	if got := Decide(o).Blockers; len(got) == 0 || !strings.Contains(got[0].Message, "is updating") {
		t.Errorf("without a diagnosis: %v", got)
	}
}
