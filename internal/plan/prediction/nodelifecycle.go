package prediction

import (
	"context"
	"fmt"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// nodeLifecycleKinds are the kinds of objects that make nodes come or go by themselves while a
// rollout is in progress (R5). None of them forbids it.
var nodeLifecycleKinds = []struct {
	kind  schema.GroupVersionKind
	about string
}{
	{
		schema.GroupVersionKind{Group: "machine.openshift.io", Version: "v1beta1", Kind: "MachineHealthCheck"},
		"deletes the machines of nodes that stay NotReady for too long: should a node not come back, it is replaced by one that is born with the new configuration; " +
			"pause it with the annotation cluster.x-k8s.io/paused while the rollout is in progress",
	},
	{
		schema.GroupVersionKind{Group: "autoscaling.openshift.io", Version: "v1", Kind: "ClusterAutoscaler"},
		"adds and removes nodes: no other node is released while one is new or leaves, which may take the rollout longer",
	},
}

// maxNamedControllers bounds how many of a kind are named.
const maxNamedControllers = 5

// NodeLifecycleControllers names the objects that add or remove nodes by themselves. A kind that is
// absent, or not for us to read, is left out: it is a warning and decides nothing.
func NodeLifecycleControllers(ctx context.Context, r client.Reader) []string {
	var out []string
	for _, k := range nodeLifecycleKinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(k.kind.GroupVersion().WithKind(k.kind.Kind + "List"))
		if err := r.List(ctx, list); err != nil || len(list.Items) == 0 {
			continue
		}
		var names []string
		for i := range list.Items {
			if len(names) == maxNamedControllers {
				names = append(names, fmt.Sprintf("%d more", len(list.Items)-maxNamedControllers))
				break
			}
			names = append(names, list.Items[i].GetName())
		}
		out = append(out, fmt.Sprintf("%s %s %s", k.kind.Kind, strings.Join(names, ", "), k.about))
	}
	return out
}

// unmanagedNodes are the nodes that belong to no pool because they are in too many.
func unmanagedNodes(pools []mcfgv1.MachineConfigPool, nodes []corev1.Node) []rollout.Problem {
	var out []rollout.Problem
	for _, s := range pool.UnmanagedNodes(pools, nodes) {
		out = append(out, rollout.Problem{Reason: v1alpha1.ReasonPoolNotReady, Kind: "Node", Name: s.Node,
			Message: fmt.Sprintf(
				"node %s is selected by the custom pools %s, so the Machine Config Operator leaves it out of all pools and it never gets the mirror sets; "+
					"take all of their labels but one off the node", s.Node, strings.Join(s.Pools, " and "))})
	}
	return out
}
