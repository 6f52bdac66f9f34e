package manifest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/config/crd"
	"github.com/safe-mirror/safe-mirror-operator/config/crd/validation"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
)

// rollouts is the schema of SafeMirrorRollout with its rules, as the API server has it.
var rollouts = sync.OnceValues(func() (*validation.Validator, error) {
	definition, err := crd.Rollouts()
	if err != nil {
		return nil, err
	}
	return validation.New(definition, v1alpha1.GroupVersion.Version)
})

// checkText says what the API server would refuse of the object as it is written. What depends on
// the cluster is judged with it.
func checkText(o Object, text []byte) error {
	if o.Rollout == nil {
		if setName(o) == "" {
			return errors.New("metadata.name is missing")
		}
		return nil
	}
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return err
	}
	schema, err := rollouts()
	if err != nil {
		return fmt.Errorf("reading the schema of SafeMirrorRollout: %w", err)
	}
	return validation.Join(schema.Create(context.Background(), object))
}

// check is checkText for a rollout that was made here.
func check(r *v1alpha1.SafeMirrorRollout) error {
	schema, err := rollouts()
	if err != nil {
		return fmt.Errorf("reading the schema of SafeMirrorRollout: %w", err)
	}
	made := r.DeepCopy()
	made.APIVersion, made.Kind = v1alpha1.GroupVersion.String(), "SafeMirrorRollout"
	return schema.Object(context.Background(), made)
}

func setName(o Object) string {
	if o.Digest != nil {
		return o.Digest.Name
	}
	return o.Tag.Name
}

// ProposedChange makes one wish of the objects: a rollout, or mirror sets of any number.
func ProposedChange(objects []Object) (preview.ProposedChange, error) {
	var change preview.ProposedChange
	for _, o := range objects {
		switch {
		case o.Rollout != nil && len(objects) > 1:
			return change, fmt.Errorf("%s: a SafeMirrorRollout is planned alone, and there are %d objects", o.At,
				len(objects))
		case o.Rollout != nil:
			change.Rollout = o.Rollout
		case o.Digest != nil:
			change.Digests = append(change.Digests, *o.Digest)
		default:
			change.Tags = append(change.Tags, *o.Tag)
		}
	}
	if change.IsPlain() {
		change.Rollout = &v1alpha1.SafeMirrorRollout{}
		change.Rollout.Name = commonName(objects)
		change.Rollout.Spec = concatenateItems(objects)
	}
	return change, nil
}

// commonName is the name that all sets have, or a made-up one.
func commonName(objects []Object) string {
	first := setName(objects[0])
	for _, o := range objects {
		if setName(o) != first {
			return "mirrors"
		}
	}
	return first
}

// concatenateItems has the items of all sets one after another.
func concatenateItems(objects []Object) v1alpha1.SafeMirrorRolloutSpec {
	var out v1alpha1.SafeMirrorRolloutSpec
	for _, i := range itemsOf(objects) {
		if i.digest {
			out.ImageDigestMirrors = append(out.ImageDigestMirrors, i.ImageMirrors)
		} else {
			out.ImageTagMirrors = append(out.ImageTagMirrors, i.ImageMirrors)
		}
	}
	return out
}
