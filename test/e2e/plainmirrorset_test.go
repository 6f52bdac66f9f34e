//go:build lab

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestRaw applies each mirror set plainly and expects the exact deadlock.
func TestRaw(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.ID, func(t *testing.T) {
			ctx, c := resetLab(t)
			stage(ctx, t, c, s, scenario.Raw)
			d := deadlock(ctx, t, c, s)
			t.Log(d)
			checkDeadlock(t, s, d)
		})
	}
}

// TestTwin applies each mirror set where it is harmless and expects no deadlock.
func TestTwin(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.ID, func(t *testing.T) {
			ctx, c := resetLab(t)
			stage(ctx, t, c, s, scenario.Twin)
			since, err := c.Rendered(ctx)
			if err != nil {
				t.Fatal(err)
			}
			group, during := errgroup.WithContext(ctx)
			apply(during, t, group, c, s)
			if err := c.WaitUpdated(ctx, since, 3*time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func stage(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario, v scenario.Variant) {
	t.Helper()
	if err := s.Stage(ctx, c, v); err != nil {
		t.Fatalf("staging %s: %v", s.Title, err)
	}
}

func apply(ctx context.Context, t *testing.T, group *errgroup.Group, c *scenario.Cluster, s scenario.Scenario) {
	t.Helper()
	if s.During != nil {
		group.Go(func() error { return s.During(ctx, c) })
	}
	if err := s.Apply(ctx, c); err != nil {
		t.Fatal(err)
	}
}

func deadlock(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario) scenario.Deadlock {
	t.Helper()
	since, err := c.Rendered(ctx)
	if err != nil {
		t.Fatal(err)
	}
	group, during := errgroup.WithContext(ctx)
	apply(during, t, group, c, s)
	d, err := s.AwaitDeadlock(ctx, c, since, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return d
}

// checkDeadlock: AwaitDeadlock has seen the node, the pod, the budget and the refusals; this is
// what is particular to the scenario.
func checkDeadlock(t *testing.T, s scenario.Scenario, d scenario.Deadlock) {
	t.Helper()
	if d.Waiting != s.Waiting {
		t.Errorf("the pod %s waits with %q, want %q", d.Stuck, d.Waiting, s.Waiting)
	}
	if want := s.ProtectedNamespace + "/" + s.Protected; d.Budget != want {
		t.Errorf("the budget is %s, want %s", d.Budget, want)
	}
	if d.Updated >= d.Machines {
		t.Errorf("pool %s is not stuck: %d of %d nodes are updated", d.Pool, d.Updated, d.Machines)
	}
	if s.Waiting != scenario.ImagePullBackOff {
		return
	}
	if d.StuckOn != "worker-1" {
		t.Errorf("the pod that cannot pull is on %q, want the first updated node worker-1", d.StuckOn)
	}
	if !strings.Contains(d.Message, scenario.SourceHost) {
		t.Errorf("the waiting message names no reference: %q", d.Message)
	}
	if d.Updated < 1 {
		t.Errorf("no node is updated: the pod cannot be waiting under the new configuration")
	}
}
