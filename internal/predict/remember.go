package predict

import (
	"context"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Remembering reads rendered MachineConfigs, which never change and are large, through what the predictor keeps of them.
func (p *Predictor) Remembering(r client.Reader) client.Reader { return remembering{r, p} }

type remembering struct {
	client.Reader
	predictor *Predictor
}

// Get implements client.Reader.
func (r remembering) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	mc, ok := object.(*mcfgv1.MachineConfig)
	if !ok || !rendered(key.Name) {
		return r.Reader.Get(ctx, key, object, opts...)
	}
	have, err := r.predictor.machineConfig(ctx, r.Reader, key.Name)
	if err != nil {
		return err
	}
	have.machineConfig.DeepCopyInto(mc)
	return nil
}

// rendered tells whether a MachineConfig of that name is one that the MCO has rendered.
func rendered(name string) bool { return strings.HasPrefix(name, "rendered-") }
