package prediction

import (
	"cmp"
	"context"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// requiredKinds are the kinds without which there is nothing to roll out and nobody who would.
var requiredKinds = []schema.GroupVersionKind{
	mcfgv1.GroupVersion.WithKind("MachineConfigPool"),
	configv1.GroupVersion.WithKind("ImageTagMirrorSet"),
	configv1.GroupVersion.WithKind("ClusterVersion"),
}

// Discovery tells whether a cluster has a kind, and fails when it cannot be told.
type Discovery func(schema.GroupVersionKind) (bool, error)

// DiscoveryFrom is the discovery of a live cluster.
func DiscoveryFrom(m meta.RESTMapper) Discovery {
	return func(kind schema.GroupVersionKind) (bool, error) {
		_, err := m.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			return false, nil
		}
		return err == nil, err
	}
}

// ReadCluster says whether this cluster can be rolled, and whether something bigger is going on.
func ReadCluster(ctx context.Context, r client.Reader, has Discovery) rollout.Value[rollout.Cluster] {
	for _, kind := range requiredKinds {
		ok, err := has(kind)
		if err != nil {
			return rollout.Unknown[rollout.Cluster](err.Error())
		}
		if !ok {
			return rollout.Known(rollout.Cluster{Unsupported: "this cluster has no " + kind.Kind + " (" +
				kind.GroupVersion().String() +
				"): no Machine Config Operator brings mirror sets to its nodes, as on MicroShift or plain Kubernetes; configure " +
				"/etc/containers/registries.conf on the hosts instead"})
		}
	}
	infrastructure := &configv1.Infrastructure{}
	if err := r.Get(ctx, client.ObjectKey{Name: "cluster"}, infrastructure); client.IgnoreNotFound(err) != nil {
		return rollout.Unknown[rollout.Cluster](err.Error())
	}
	out := rollout.Cluster{Unsupported: pool.Unsupported(infrastructure)}
	version := &configv1.ClusterVersion{}
	if err := r.Get(ctx, client.ObjectKey{Name: "version"}, version); err != nil {
		return rollout.Unknown[rollout.Cluster](err.Error())
	}
	out.Upgrading = upgrading(version)
	return rollout.Known(out)
}

// upgrading follows the ClusterVersion contract: the newest history entry is Partial until the
// payload is applied everywhere. A release that is named by its image has no version until it was
// pulled.
func upgrading(v *configv1.ClusterVersion) string {
	if len(v.Status.History) > 0 && v.Status.History[0].State == configv1.PartialUpdate {
		return cmp.Or(v.Status.History[0].Version, v.Status.History[0].Image, "another release")
	}
	for _, c := range v.Status.Conditions {
		if c.Type == configv1.OperatorProgressing && c.Status == configv1.ConditionTrue {
			return cmp.Or(v.Status.Desired.Version, v.Status.Desired.Image, "another release")
		}
	}
	return ""
}
