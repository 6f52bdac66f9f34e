package predict

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Wanted is a rollout with the mirror sets that it wants; nil stands for none.
type Wanted struct {
	Rollout *v1alpha1.SafeMirrorRollout
	Digest  *configv1.ImageDigestMirrorSet
	Tag     *configv1.ImageTagMirrorSet
}

// Want is what the rollout wants to be in the cluster.
func Want(r *v1alpha1.SafeMirrorRollout) Wanted {
	return Wanted{Rollout: r, Digest: mirrorset.Digest(r), Tag: mirrorset.Tag(r)}
}

// ReadSets reads every object that decides registries.conf. They are one union: the MCO knows no mirror set of its own pool or
// owner.
func ReadSets(ctx context.Context, r client.Reader) (registries.Sets, error) {
	var out registries.Sets
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

// Have are the sets of the rollout's name in the cluster, nil for one that is absent. Whether they are its own is for mirrorset
// to say.
func (w Wanted) Have(all registries.Sets) (digest *configv1.ImageDigestMirrorSet, tag *configv1.ImageTagMirrorSet) {
	for i := range all.IDMSs {
		if all.IDMSs[i].Name == w.Rollout.Name {
			digest = &all.IDMSs[i]
		}
	}
	for i := range all.ITMSs {
		if all.ITMSs[i].Name == w.Rollout.Name {
			tag = &all.ITMSs[i]
		}
	}
	return digest, tag
}

// States compares what is wanted with what is there.
func (w Wanted) States(all registries.Sets) rollout.MirrorSets {
	digest, tag := w.Have(all)
	return rollout.MirrorSets{
		Digest: mirrorset.DigestState(w.Digest, digest, w.Rollout.Name),
		Tag:    mirrorset.TagState(w.Tag, tag, w.Rollout.Name),
	}
}

// Without is the union as if this rollout did not exist, and With as it shall be. Both hold at any time, so that what the rollout
// changes is known even half way through it.
func (w Wanted) Without(all registries.Sets) registries.Sets {
	state := w.States(all)
	digest, tag := "", ""
	if state.Digest != rollout.SetForeign && state.Digest != rollout.SetNotWanted {
		digest = w.Rollout.Name
	}
	if state.Tag != rollout.SetForeign && state.Tag != rollout.SetNotWanted {
		tag = w.Rollout.Name
	}
	return all.Without(digest, tag)
}

// With is the union as it shall be.
func (w Wanted) With(all registries.Sets) registries.Sets {
	return w.Without(all).With(w.Digest, w.Tag)
}
