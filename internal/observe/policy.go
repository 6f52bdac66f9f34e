package observe

import (
	"context"

	opv1 "github.com/openshift/api/operator/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/disruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// policy is what a change of registries.conf costs a node. It is read past the caches: what a daemon would do now decides.
func (l *Live) policy(ctx context.Context, name string) rollout.Known[rollout.Policy] {
	mc := &opv1.MachineConfiguration{}
	switch err := l.API.Get(ctx, client.ObjectKey{Name: disruption.Name}, mc); {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return rollout.Seen(rollout.Policy{Unsupported: disruption.Unsupported})
	case err != nil:
		return rollout.Unseen[rollout.Policy](err.Error())
	}
	p, err := disruption.View(mc, name)
	if err != nil {
		return rollout.Unseen[rollout.Policy](err.Error())
	}
	return rollout.Seen(p)
}
