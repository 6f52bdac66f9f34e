package sim

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/config/crd"
	"github.com/safe-mirror/safe-mirror-operator/config/crd/validation"
)

// rolloutSchema is what the API server refuses: the CustomResourceDefinition as it is installed. A
// validator takes a while to compile, so all worlds share one.
var rolloutSchema = sync.OnceValues(func() (*validation.Validator, error) {
	definition, err := crd.Rollouts()
	if err != nil {
		return nil, err
	}
	return validation.New(definition, v1alpha1.GroupVersion.Version)
})

// validStatus returns what the API server would refuse of the status.
func validStatus(s v1alpha1.SafeMirrorRolloutStatus) error {
	v, err := rolloutSchema()
	if err != nil {
		return err
	}
	r := &v1alpha1.SafeMirrorRollout{Status: s}
	r.APIVersion, r.Kind, r.Name = v1alpha1.GroupVersion.String(), "SafeMirrorRollout", "shop"
	r.Spec.ImageTagMirrors = []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"mirror.local/acme"}}}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r)
	if err != nil {
		return err
	}
	return validation.Join(v.Create(context.Background(), object))
}
