package inventory

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// keptMeta are the fields of an object's metadata that everybody may look at.
var keptMeta = []string{
	"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels",
	"ownerReferences",
}

// pruner is a decoded object of which not all that decodes is needed.
type pruner interface{ prune() }

// reduce keeps of an object what a T has, and who it is. An object that is no T keeps everything,
// so that reading it says the same.
func reduce[T any](o *unstructured.Unstructured) error {
	var t T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &t); err != nil {
		return nil //nolint:nilerr // a transform that fails stops the informer; Read reports the object
	}
	if p, ok := any(&t).(pruner); ok {
		p.prune()
	}
	kept, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&t)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	have, _ := o.Object["metadata"].(map[string]any)
	metadata, ok := kept["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
	}
	for _, key := range keptMeta {
		if value, ok := have[key]; ok {
			metadata[key] = value
		}
	}
	kept["metadata"], kept["apiVersion"], kept["kind"] = metadata, o.Object["apiVersion"], o.Object["kind"]
	o.Object = kept
	return nil
}
