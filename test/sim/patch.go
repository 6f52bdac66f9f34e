package sim

import (
	"context"
	"encoding/json"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
)

// poolClient lets the patches of internal/openshift/pool reach the simulated API server. It knows
// nothing else: any other call panics, because the embedded client is nil.
type poolClient struct {
	client.Client
	p *process
}

// mergePatch is the part of a JSON merge patch that the operator's patches of a pool consist of. A
// null takes a value away.
type mergePatch struct {
	Metadata struct {
		ResourceVersion string             `json:"resourceVersion"`
		Annotations     map[string]*string `json:"annotations"`
	} `json:"metadata"`
	Spec map[string]json.RawMessage `json:"spec"`
}

// Patch applies the patch to the pool as it is now, unless it was made for an older one.
func (c poolClient) Patch(_ context.Context, obj client.Object, patch client.Patch, _ ...client.PatchOption) error {
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	var p mergePatch
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	a := c.p.sim.apiServer
	if _, isNode := obj.(*corev1.Node); isNode {
		return c.patchNode(obj.GetName(), p)
	}
	have, ok := a.live.pools.get(obj.GetName())
	group := schema.GroupResource{Group: mcfgv1.GroupName, Resource: "machineconfigpools"}
	switch {
	case !ok:
		return apierrors.NewNotFound(group, obj.GetName())
	case p.Metadata.ResourceVersion != have.ResourceVersion:
		return apierrors.NewConflict(group, obj.GetName(), fmt.Errorf("is at version %s", have.ResourceVersion))
	}
	return c.p.write(func() error {
		after, err := p.apply(have.DeepCopy())
		if err == nil {
			a.writePool(pool.FieldManager, after)
		}
		return err
	})
}

// patchNode lets the operator write one annotation of a node, and nothing else.
func (c poolClient) patchNode(name string, p mergePatch) error {
	a := c.p.sim.apiServer
	have, ok := a.live.nodes.get(name)
	group := schema.GroupResource{Resource: "nodes"}
	target := p.Metadata.Annotations[desiredConfig]
	switch {
	case !ok:
		return apierrors.NewNotFound(group, name)
	case p.Metadata.ResourceVersion != have.ResourceVersion:
		return apierrors.NewConflict(group, name, fmt.Errorf("is at version %s", have.ResourceVersion))
	case target == nil || len(p.Metadata.Annotations) != 1 || len(p.Spec) != 0:
		err := fmt.Errorf("the operator patches more than %s of node %s: %+v", desiredConfig, name, p)
		c.p.sim.checker.violate("model", "%v", err)
		return err
	}
	return c.p.write(func() error {
		c.p.sim.checker.checkNodeTarget(have, *target)
		a.editNode(name, func(n *corev1.Node) { n.Annotations[desiredConfig] = *target })
		return nil
	})
}

func (p mergePatch) apply(mcp *mcfgv1.MachineConfigPool) (*mcfgv1.MachineConfigPool, error) {
	for name, value := range p.Metadata.Annotations {
		if value == nil {
			delete(mcp.Annotations, name)
			continue
		}
		if mcp.Annotations == nil {
			mcp.Annotations = map[string]string{}
		}
		mcp.Annotations[name] = *value
	}
	for field, raw := range p.Spec {
		switch field {
		case "paused":
			if err := json.Unmarshal(raw, &mcp.Spec.Paused); err != nil {
				return nil, err
			}
		case "maxUnavailable":
			var max *intstr.IntOrString
			if err := json.Unmarshal(raw, &max); err != nil {
				return nil, err
			}
			mcp.Spec.MaxUnavailable = max
		default:
			return nil, fmt.Errorf("the operator patches spec.%s of a MachineConfigPool, of which the simulator knows nothing: model it in test/sim/patch.go", field)
		}
	}
	return mcp, nil
}
