package mirrorset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// FirstPass is the rollout as the first pass of a staged one wants it: with AllowContactingSource
// in place of NeverContactSource. A source that was blocked before stays blocked: the first pass
// unblocks nothing. differs is false when that leaves nothing to soften, and then one pass is all
// there is.
func FirstPass(r *v1alpha1.SafeMirrorRollout, previous Previous) (first *v1alpha1.SafeMirrorRollout, differs bool) {
	blocked := map[string]bool{}
	for _, list := range [][]v1alpha1.ImageMirrors{previous.Digest, previous.Tag} {
		for _, m := range list {
			blocked[m.Source] = blocked[m.Source] || m.MirrorSourcePolicy == v1alpha1.NeverContactSource
		}
	}
	out := r.DeepCopy()
	for _, list := range [][]v1alpha1.ImageMirrors{out.Spec.ImageDigestMirrors, out.Spec.ImageTagMirrors} {
		for i := range list {
			if list[i].MirrorSourcePolicy == v1alpha1.NeverContactSource && !blocked[list[i].Source] {
				list[i].MirrorSourcePolicy, differs = v1alpha1.AllowContactingSource, true
			}
		}
	}
	return out, differs
}

// ListsHash identifies the mirror lists of a spec.
func ListsHash(spec v1alpha1.SafeMirrorRolloutSpec) string {
	return contentHash([][]v1alpha1.ImageMirrors{spec.ImageDigestMirrors, spec.ImageTagMirrors})
}

// IDMSHash identifies what the set says; empty for none.
func IDMSHash(set *configv1.ImageDigestMirrorSet) string {
	if set == nil {
		return ""
	}
	return contentHash(set.Spec.ImageDigestMirrors)
}

// ITMSHash identifies what the set says; empty for none.
func ITMSHash(set *configv1.ImageTagMirrorSet) string {
	if set == nil {
		return ""
	}
	return contentHash(set.Spec.ImageTagMirrors)
}

func contentHash(list any) string {
	text, err := json.Marshal(list)
	if err != nil {
		panic("lists that came as JSON are not: " + err.Error()) // they have no type that could not be
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// WithoutConflicts is the tag mirror set without the sources to which the digest mirror set gives
// another policy; nil when none are left. The MCO takes the two together.
func WithoutConflicts(itms *configv1.ImageTagMirrorSet,
	idms *configv1.ImageDigestMirrorSet) *configv1.ImageTagMirrorSet {
	if itms == nil || idms == nil {
		return itms
	}
	policies := map[string]configv1.MirrorSourcePolicy{}
	for _, m := range idms.Spec.ImageDigestMirrors {
		policies[m.Source] = effectivePolicy(m.MirrorSourcePolicy)
	}
	out := itms.DeepCopy()
	out.Spec.ImageTagMirrors = nil
	for _, m := range itms.Spec.ImageTagMirrors {
		if policy, both := policies[m.Source]; !both || policy == effectivePolicy(m.MirrorSourcePolicy) {
			out.Spec.ImageTagMirrors = append(out.Spec.ImageTagMirrors, m)
		}
	}
	if len(out.Spec.ImageTagMirrors) == 0 {
		return nil
	}
	return out
}

// effectivePolicy is the MCO's reading of a policy.
func effectivePolicy(p configv1.MirrorSourcePolicy) configv1.MirrorSourcePolicy {
	if p == "" {
		return configv1.AllowContactingSource
	}
	return p
}
