package prediction

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Prediction is every pool as it is, with the configuration before and after.
type Prediction struct {
	Pools []rollout.Pool
	// Configs are the configurations to compare, pool by pool, and those that single nodes run on
	// top.
	Configs []plan.PoolConfig
	// RegistriesConfs identify what is predicted, pool by pool.
	RegistriesConfs []string
	// Platforms are those of the nodes, such as linux/amd64.
	Platforms []string
	// Disruptions tell by pool what the change of registries.conf costs each of its nodes.
	Disruptions map[string]NodeDisruption
	// UnmanagedNodes are the nodes that no pool updates because too many select them.
	UnmanagedNodes []rollout.Problem
	// Unpredicted are the pools of which nothing of this can be said.
	Unpredicted []PoolError
}

// PoolError is a pool that cannot be predicted. Pool is what is known of it.
type PoolError struct {
	Pool rollout.Pool
	Err  error
}

func (e PoolError) Error() string { return "MachineConfigPool " + e.Pool.Name + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e PoolError) Unwrap() error { return e.Err }

// Predictor predicts, and keeps the rendered MachineConfigs that it has read. The zero value is
// ready for use.
type Predictor struct {
	mu       sync.Mutex
	rendered map[string]renderedConfig
}

// Unions are all mirror sets of the cluster at three times.
type Unions struct {
	// Before and After are compared with each other; Now is what is in the cluster.
	Before, After, Now registriesconf.Sets
}

// Pools reads pools and nodes through r. What is large and rarely changes, MachineConfigs above
// all, is read through api, which need not be a cache. It compares the cluster without the
// rollout's mirror sets with the cluster with them, and fails when a pool cannot be predicted.
func (p *Predictor) Pools(ctx context.Context, r, api client.Reader, desired DesiredSets,
	all registriesconf.Sets) (Prediction, error) {
	before := desired.Without(all)
	out, err := p.PoolsBetween(ctx, r, api, desired.Rollout.Name,
		Unions{Before: before, After: before.With(desired.IDMS, desired.ITMS), Now: all})
	if err != nil {
		return Prediction{}, err
	}
	for _, failed := range out.Unpredicted {
		return Prediction{}, failed
	}
	return out, nil
}

// PoolsBetween is Pools for any two unions. A pool that cannot be predicted is listed as such, and
// the others are predicted all the same. name is that of the rollout whose notes on the pools are
// its own.
func (p *Predictor) PoolsBetween(ctx context.Context, r, api client.Reader, name string, u Unions) (Prediction, error) {
	var pools mcfgv1.MachineConfigPoolList
	if err := r.List(ctx, &pools); err != nil {
		return Prediction{}, fmt.Errorf("listing MachineConfigPools: %w", err)
	}
	slices.SortFunc(pools.Items, func(a, b mcfgv1.MachineConfigPool) int { return strings.Compare(a.Name, b.Name) })
	var nodes corev1.NodeList
	if err := r.List(ctx, &nodes); err != nil {
		return Prediction{}, fmt.Errorf("listing Nodes: %w", err)
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	layered, err := layeredPools(ctx, api)
	if err != nil {
		return Prediction{}, err
	}
	drainMessages := drainErrors(ctx, api)

	policies, err := disruptionPolicies(ctx, api)
	if err != nil {
		return Prediction{}, err
	}
	operator := operatorNode(ctx, r)
	out := Prediction{Platforms: platforms(nodes.Items), Disruptions: map[string]NodeDisruption{},
		UnmanagedNodes: unmanagedNodes(pools.Items, nodes.Items)}
	members := pool.NodesByPool(pools.Items, nodes.Items)
	for i := range pools.Items {
		mcp := &pools.Items[i]
		observedPool, err := pool.FromMCP(mcp, members[mcp.Name], name)
		if err != nil {
			return Prediction{}, err
		}
		observedPool.Layered = layered[mcp.Name]
		for j := range observedPool.Nodes {
			n := &observedPool.Nodes[j]
			n.DrainMessage, n.RunsMCO = drainMessages[n.Name], n.Name == operator
		}
		if err := p.predictPool(ctx, api, &out, mcp, observedPool, u, policies); err != nil {
			out.Unpredicted = append(out.Unpredicted, PoolError{Pool: observedPool, Err: err})
		}
	}
	return out, nil
}

// predictPool predicts one pool and adds it.
func (p *Predictor) predictPool(ctx context.Context, api client.Reader, out *Prediction, mcp *mcfgv1.MachineConfigPool,
	observedPool rollout.Pool, u Unions, policies []opv1.NodeDisruptionPolicyStatusFile) error {
	predicted, err := p.predictConfigs(ctx, api, mcp, u.Before, u.After, u.Now)
	if err != nil {
		return err
	}
	if err := p.classify(ctx, api, &observedPool, predicted); err != nil {
		return err
	}
	disruption, err := predicted.disruption(policies)
	if err != nil {
		return err
	}
	replaced, err := p.replacedConfigs(ctx, api, observedPool, predicted.PoolConfig)
	if err != nil {
		return err
	}
	out.Pools = append(out.Pools, observedPool)
	out.Disruptions[mcp.Name] = disruption
	out.Configs = append(append(out.Configs, predicted.PoolConfig), replaced...)
	out.RegistriesConfs = append(out.RegistriesConfs, mcp.Name+"\n"+predicted.after)
	return nil
}

// classify says what the pool's rendered configuration means, and what else would reach its nodes
// with it.
func (p *Predictor) classify(ctx context.Context, api client.Reader, observedPool *rollout.Pool,
	configs poolPrediction) error {
	rendered, err := p.machineConfig(ctx, api, observedPool.Rendered)
	if err != nil {
		return err
	}
	config, err := rendered.files.Config()
	if err != nil {
		return fmt.Errorf("rendered MachineConfig %s: %w", observedPool.Rendered, err)
	}
	difference := registriesconf.EffectiveDifferences(configs.After, config)
	switch {
	case len(difference) == 0:
		observedPool.Registries = rollout.MatchesPlanned
	case len(registriesconf.EffectiveDifferences(configs.Before, config)) == 0:
		observedPool.Registries = rollout.MatchesBefore
	case len(registriesconf.EffectiveDifferences(configs.current, config)) == 0:
		observedPool.Registries = rollout.MatchesEarlier
	default:
		observedPool.Registries, observedPool.Difference = rollout.MatchesOther, difference[:min(len(difference), 5)]
	}
	return p.addPendingChanges(ctx, api, observedPool, rendered)
}

// replacedConfigs are the configurations that nodes of the pool run, the planned one would replace,
// and the mirror sets of now do not tell of: those of an earlier spec of ours, or of before
// somebody else changed a set. What they serve must not be lost either (I2).
func (p *Predictor) replacedConfigs(ctx context.Context, api client.Reader, observedPool rollout.Pool,
	planned plan.PoolConfig) ([]plan.PoolConfig, error) {
	var out []plan.PoolConfig
	known, seen := []registriesconf.Config{planned.Before, planned.After}, map[string]bool{"": true}
	for _, n := range observedPool.Nodes {
		// a node on its way will run the one that it was told to
		for _, name := range []string{n.CurrentConfig, n.DesiredConfig} {
			if seen[name] {
				continue
			}
			seen[name] = true
			config, err := p.configOf(ctx, api, name, n.Name)
			if err != nil {
				return nil, err
			}
			if config != nil && !slices.ContainsFunc(known,
				func(k registriesconf.Config) bool {
					return len(registriesconf.EffectiveDifferences(k,
						*config)) == 0
				}) {
				known = append(known, *config)
				out = append(out, plan.PoolConfig{Name: observedPool.Name + " after " + name, Before: *config,
					After: planned.After})
			}
		}
	}
	return out, nil
}

// configOf is the registries configuration of a rendered MachineConfig that a node runs; nil when
// the MachineConfig is gone.
func (p *Predictor) configOf(ctx context.Context, api client.Reader, name, node string) (*registriesconf.Config,
	error) {
	current, err := p.machineConfig(ctx, api, name)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	config, err := current.files.Config()
	if err != nil {
		return nil, fmt.Errorf("rendered MachineConfig %s, which node %s runs: %w", name, node, err)
	}
	return &config, nil
}

// operatorNode is the node that runs the machine-config-operator, whose turn comes last in its
// pool. The MCO's rule works with exactly one such pod. It is about the order alone, so what cannot
// be read is left out.
func operatorNode(ctx context.Context, r client.Reader) string {
	var pods corev1.PodList
	err := r.List(ctx, &pods, client.InNamespace("openshift-machine-config-operator"),
		client.MatchingLabels{"k8s-app": "machine-config-operator"})
	if err != nil || len(pods.Items) != 1 {
		return ""
	}
	return pods.Items[0].Spec.NodeName
}

// layeredPools are those with a MachineOSConfig. Where the kind does not exist there are none.
func layeredPools(ctx context.Context, r client.Reader) (map[string]bool, error) {
	var list mcfgv1.MachineOSConfigList
	if err := r.List(ctx, &list); err != nil {
		if meta.IsNoMatchError(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("listing MachineOSConfigs: %w", err)
	}
	out := map[string]bool{}
	for i := range list.Items {
		out[list.Items[i].Spec.MachineConfigPool.Name] = true
	}
	return out, nil
}

// drainErrors are the MCO's own words on drains that do not succeed, by node. They only ever add
// detail.
func drainErrors(ctx context.Context, r client.Reader) map[string]string {
	var list mcfgv1.MachineConfigNodeList
	if err := r.List(ctx, &list); err != nil {
		return nil
	}
	out := map[string]string{}
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == string(mcfgv1.MachineConfigNodeUpdateDrained) && c.Status == "Unknown" &&
				strings.Contains(c.Message, "rror") {
				out[list.Items[i].Name] = c.Message
			}
		}
	}
	return out
}

func platforms(nodes []corev1.Node) []string {
	var out []string
	for i := range nodes {
		arch := nodes[i].Status.NodeInfo.Architecture
		if p := "linux/" + arch; arch != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
