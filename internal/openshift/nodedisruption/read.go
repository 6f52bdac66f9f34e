package nodedisruption

import (
	"context"

	opv1 "github.com/openshift/api/operator/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Read reads what a change of registries.conf costs a node, as the named rollout sees it. It must
// not be read from a cache by whoever acts on it: what a daemon would do now decides.
func Read(ctx context.Context, r client.Reader, name string) rollout.Value[rollout.NodeDisruptionPolicy] {
	mc := &opv1.MachineConfiguration{}
	switch err := r.Get(ctx, client.ObjectKey{Name: Name}, mc); {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return rollout.Known(rollout.NodeDisruptionPolicy{Unsupported: Unsupported})
	case err != nil:
		return rollout.Unknown[rollout.NodeDisruptionPolicy](err.Error())
	}
	p, err := FromMachineConfiguration(mc, name)
	if err != nil {
		return rollout.Unknown[rollout.NodeDisruptionPolicy](err.Error())
	}
	return rollout.Known(p)
}
