//go:build lab

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/sim"
	"github.com/safe-mirror/safe-mirror-operator/internal/sim/trace"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestTrace records what the real Machine Config Operator does to pools and nodes during a rollout, and holds the simulated one against
// it: each step that was seen has to be one that it takes, too. With E2E_TRACES set to a directory the trace is kept there; those of
// internal/sim/testdata/traces were made so.
func TestTrace(t *testing.T) {
	if !ours(t, 4) {
		return
	}
	s := scenario.All()[0]
	ctx, c := begin(t)
	stage(ctx, t, c, s, scenario.Safe)

	recording, stop := context.WithCancel(ctx)
	defer stop()
	var lines bytes.Buffer
	recorded := make(chan error, 1)
	go func() { recorded <- trace.Record(recording, c.Client, &lines, time.Now) }()
	operator(ctx, t)
	rollOut(ctx, t, c, s)
	stop()
	if err := <-recorded; err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("E2E_TRACES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "rollout-"+s.ID+".jsonl"), lines.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := trace.Read(&lines)
	if err != nil {
		t.Fatal(err)
	}
	known, follower := sim.Transitions(), trace.NewFollower()
	steps := 0
	for _, e := range entries {
		step, changed := follower.Follow(e)
		if !changed {
			continue
		}
		steps++
		if !known[step] {
			t.Errorf("%s %s at %s: the simulated MCO never takes this step: %s", e.Kind, e.Name, e.At.Format(time.TimeOnly), step)
		}
	}
	if steps < 20 {
		t.Errorf("%d steps recorded; a rollout has more", steps)
	}
}
