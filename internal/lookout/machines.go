package lookout

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
)

var machineList = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstanceList"}

// machines are read only where there are any. Past a cache, because a cache keeps of them the images alone. Those that cannot be read are
// unknown one by one.
func (l *reading) machines(ctx context.Context) {
	some := false
	for _, p := range l.out.Pods {
		some = some || owned(p, "VirtualMachineInstance")
	}
	if !some {
		return
	}
	reader := l.r
	if l.Fresh != nil {
		reader = l.Fresh
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(machineList)
	if reader.List(ctx, list) != nil {
		return
	}
	l.out.Machines = map[string]drain.Machine{}
	for i := range list.Items {
		m := &list.Items[i]
		var machine drain.Machine
		machine.Strategy, _, _ = unstructured.NestedString(m.Object, "spec", "evictionStrategy")
		conditions, _, _ := unstructured.NestedSlice(m.Object, "status", "conditions")
		for _, c := range conditions {
			condition, _ := c.(map[string]any)
			if condition["type"] == "LiveMigratable" {
				machine.Migratable = condition["status"] == "True"
				machine.Why, _ = condition["message"].(string)
			}
		}
		l.out.Machines[m.GetNamespace()+"/"+m.GetName()] = machine
	}
}
