package prediction

import (
	"context"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RenderedReader reads rendered MachineConfigs through what the predictor keeps of them: they never
// change, and are large.
func (p *Predictor) RenderedReader(r client.Reader) func(ctx context.Context, name string) (*mcfgv1.MachineConfig,
	error) {
	return func(ctx context.Context, name string) (*mcfgv1.MachineConfig, error) {
		have, err := p.machineConfig(ctx, r, name)
		return have.machineConfig, err
	}
}
