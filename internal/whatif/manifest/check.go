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
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// rollouts is the schema of SafeMirrorRollout with its rules, as the API server has it.
var rollouts = sync.OnceValues(func() (*validation.Validator, error) {
	definition, err := crd.Rollouts()
	if err != nil {
		return nil, err
	}
	return validation.New(definition, v1alpha1.GroupVersion.Version)
})

// checkText says what the API server would refuse of the object as it is written. What depends on the cluster is judged with it.
func checkText(o Object, text []byte) error {
	if o.Rollout == nil {
		if name(o) == "" {
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
