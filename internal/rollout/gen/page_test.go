package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// docs/phases.md is what the phase table says now.
func TestThePageIsCurrent(t *testing.T) {
	have, err := os.ReadFile("../../../docs/phases.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page(rollout.Table()), string(have)); diff != "" {
		t.Errorf("docs/phases.md is out of date, run make generate (-want +got):\n%s", diff)
	}
}

func TestThePageShowsEveryPhase(t *testing.T) {
	text := page(rollout.Table())
	for _, r := range rollout.Table() {
		for _, part := range []string{"--> " + string(r.Phase) + "\n", "| " + string(r.Phase) + " |", r.About, r.Condition} {
			if !strings.Contains(text, part) {
				t.Errorf("no %q on the page", part)
			}
		}
	}
}
