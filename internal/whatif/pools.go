package whatif

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Pool is what would become of the nodes of one MachineConfigPool.
type Pool struct {
	rollout.Pool
	// Cost is what the change costs each node; its Verdict is empty when the pool could not be predicted.
	Cost predict.Cost
	Next drain.Turn
	// Evictions are the pods that drains of all its nodes would evict, today; Most are those of the fullest node.
	Evictions, Most int
	// Running are the nodes grouped by the configuration that they really run.
	Running []Running
}

// Running is the registries configuration that some nodes of a pool run now, according to their current rendered MachineConfig.
type Running struct {
	Rendered string
	Nodes    []string
	Config   registries.Config
	// Why is set when it could not be read.
	Why string
}

// readPools reads what the pools' nodes run and hold.
func (f *Foresight) readPools(ctx context.Context, s Source, pods *placed, p *predict.Predictor) {
	t := together{pools: map[string]string{}, nodes: f.nodes(ctx, s), pods: pods.kept}
	for _, view := range f.Prediction.All() {
		pool := Pool{Pool: view, Cost: f.Prediction.CostOf(view, f.reloads), Next: drain.Next(view), Running: running(ctx, s.Reader, p, view)}
		for _, n := range view.Nodes {
			if pool.Cost.Verdict == "" || !pool.Cost.Disrupts() || n.NotDrained {
				continue
			}
			t.pools[n.Name] = pool.Name
			pool.Evictions += pods.evictions[n.Name]
			pool.Most = max(pool.Most, pods.evictions[n.Name])
		}
		f.Pools = append(f.Pools, pool)
	}
	f.Entangled = t.entangled(pods.budgets)
	f.readDrains(ctx, s, pods.pods)
}

func (f *Foresight) nodes(ctx context.Context, s Source) map[string]*corev1.Node {
	var list corev1.NodeList
	if err := s.Reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		f.gap(Gap{Source: "Node", Essential: true, Why: oneLine(err)})
		return nil
	}
	out := make(map[string]*corev1.Node, len(list.Items))
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out
}

// running groups the pool's nodes by their current rendered MachineConfig.
func running(ctx context.Context, r client.Reader, p *predict.Predictor, view rollout.Pool) []Running {
	var out []Running
	for _, n := range view.Nodes {
		i := slices.IndexFunc(out, func(g Running) bool { return g.Rendered == n.Current })
		if i < 0 {
			i, out = len(out), append(out, Running{Rendered: n.Current})
			g := &out[i]
			config, err := p.Running(ctx, r, n.Current)
			switch {
			case n.Current == "":
				g.Why = "the node has no annotation machineconfiguration.openshift.io/currentConfig: the Machine Config Operator has not taken it up"
			case err != nil:
				g.Why = oneLine(err)
			}
			g.Config = config
		}
		out[i].Nodes = append(out[i].Nodes, n.Name)
	}
	return out
}

func oneLine(err error) string {
	if meta.IsNoMatchError(err) {
		return "no file says anything of it"
	}
	return fmt.Sprintf("%v", err)
}
