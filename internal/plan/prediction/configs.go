package prediction

import (
	"context"
	"errors"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// renderedConfig is what we keep of a rendered MachineConfig: its name is a hash of its content, so
// it never changes.
type renderedConfig struct {
	machineConfig *mcfgv1.MachineConfig
	files         registriesconf.Files
}

// poolPrediction is what a pool's nodes have without our mirror sets and with them.
type poolPrediction struct {
	plan.PoolConfig
	// before and after are the texts of registries.conf, dropIns the files beside it.
	before, after string
	dropIns       map[string][]byte
	// current follows from the mirror sets as they are in the cluster: those of an earlier spec of
	// ours, for example. It is the zero Config when they are not valid, and then the MCO renders
	// nothing from them.
	current registriesconf.Config
}

// predictConfigs predicts from the base file of the built-in pool that the MCO renders for, the
// union of all mirror sets, and the drop-ins that the pool's rendered MachineConfig carries.
func (p *Predictor) predictConfigs(ctx context.Context, api client.Reader, mcp *mcfgv1.MachineConfigPool, before, after,
	now registriesconf.Sets) (poolPrediction, error) {
	base, err := baseFile(ctx, api, mcp.Name)
	if err != nil {
		return poolPrediction{}, err
	}
	rendered, err := p.machineConfig(ctx, api, mcp.Spec.Configuration.Name)
	if err != nil {
		return poolPrediction{}, err
	}
	out := poolPrediction{PoolConfig: plan.PoolConfig{Name: mcp.Name}, dropIns: rendered.files.DropIns}
	render := func(sets registriesconf.Sets) (registriesconf.Config, string, error) {
		text, err := registriesconf.Render(base, sets)
		if err != nil {
			return registriesconf.Config{}, "", err
		}
		config, err := registriesconf.Parse(text, rendered.files.DropIns)
		return config, string(text), err
	}
	if out.Before, out.before, err = render(before); err != nil {
		return poolPrediction{}, err
	}
	if out.After, out.after, err = render(after); err != nil {
		return poolPrediction{}, err
	}
	if config, _, err := render(now); err == nil {
		out.current = config
	}
	return out, nil
}

// disruption judges the change of the file alone: from what follows without our mirror sets to what
// follows with them.
func (c poolPrediction) disruption(policies []opv1.NodeDisruptionPolicyStatusFile) (NodeDisruption, error) {
	effect, rule, err := registriesconf.NodeEffectOf(registriesconf.Files{Main: []byte(c.before), DropIns: c.dropIns},
		registriesconf.Files{Main: []byte(c.after), DropIns: c.dropIns}, policies)
	return NodeDisruption{effect, rule}, err
}

// disruptionPolicies are the effective ones; nil stands for the MCO's default, as in releases that
// do not know any.
func disruptionPolicies(ctx context.Context, r client.Reader) ([]opv1.NodeDisruptionPolicyStatusFile, error) {
	config := &opv1.MachineConfiguration{}
	if err := r.Get(ctx, client.ObjectKey{Name: "cluster"}, config); err != nil {
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading machineconfiguration/cluster, which says what a change of registries.conf costs a node: %w", err)
	}
	return config.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files, nil
}

// baseFile is the registries.conf that the MCO starts from: it is in the MachineConfig
// 01-<pool>-container-runtime of the built-in pool, and custom pools get the worker's.
func baseFile(ctx context.Context, r client.Reader, poolName string) ([]byte, error) {
	for _, name := range []string{poolName, "worker"} {
		mc := &mcfgv1.MachineConfig{}
		err := r.Get(ctx, client.ObjectKey{Name: "01-" + name + "-container-runtime"}, mc)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err != nil {
			continue
		}
		files, err := registriesconf.FromMachineConfig(mc)
		if err != nil {
			return nil, err
		}
		return files.Main, nil
	}
	return nil, fmt.Errorf("neither MachineConfig 01-%s-container-runtime nor 01-worker-container-runtime exists, so the MCO has not rendered anything yet", poolName)
}

// RunningConfig is the configuration that the rendered MachineConfig of that name gives a node,
// which is what the node runs when its annotation machineconfiguration.openshift.io/currentConfig
// names it.
func (p *Predictor) RunningConfig(ctx context.Context, api client.Reader, name string) (registriesconf.Config, error) {
	have, err := p.machineConfig(ctx, api, name)
	if err != nil {
		return registriesconf.Config{}, err
	}
	return have.files.Config()
}

// machineConfig reads a rendered MachineConfig, once.
func (p *Predictor) machineConfig(ctx context.Context, api client.Reader, name string) (renderedConfig, error) {
	if name == "" {
		return renderedConfig{}, errors.New("the MCO has not rendered any configuration for it yet")
	}
	p.mu.Lock()
	have, ok := p.rendered[name]
	p.mu.Unlock()
	if ok {
		return have, nil
	}
	mc := &mcfgv1.MachineConfig{}
	if err := api.Get(ctx, client.ObjectKey{Name: name}, mc); err != nil {
		return renderedConfig{}, fmt.Errorf("reading rendered MachineConfig %q: %w", name, err)
	}
	files, err := registriesconf.FromMachineConfig(mc)
	if err != nil {
		return renderedConfig{}, err
	}
	mc.ManagedFields = nil
	have = renderedConfig{machineConfig: mc, files: files}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rendered == nil || len(p.rendered) > 64 {
		p.rendered = map[string]renderedConfig{}
	}
	p.rendered[name] = have
	return have, nil
}
