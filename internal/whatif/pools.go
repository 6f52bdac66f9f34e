package whatif

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	opv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/disruption"
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
	nodes := f.nodes(ctx, s)
	single, hosts := singleNode(ctx, s.Reader), drain.OperatorNodes(pods.pods)
	for _, view := range f.allPools() {
		f.Pools = append(f.Pools, Pool{Pool: view, Cost: f.Prediction.Costs[view.Name], Running: running(ctx, s.Reader, p, view)})
	}
	slices.SortFunc(f.Pools, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	t := together{pools: map[string]string{}, nodes: nodes, pods: pods.kept}
	for i := range f.Pools {
		pool := &f.Pools[i]
		pool.Next = drain.Next(pool.Pool, nodes, hosts)
		if f.Wish.reloads() && pool.Cost.Verdict == registries.Drain && f.reloadable(ctx, s) {
			pool.Cost.Verdict = registries.Reload
			pool.Cost.Rule = "spec.release.disruption is Reload; without it the node would drain: " + pool.Cost.Rule
		}
		if single && pool.Cost.Verdict == registries.Drain {
			pool.Cost.Rule += "; the only node of a cluster is not drained"
			continue
		}
		if !disrupts(pool.Cost.Verdict) {
			continue
		}
		for _, n := range pool.Nodes {
			t.pools[n.Name] = pool.Name
			pool.Evictions += pods.evictions[n.Name]
			pool.Most = max(pool.Most, pods.evictions[n.Name])
		}
	}
	f.Entangled = t.entangled(pods.budgets)
	f.lookOut(ctx, s, pods.pods, single)
}

func disrupts(v registries.Verdict) bool { return v == registries.Drain || v == registries.Reboot }

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

// singleNode clusters are not drained (MCO pkg/daemon/drain.go performDrain).
func singleNode(ctx context.Context, r client.Reader) bool {
	i := &configv1.Infrastructure{}
	return r.Get(ctx, client.ObjectKey{Name: "cluster"}, i) == nil && i.Status.ControlPlaneTopology == configv1.SingleReplicaTopologyMode
}

func oneLine(err error) string {
	if meta.IsNoMatchError(err) {
		return "no file says anything of it"
	}
	return fmt.Sprintf("%v", err)
}

// reloadable tells whether the cluster's Machine Config Operator can be told to reload.
func (f *Foresight) reloadable(ctx context.Context, s Source) bool {
	mc := &opv1.MachineConfiguration{}
	if err := s.Reader.Get(ctx, client.ObjectKey{Name: disruption.Name}, mc); err != nil {
		return false
	}
	p, err := disruption.View(mc, "")
	return err == nil && p.Unsupported == ""
}
