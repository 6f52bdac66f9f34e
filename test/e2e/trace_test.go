//go:build lab

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
	"github.com/safe-mirror/safe-mirror-operator/test/sim"
	"github.com/safe-mirror/safe-mirror-operator/test/sim/trace"
)

// TestTrace records what the real Machine Config Operator does to pools and nodes, during a
// rollout, during one that is rolled back, and when the same mirror set is applied plainly and
// a drain is blocked, and compares the simulated one with it: each recorded step must be one
// that it takes, too. With E2E_TRACES set to a directory the traces are kept there; those of
// test/sim/testdata/traces were made so.
func TestTrace(t *testing.T) {
	if !inShard(t, 4) {
		return
	}
	s := scenario.All()[0]
	cases := map[string]struct {
		variant scenario.Variant
		happen  func(ctx context.Context, t *testing.T, c *scenario.Cluster)
	}{
		"rollout": {scenario.Safe, func(ctx context.Context, t *testing.T, c *scenario.Cluster) {
			operator(ctx, t)
			rollOut(ctx, t, c, s)
		}},
		"rollback": {scenario.Safe, func(ctx context.Context, t *testing.T, c *scenario.Cluster) {
			operator(ctx, t)
			r := s.Rollout()
			if err := c.Client.Create(ctx, r); err != nil {
				t.Fatal(err)
			}
			await(ctx, t, c, r.Name, "nodes are updated",
				func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated >= 2 })
			addRequest(ctx, t, c, r.Name, v1alpha1.Request{ID: "undo", Action: v1alpha1.RequestRollback})
			await(ctx, t, c, r.Name, "the rollout has gone back", func(r *v1alpha1.SafeMirrorRollout) bool {
				return reasonOf(r, v1alpha1.ConditionStalled) == v1alpha1.ReasonRolledBack
			})
		}},
		"plain": {scenario.Raw, func(ctx context.Context, t *testing.T,
			c *scenario.Cluster) {
			deadlock(ctx, t, c, s)
		}},
	}
	for name, k := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, c := resetLab(t)
			stage(ctx, t, c, s, k.variant)
			lines := record(ctx, t, c, func() { k.happen(ctx, t, c) })
			if dir := os.Getenv("E2E_TRACES"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), lines.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			checkTrace(t, lines)
		})
	}
}

// record watches while something happens.
func record(ctx context.Context, t *testing.T, c *scenario.Cluster, happen func()) *bytes.Buffer {
	t.Helper()
	recording, stop := context.WithCancel(ctx)
	defer stop()
	var lines bytes.Buffer
	end := make(chan error, 1)
	go func() { end <- trace.Record(recording, c.Client, &lines, time.Now) }()
	happen()
	stop()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	return &lines
}

func checkTrace(t *testing.T, lines *bytes.Buffer) {
	t.Helper()
	entries, err := trace.Read(lines)
	if err != nil {
		t.Fatal(err)
	}
	known, follower := sim.Transitions(), trace.NewStepReader()
	steps := 0
	for _, e := range entries {
		step, changed := follower.Next(e)
		if !changed {
			continue
		}
		steps++
		if !known[step] {
			t.Errorf("%s %s at %s: the simulated MCO never takes this step: %s", e.Kind, e.Name,
				e.At.Format(time.TimeOnly), step)
		}
	}
	if steps < 20 {
		t.Errorf("%d steps recorded; there are more", steps)
	}
}
