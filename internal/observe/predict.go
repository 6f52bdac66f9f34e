package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// renderedConfig is what we keep of a rendered MachineConfig: its name is a hash of its content, so it never changes.
type renderedConfig struct {
	machineConfig *mcfgv1.MachineConfig
	files         registries.Files
}

// prediction is every pool as it is, with the configuration before and after.
type prediction struct {
	pools     []rollout.Pool
	configs   []plan.Pool
	digests   []string
	platforms []string
}

func (l *Live) predict(ctx context.Context, r client.Reader, w *World, all registries.Sets) (prediction, error) {
	var pools mcfgv1.MachineConfigPoolList
	if err := r.List(ctx, &pools); err != nil {
		return prediction{}, fmt.Errorf("listing MachineConfigPools: %w", err)
	}
	slices.SortFunc(pools.Items, func(a, b mcfgv1.MachineConfigPool) int { return strings.Compare(a.Name, b.Name) })
	var nodes corev1.NodeList
	if err := r.List(ctx, &nodes); err != nil {
		return prediction{}, fmt.Errorf("listing Nodes: %w", err)
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	layered, err := layeredPools(ctx, l.API)
	if err != nil {
		return prediction{}, err
	}
	drains := l.drainReports(ctx)

	out := prediction{platforms: platforms(nodes.Items)}
	members := pool.Assign(pools.Items, nodes.Items)
	before := without(w, all, setStates(w, all))
	after := before.With(w.Digest, w.Tag)
	for i := range pools.Items {
		mcp := &pools.Items[i]
		view, err := pool.View(mcp, members[mcp.Name], w.Rollout.Name)
		if err != nil {
			return prediction{}, err
		}
		view.Layered = layered[mcp.Name]
		for j := range view.Nodes {
			view.Nodes[j].Drain = drains[view.Nodes[j].Name]
		}
		predicted, err := l.configs(ctx, mcp, before, after, all)
		if err != nil {
			return prediction{}, fmt.Errorf("MachineConfigPool %s: %w", mcp.Name, err)
		}
		if err := l.judge(ctx, &view, predicted); err != nil {
			return prediction{}, err
		}
		out.pools = append(out.pools, view)
		replaced, err := l.replaced(ctx, view, predicted.Pool)
		if err != nil {
			return prediction{}, err
		}
		out.configs = append(append(out.configs, predicted.Pool), replaced...)
		out.digests = append(out.digests, mcp.Name+"\n"+predicted.text)
	}
	return out, nil
}

// predicted is what a pool's nodes have without our mirror sets and with them.
type predicted struct {
	plan.Pool
	// text is the file with them.
	text string
	// now follows from the mirror sets as they are in the cluster: those of an earlier spec of ours, for example. It is the zero
	// Config when they are not valid, and then the MCO renders nothing from them.
	now registries.Config
}

// configs predicts from the base file of the built-in pool that the MCO renders for, the union of all mirror sets, and the
// drop-ins that the pool's rendered MachineConfig carries.
func (l *Live) configs(ctx context.Context, mcp *mcfgv1.MachineConfigPool, before, after, now registries.Sets) (predicted, error) {
	base, err := l.base(ctx, mcp.Name)
	if err != nil {
		return predicted{}, err
	}
	rendered, err := l.machineConfig(ctx, mcp.Spec.Configuration.Name)
	if err != nil {
		return predicted{}, err
	}
	out := predicted{Pool: plan.Pool{Name: mcp.Name}}
	render := func(sets registries.Sets) (registries.Config, string, error) {
		text, err := registries.Render(base, sets)
		if err != nil {
			return registries.Config{}, "", err
		}
		config, err := registries.Parse(text, rendered.files.DropIns)
		return config, string(text), err
	}
	if out.Before, _, err = render(before); err != nil {
		return predicted{}, err
	}
	if out.After, out.text, err = render(after); err != nil {
		return predicted{}, err
	}
	if config, _, err := render(now); err == nil {
		out.now = config
	}
	return out, nil
}

// base is the registries.conf that the MCO starts from: it is in the MachineConfig 01-<pool>-container-runtime of the built-in
// pool, and custom pools get the worker's.
func (l *Live) base(ctx context.Context, poolName string) ([]byte, error) {
	for _, name := range []string{poolName, "worker"} {
		mc := &mcfgv1.MachineConfig{}
		err := l.API.Get(ctx, client.ObjectKey{Name: "01-" + name + "-container-runtime"}, mc)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err != nil {
			continue
		}
		files, err := registries.FromMachineConfig(mc)
		if err != nil {
			return nil, err
		}
		return files.Main, nil
	}
	return nil, fmt.Errorf("neither MachineConfig 01-%s-container-runtime nor 01-worker-container-runtime exists, so the MCO has not rendered anything yet", poolName)
}

// machineConfig reads a rendered MachineConfig, once.
func (l *Live) machineConfig(ctx context.Context, name string) (renderedConfig, error) {
	if name == "" {
		return renderedConfig{}, errors.New("the MCO has not rendered any configuration for it yet")
	}
	l.mu.Lock()
	have, ok := l.rendered[name]
	l.mu.Unlock()
	if ok {
		return have, nil
	}
	mc := &mcfgv1.MachineConfig{}
	if err := l.API.Get(ctx, client.ObjectKey{Name: name}, mc); err != nil {
		return renderedConfig{}, fmt.Errorf("reading rendered MachineConfig %q: %w", name, err)
	}
	files, err := registries.FromMachineConfig(mc)
	if err != nil {
		return renderedConfig{}, err
	}
	mc.ManagedFields = nil
	have = renderedConfig{machineConfig: mc, files: files}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rendered == nil || len(l.rendered) > 64 {
		l.rendered = map[string]renderedConfig{}
	}
	l.rendered[name] = have
	return have, nil
}

// judge says what the pool's rendered configuration means, and what else would reach its nodes with it.
func (l *Live) judge(ctx context.Context, p *rollout.Pool, configs predicted) error {
	rendered, err := l.machineConfig(ctx, p.Rendered)
	if err != nil {
		return err
	}
	config, err := rendered.files.Config()
	if err != nil {
		return fmt.Errorf("rendered MachineConfig %s: %w", p.Rendered, err)
	}
	difference := registries.SameMeaning(configs.After, config)
	switch {
	case len(difference) == 0:
		p.Meaning = rollout.MeansPlanned
	case len(registries.SameMeaning(configs.Before, config)) == 0:
		p.Meaning = rollout.MeansBefore
	case len(registries.SameMeaning(configs.now, config)) == 0:
		p.Meaning = rollout.MeansEarlier
	default:
		p.Meaning, p.Difference = rollout.MeansOther, difference[:min(len(difference), 5)]
	}
	return l.riders(ctx, p, rendered)
}

// replaced are the configurations that nodes of the pool run, the planned one would replace, and the mirror sets of now do not tell
// of: those of an earlier spec of ours, or of before somebody else changed a set. What they serve must not be lost either (I2).
func (l *Live) replaced(ctx context.Context, p rollout.Pool, planned plan.Pool) ([]plan.Pool, error) {
	var out []plan.Pool
	known, seen := []registries.Config{planned.Before, planned.After}, map[string]bool{"": true}
	for _, n := range p.Nodes {
		if seen[n.Current] {
			continue
		}
		seen[n.Current] = true
		current, err := l.machineConfig(ctx, n.Current)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err != nil {
			continue
		}
		config, err := current.files.Config()
		if err != nil {
			return nil, fmt.Errorf("rendered MachineConfig %s, which node %s runs: %w", n.Current, n.Name, err)
		}
		if !slices.ContainsFunc(known, func(k registries.Config) bool { return len(registries.SameMeaning(k, config)) == 0 }) {
			known = append(known, config)
			out = append(out, plan.Pool{Name: p.Name + " after " + n.Current, Before: config, After: planned.After})
		}
	}
	return out, nil
}

// riders lists what else would change on the nodes that do not run the rendered configuration yet. A node's own
// MachineConfig may be gone, which is nothing to wait for.
func (l *Live) riders(ctx context.Context, p *rollout.Pool, rendered renderedConfig) error {
	seen := map[string]bool{p.Rendered: true, "": true}
	for _, n := range p.Nodes {
		if seen[n.Current] {
			continue
		}
		seen[n.Current] = true
		current, err := l.machineConfig(ctx, n.Current)
		if err != nil {
			if client.IgnoreNotFound(err) == nil {
				continue
			}
			return err
		}
		lines, err := registries.OtherDifferences(current.machineConfig, rendered.machineConfig)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !harmless(line) && !slices.Contains(p.Riders, line) && len(p.Riders) < 5 {
				p.Riders = append(p.Riders, line)
			}
		}
	}
	return nil
}

// harmlessPaths are what the MCO by default neither drains nor reboots for: files, and directories with all that is in them. The pull
// secret is one of them, and it is rotated so often that holding for it would never end (R6). passwd stands for the keys of SSH.
var harmlessPaths = []string{
	"/var/lib/kubelet/config.json", "/etc/containers/policy.json", "/etc/containers/registries.d", "/etc/crio/policies",
	"/etc/machine-config-daemon/no-reboot/containers-gpg.pub", "/etc/nmstate/openshift",
	"/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt", "passwd",
}

func harmless(line string) bool {
	return slices.ContainsFunc(harmlessPaths, func(path string) bool { return line == path || strings.HasPrefix(line, path+"/") })
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

// drainReports are the MCO's own words on drains that do not succeed, by node. They only ever add detail.
func (l *Live) drainReports(ctx context.Context) map[string]string {
	var list mcfgv1.MachineConfigNodeList
	if err := l.API.List(ctx, &list); err != nil {
		return nil
	}
	out := map[string]string{}
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == string(mcfgv1.MachineConfigNodeUpdateDrained) && c.Status == "Unknown" && strings.Contains(c.Message, "rror") {
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
