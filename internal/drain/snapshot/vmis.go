package snapshot

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
)

var vmiListKind = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstanceList"}

// readVMIs are read only where there are any. Past a cache, because a cache keeps of them the
// images alone. Those that cannot be read are unknown one by one.
func (sr *snapshotReader) readVMIs(ctx context.Context) {
	needed := false
	for _, p := range sr.out.Pods {
		needed = needed || controlledBy(p, "VirtualMachineInstance")
	}
	if !needed {
		return
	}
	reader := sr.reader
	if sr.Uncached != nil {
		reader = sr.Uncached
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(vmiListKind)
	if reader.List(ctx, list) != nil {
		return
	}
	sr.out.VMEvictions = map[string]drain.VMEviction{}
	for i := range list.Items {
		m := &list.Items[i]
		var machine drain.VMEviction
		machine.EvictionStrategy, _, _ = unstructured.NestedString(m.Object, "spec", "evictionStrategy")
		conditions, _, _ := unstructured.NestedSlice(m.Object, "status", "conditions")
		for _, c := range conditions {
			condition, _ := c.(map[string]any)
			if condition["type"] == "LiveMigratable" {
				machine.Migratable = condition["status"] == "True"
				machine.Why, _ = condition["message"].(string)
			}
		}
		sr.out.VMEvictions[m.GetNamespace()+"/"+m.GetName()] = machine
	}
}
