package inventory

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kind is a kind of object that Read lists, so that a watch of it notices a reference that appears.
type Kind struct {
	schema.GroupVersionKind
	// Object is an empty object of the kind, typed or unstructured.
	Object client.Object
	// Selector limits the list, and a watch; nil means all. A cache that holds less than the
	// selector allows hides images.
	Selector labels.Selector
	// Essential kinds hold pods or start them: Read fails without them.
	Essential bool
}

// Kinds lists them. A cache waits for ever for a kind that it may not list, so one that is not
// essential should be served from a cache once it was found to be there and to be readable. Kinds
// of which Read looks at single objects by name (MachineConfigs, ControllerConfigs, ConfigMaps) are
// not among them.
func Kinds() []Kind {
	var out []Kind
	for _, s := range sources {
		if s.object == nil {
			continue
		}
		if o, ok := s.object.DeepCopyObject().(client.Object); ok {
			out = append(out, Kind{GroupVersionKind: s.kind, Object: o, Selector: s.selector, Essential: s.essential})
		}
	}
	return out
}
