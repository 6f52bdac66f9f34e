package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// docs/phases.md is what the tables say now.
func TestPageIsCurrent(t *testing.T) {
	have, err := os.ReadFile("../../../docs/phases.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page(current()), string(have)); diff != "" {
		t.Errorf("docs/phases.md is out of date, run make generate (-want +got):\n%s", diff)
	}
}

func TestPageShowsEveryPhase(t *testing.T) {
	text := page(current())
	for _, r := range rollout.PhaseTable() {
		for _, part := range []string{"--> " + string(r.Phase) + "\n", "| " + string(r.Phase) + " |", r.Description,
			r.Condition} {
			if !strings.Contains(text, part) {
				t.Errorf("no %q on the page", part)
			}
		}
	}
}

func TestThePageShowsEveryRule(t *testing.T) {
	text := page(current())
	for i, r := range append(rollout.Guards(), rollout.Amendments()...) {
		if r.Name == "" || r.About == "" {
			t.Errorf("rule %d has no name or says nothing: %+v", i, r)
		}
		for _, part := range []string{"[" + r.Name + "]\n", "| " + r.Name + " | " + r.About + " |"} {
			if strings.Count(text, part) != 1 {
				t.Errorf("%q is %d times on the page, want once", part, strings.Count(text, part))
			}
		}
	}
}
