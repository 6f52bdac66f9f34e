//go:build lab

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestCrossDrainDeadlock: either node alone is drained without trouble, and both at the same time
// never are: what leaves the one can go to the other only. The forecast says so, and the real drain
// controller, asked for both, does exactly that.
func TestCrossDrainDeadlock(t *testing.T) {
	if !inShard(t, 0) {
		return
	}
	ctx, c := resetLab(t)
	if err := c.PushStructural(ctx); err != nil {
		t.Fatal(err)
	}
	cases := scenario.CrossDrainCases()
	for _, s := range cases {
		if err := s.Stage(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	both := []string{cases[0].Node, cases[1].Node}
	report, err := forecastCluster(ctx, c, map[string][][]string{"worker": {both[:1], both}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range report.Nodes {
		if slices.Contains(both, n.Node) && n.Result != rollout.DrainSafe {
			t.Errorf("node %s alone is forecast %s: %s", n.Node, n.Result, problems(n))
		}
	}
	i := slices.IndexFunc(report.Concurrent, func(r rollout.ConcurrentDrains) bool { return r.Pool == "worker" })
	if i < 0 || report.Concurrent[i].Size != 1 {
		t.Fatalf("the forecast lets them go together: %+v", report.Concurrent)
	}
	told := problems(forecast.NodeReport{Problems: report.Concurrent[i].Problems})
	t.Log(told)
	for _, s := range cases {
		if !strings.Contains(told, s.Namespace+"/"+s.Name) {
			t.Errorf("the forecast does not name %s/%s", s.Namespace, s.Name)
		}
		if strings.Contains(told, s.Twin()) {
			t.Errorf("the forecast names %s, which has somewhere else to go", s.Twin())
		}
	}
	drainBoth(ctx, t, c, cases)
	if err := c.Drain(ctx, both[0], caseHasLeft(cases[0])); err != nil {
		t.Errorf("alone: %v", err)
	}
}

// drainBoth drains the nodes of the cases at the same time, until each case keeps its pods and each
// twin has lost them: the first that has shown as much is not uncordoned before the other has, or
// it would take what the other waits for.
func drainBoth(ctx context.Context, t *testing.T, c *scenario.Cluster, cases []scenario.StructuralCase) {
	t.Helper()
	var missing atomic.Int32
	missing.Store(int32(len(cases)))
	var all errgroup.Group
	for _, s := range cases {
		var shown sync.Once
		all.Go(func() error {
			return c.Drain(ctx, s.Node, func(seen map[string]scenario.Drained) (bool, string) {
				why := notYetShown(s, seen)
				if why == "" {
					shown.Do(func() { missing.Add(-1) })
				}
				return why == "" && missing.Load() == 0, s.Node + ": " + why
			})
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

// caseHasLeft is enough once nothing of the case is left on its node.
func caseHasLeft(s scenario.StructuralCase) func(map[string]scenario.Drained) (bool, string) {
	return func(seen map[string]scenario.Drained) (bool, string) {
		d := seen[s.Namespace]
		return len(d.Remaining) == 0, fmt.Sprintf("%s still has %v (%s)", s.Namespace, d.Remaining, d.Answer)
	}
}
