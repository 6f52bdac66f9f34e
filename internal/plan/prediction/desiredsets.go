package prediction

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// DesiredSets is a rollout with the mirror sets that it wants; nil stands for none.
type DesiredSets struct {
	Rollout *v1alpha1.SafeMirrorRollout
	IDMS    *configv1.ImageDigestMirrorSet
	ITMS    *configv1.ImageTagMirrorSet
}

// DesiredSetsOf is what the rollout wants to be in the cluster.
func DesiredSetsOf(r *v1alpha1.SafeMirrorRollout) DesiredSets {
	return DesiredSets{Rollout: r, IDMS: mirrorset.IDMS(r), ITMS: mirrorset.ITMS(r)}
}

// ReadSets reads every object that decides registries.conf. They are one union: the MCO knows no
// mirror set of its own pool or owner.
func ReadSets(ctx context.Context, r client.Reader) (registriesconf.Sets, error) {
	var out registriesconf.Sets
	image := &configv1.Image{}
	switch err := r.Get(ctx, client.ObjectKey{Name: "cluster"}, image); {
	case err == nil:
		out.Image = image
	case client.IgnoreNotFound(err) != nil:
		return out, fmt.Errorf("reading image.config.openshift.io/cluster: %w", err)
	}
	version := &configv1.ClusterVersion{}
	if err := r.Get(ctx, client.ObjectKey{Name: "version"}, version); client.IgnoreNotFound(err) != nil {
		return out, fmt.Errorf("reading clusterversion/version: %w", err)
	}
	out.ReleaseImage = version.Status.Desired.Image

	var itms configv1.ImageTagMirrorSetList
	if err := r.List(ctx, &itms); err != nil {
		return out, fmt.Errorf("listing ImageTagMirrorSets: %w", err)
	}
	out.ITMSs = itms.Items
	var idms configv1.ImageDigestMirrorSetList
	if err := r.List(ctx, &idms); err != nil {
		return out, fmt.Errorf("listing ImageDigestMirrorSets: %w", err)
	}
	out.IDMSs = idms.Items
	var icsp operatorv1alpha1.ImageContentSourcePolicyList
	if err := r.List(ctx, &icsp); err != nil && !meta.IsNoMatchError(err) {
		return out, fmt.Errorf("listing ImageContentSourcePolicies: %w", err)
	}
	out.ICSPs = icsp.Items
	return out, nil
}

// Present are the sets of the rollout's name in the cluster, nil for one that is absent. Whether
// they are its own is for mirrorset to say.
func (desired DesiredSets) Present(all registriesconf.Sets) (idms *configv1.ImageDigestMirrorSet,
	itms *configv1.ImageTagMirrorSet) {
	for i := range all.IDMSs {
		if all.IDMSs[i].Name == desired.Rollout.Name {
			idms = &all.IDMSs[i]
		}
	}
	for i := range all.ITMSs {
		if all.ITMSs[i].Name == desired.Rollout.Name {
			itms = &all.ITMSs[i]
		}
	}
	return idms, itms
}

// States compares what is wanted with what is there.
func (desired DesiredSets) States(all registriesconf.Sets) rollout.MirrorSets {
	idms, itms := desired.Present(all)
	return rollout.MirrorSets{
		IDMS: mirrorset.IDMSState(desired.IDMS, idms, desired.Rollout.Name),
		ITMS: mirrorset.ITMSState(desired.ITMS, itms, desired.Rollout.Name),
	}
}

// Without is the union as if this rollout did not exist, and With as it is to be. Both hold at any
// time, so that what the rollout changes is known even half way through it.
func (desired DesiredSets) Without(all registriesconf.Sets) registriesconf.Sets {
	state := desired.States(all)
	idms, itms := "", ""
	if state.IDMS != rollout.SetForeign && state.IDMS != rollout.SetNotWanted {
		idms = desired.Rollout.Name
	}
	if state.ITMS != rollout.SetForeign && state.ITMS != rollout.SetNotWanted {
		itms = desired.Rollout.Name
	}
	return all.Without(idms, itms)
}

// With is the union as it is to be.
func (desired DesiredSets) With(all registriesconf.Sets) registriesconf.Sets {
	return desired.Without(all).With(desired.IDMS, desired.ITMS)
}
