package preview

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// PoolForecast is what would become of the nodes of one MachineConfigPool.
type PoolForecast struct {
	rollout.Pool
	// Disruption is what the change costs each node; its Verdict is empty when the pool could not
	// be predicted.
	Disruption  prediction.NodeDisruption
	UpdateOrder drain.UpdateOrder
	// Evictions are the pods that drains of all its nodes would evict, today; Most are those of the
	// fullest node.
	Evictions, MaxEvictionsPerNode int
	// Running are the nodes grouped by the configuration that they really run.
	Running []RunningConfig
}

// RunningConfig is the registries configuration that some nodes of a pool run now, according to
// their current rendered MachineConfig.
type RunningConfig struct {
	Rendered string
	Nodes    []string
	Config   registriesconf.Config
	// Why is set when it could not be read.
	Why string
}

// readPools reads what the pools' nodes run and hold.
func (f *Preview) readPools(ctx context.Context, s Source, pods *podCollector, p *prediction.Predictor) {
	t := deadlockFinder{pools: map[string]string{}, nodes: f.readNodes(ctx, s), pods: pods.protectedPods}
	for _, observed := range f.Prediction.All() {
		pool := PoolForecast{Pool: observed, Disruption: f.Prediction.CostOf(observed, f.reloads),
			UpdateOrder: drain.UpdateOrderOf(observed), Running: runningConfigs(ctx, s.Reader, p, observed)}
		for _, n := range observed.Nodes {
			if pool.Disruption.Effect == "" || !pool.Disruption.Disrupts() || n.NotDrained {
				continue
			}
			t.pools[n.Name] = pool.Name
			pool.Evictions += pods.evictions[n.Name]
			pool.MaxEvictionsPerNode = max(pool.MaxEvictionsPerNode, pods.evictions[n.Name])
		}
		f.Pools = append(f.Pools, pool)
	}
	f.CrossPoolDeadlocks = t.find(pods.budgets)
	f.readDrains(ctx, s, pods.pods)
}

func (f *Preview) readNodes(ctx context.Context, s Source) map[string]*corev1.Node {
	var list corev1.NodeList
	if err := s.Reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		f.addGap(CoverageGap{Source: "Node", Essential: true, Why: errorText(err)})
		return nil
	}
	out := make(map[string]*corev1.Node, len(list.Items))
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out
}

// runningConfigs groups the pool's nodes by their current rendered MachineConfig.
func runningConfigs(ctx context.Context, r client.Reader, p *prediction.Predictor,
	observed rollout.Pool) []RunningConfig {
	var out []RunningConfig
	for _, n := range observed.Nodes {
		i := slices.IndexFunc(out, func(g RunningConfig) bool { return g.Rendered == n.CurrentConfig })
		if i < 0 {
			i, out = len(out), append(out, RunningConfig{Rendered: n.CurrentConfig})
			g := &out[i]
			config, err := p.RunningConfig(ctx, r, n.CurrentConfig)
			switch {
			case n.CurrentConfig == "":
				g.Why = "the node has no annotation machineconfiguration.openshift.io/currentConfig: the Machine Config Operator has not taken it up"
			case err != nil:
				g.Why = errorText(err)
			}
			g.Config = config
		}
		out[i].Nodes = append(out[i].Nodes, n.Name)
	}
	return out
}

func errorText(err error) string {
	if meta.IsNoMatchError(err) {
		return "no file says anything of it"
	}
	return fmt.Sprintf("%v", err)
}
