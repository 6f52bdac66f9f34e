//go:build lab

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/snapshot"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// checkForecast expects the forecast of the node to name each case that is there, by kind,
// namespace and name, and none of the twins.
func checkForecast(ctx context.Context, t *testing.T, c *scenario.Cluster, node string) {
	t.Helper()
	var r forecast.NodeReport
	// Only what is late is waited for: everything else is there from the beginning.
	err := lab.Eventually(ctx, 4*time.Minute, "the forecast of "+node+" names every case",
		func(ctx context.Context) (bool, string, error) {
			var err error
			if r, err = forecastNode(ctx, c, node); err != nil {
				return false, "", err
			}
			var missing []string
			for _, s := range scenario.StructuralCases() {
				if s.Node == node && !names(r, s) {
					missing = append(missing, s.Kind+" "+s.Namespace+"/"+s.Name)
				}
			}
			return len(missing) == 0, strings.Join(missing, ", ") + " is not among " + problems(r), nil
		})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(problems(r))
	if r.Result != rollout.DrainBlocked {
		t.Errorf("the outlook of %s is %s", node, r.Result)
	}
	for _, s := range scenario.StructuralCases() {
		if i := slices.IndexFunc(r.Problems,
			func(p rollout.Problem) bool { return p.Namespace == s.Twin() || p.Name == s.Twin() }); i >= 0 {
			t.Errorf("%s is safe, and the forecast of %s says: %s", s.Twin(), node, r.Problems[i].Message)
		}
	}
}

// names tells whether the forecast has the case. An object without a namespace is matched by its
// name.
func names(r forecast.NodeReport, s scenario.StructuralCase) bool {
	return slices.ContainsFunc(r.Problems, func(p rollout.Problem) bool {
		return p.Kind == s.Kind && p.Name == s.Name && (p.Namespace == s.Namespace || p.Name == s.Namespace)
	})
}

func problems(r forecast.NodeReport) string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, p.Kind+" "+p.Namespace+"/"+p.Name+": "+p.Message)
	}
	return strings.Join(out, "\n")
}

// forecastNode is the forecast of one node, as if every node of its pool were still to come.
func forecastNode(ctx context.Context, c *scenario.Cluster, node string) (forecast.NodeReport, error) {
	report, err := forecastCluster(ctx, c, nil)
	if err != nil {
		return forecast.NodeReport{}, err
	}
	i := slices.IndexFunc(report.Nodes, func(n forecast.NodeReport) bool { return n.Node == node })
	if i < 0 {
		return forecast.NodeReport{}, nil
	}
	return report.Nodes[i], nil
}

// forecastCluster is what the operator reads of the cluster, and what it makes of it. The nodes are
// those that a release may take, by pool.
func forecastCluster(ctx context.Context, c *scenario.Cluster, next map[string][][]string) (forecast.Report, error) {
	s := snapshot.Read(ctx, c.Client, snapshot.Options{})
	s.Now = time.Now()
	pools, err := c.Pools(ctx)
	if err != nil {
		return forecast.Report{}, err
	}
	var nodes corev1.NodeList
	if err := c.Client.List(ctx, &nodes); err != nil {
		return forecast.Report{}, err
	}
	assigned := pool.NodesByPool(pools, nodes.Items)
	for i := range pools {
		view, err := pool.FromMCP(&pools[i], assigned[pools[i].Name], "")
		if err != nil {
			return forecast.Report{}, err
		}
		view.Rendered = "rendered-planned"
		s.Pools = append(s.Pools, drain.PoolNodes{Pool: view, Drains: true, TaintsPendingNodes: true,
			NextReleases: next[view.Name]})
	}
	return forecast.ForecastAll(s), nil
}
