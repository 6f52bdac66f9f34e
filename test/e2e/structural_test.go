//go:build lab

package e2e

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

const (
	finalizerCase = "c11-finalizer"
	finalizerTwin = "c11-finalizer-twin"
)

// TestStructural stages every structural case beside its twin, asks for the forecast, and then has
// the MCO drain each node: the forecast, what is expected of the case, and what the drain does have
// to be the same.
func TestStructural(t *testing.T) {
	if !inShard(t, 6) {
		return
	}
	ctx, c := resetLab(t)
	stageStructurals(ctx, t, c)
	// The node of the finalizer comes last: a pod has to be late for minutes before anybody says
	// that it does not go.
	for _, node := range []string{"worker-1", "worker-2", "worker-4", "worker-3", "master-1"} {
		t.Run(node, func(t *testing.T) {
			if node == "master-1" {
				if err := c.DeleteFinalizerPod(ctx, finalizerTwin); err != nil {
					t.Fatal(err)
				}
			}
			checkForecast(ctx, t, c, node)
			drainForReal(ctx, t, c, node)
		})
	}
	t.Run("a budget that is not computed yet", func(t *testing.T) { staleBudget(ctx, t, c) })
}

func stageStructurals(ctx context.Context, t *testing.T, c *scenario.Cluster) {
	t.Helper()
	if err := c.PushStructural(ctx); err != nil {
		t.Fatal(err)
	}
	var all errgroup.Group
	all.SetLimit(4)
	for _, s := range scenario.StructuralCases() {
		all.Go(func() error { return s.Stage(ctx, c) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteFinalizerPod(ctx, finalizerCase); err != nil {
		t.Fatal(err)
	}
}

// refusedOften is how many refusals it takes until a drain counts as one that does not end: kubectl
// tries each of them again after 5 s, and a pod of the lab is ready after a fraction of one.
const refusedOften = 3

// drainForReal drains the node, and expects of each case there that it keeps a pod on it, and of
// each twin that it keeps none.
func drainForReal(ctx context.Context, t *testing.T, c *scenario.Cluster, node string) {
	t.Helper()
	err := c.Drain(ctx, node, func(seen map[string]scenario.Drained) (bool, string) {
		for _, s := range scenario.StructuralCases() {
			if s.Node != node {
				continue
			}
			if why := notYetShown(s, seen); why != "" {
				return false, why
			}
		}
		return true, ""
	})
	if err != nil {
		t.Error(err)
	}
	if err := c.AwaitTwinsReady(ctx); err != nil {
		t.Error(err)
	}
}

func notYetShown(s scenario.StructuralCase, seen map[string]scenario.Drained) string {
	if left := seen[s.Twin()].Remaining; len(left) > 0 {
		return fmt.Sprintf("%s still has %v on the node (%s)", s.Twin(), left, seen[s.Twin()].Answer)
	}
	d := seen[s.Namespace]
	switch {
	case len(d.Remaining) == 0:
		return s.Namespace + " has left the node: the case is none"
	case s.PodStays && (len(d.PastGracePeriod) == 0 || d.Attempts < 2):
		return fmt.Sprintf("%s has %v, past its grace period are %v, and the drain has tried %d times", s.Namespace,
			d.Remaining, d.PastGracePeriod, d.Attempts)
	case !s.PodStays && d.Refused < refusedOften:
		return fmt.Sprintf("%s: %v was refused %d times (%s)", s.Namespace, d.Remaining, d.Refused, d.Answer)
	}
	return ""
}
