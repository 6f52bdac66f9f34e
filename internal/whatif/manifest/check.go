package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// Bounds of a SafeMirrorRollout, as its API has them.
const (
	maxItems   = 64
	maxMirrors = 16
	maxName    = 63
)

// check says what the API server would refuse, as far as that does not depend on other objects. Sources, mirrors and policies are judged
// with all mirror sets of the cluster together.
func check(o Object) error {
	if o.Rollout == nil {
		if name(o) == "" {
			return fmt.Errorf("metadata.name is missing")
		}
		return nil
	}
	r := o.Rollout
	if problems := validation.IsDNS1123Subdomain(r.Name); len(problems) > 0 || len(r.Name) > maxName {
		return fmt.Errorf("metadata.name: %q is no name of at most %d lower case letters, digits, dashes and dots", r.Name, maxName)
	}
	if len(r.Spec.ImageTagMirrors)+len(r.Spec.ImageDigestMirrors) == 0 {
		return fmt.Errorf("spec: give imageTagMirrors, imageDigestMirrors or both; with neither there is nothing to roll out")
	}
	if err := checkItems("spec.imageTagMirrors", r.Spec.ImageTagMirrors); err != nil {
		return err
	}
	if err := checkItems("spec.imageDigestMirrors", r.Spec.ImageDigestMirrors); err != nil {
		return err
	}
	switch r.Spec.State {
	case "", v1alpha1.StateActive, v1alpha1.StateHeld:
	default:
		return fmt.Errorf("spec.state: %q is none of Active, Held", r.Spec.State)
	}
	switch r.Spec.Mirroring.Mode {
	case "", v1alpha1.CopyAndVerify, v1alpha1.VerifyOnly:
	default:
		return fmt.Errorf("spec.mirroring.mode: %q is none of CopyAndVerify, VerifyOnly", r.Spec.Mirroring.Mode)
	}
	for i, risk := range r.Spec.Inventory.AcceptedRisks {
		if risk.Pattern == "" || risk.Reason == "" {
			return fmt.Errorf("spec.inventory.acceptedRisks[%d]: give a pattern and a reason", i)
		}
	}
	return nil
}

func checkItems(field string, list []v1alpha1.ImageMirrors) error {
	if len(list) > maxItems {
		return fmt.Errorf("%s: has %d items, and a rollout takes %d: make several rollouts, one after the other", field, len(list), maxItems)
	}
	for i, m := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch m.MirrorSourcePolicy {
		case "", v1alpha1.AllowContactingSource, v1alpha1.NeverContactSource:
		default:
			return fmt.Errorf("%s.mirrorSourcePolicy: %q is none of AllowContactingSource, NeverContactSource", at, m.MirrorSourcePolicy)
		}
		if m.Source == "" {
			return fmt.Errorf("%s.source is missing", at)
		}
		if n := len(m.Mirrors); n == 0 || n > maxMirrors {
			return fmt.Errorf("%s.mirrors: has %d, give 1 to %d", at, n, maxMirrors)
		}
	}
	return nil
}

func name(o Object) string {
	if o.Digest != nil {
		return o.Digest.Name
	}
	return o.Tag.Name
}

// Wish makes one wish of the objects: a rollout, or mirror sets of any number.
func Wish(objects []Object) (whatif.Wish, error) {
	var w whatif.Wish
	for _, o := range objects {
		switch {
		case o.Rollout != nil && len(objects) > 1:
			return w, fmt.Errorf("%s: a SafeMirrorRollout is planned alone, and there are %d objects", o.At, len(objects))
		case o.Rollout != nil:
			w.Rollout = o.Rollout
		case o.Digest != nil:
			w.Digests = append(w.Digests, *o.Digest)
		default:
			w.Tags = append(w.Tags, *o.Tag)
		}
	}
	if w.Plain() {
		w.Rollout = &v1alpha1.SafeMirrorRollout{}
		w.Rollout.Name = commonName(objects)
		w.Rollout.Spec = concatenated(objects)
	}
	return w, nil
}

// commonName is the name that all sets have, or a made-up one.
func commonName(objects []Object) string {
	first := name(objects[0])
	for _, o := range objects {
		if name(o) != first {
			return "mirrors"
		}
	}
	return first
}

// concatenated has the items of all sets one after another.
func concatenated(objects []Object) v1alpha1.SafeMirrorRolloutSpec {
	var out v1alpha1.SafeMirrorRolloutSpec
	for _, i := range items(objects) {
		if i.digest {
			out.ImageDigestMirrors = append(out.ImageDigestMirrors, i.ImageMirrors)
		} else {
			out.ImageTagMirrors = append(out.ImageTagMirrors, i.ImageMirrors)
		}
	}
	return out
}
