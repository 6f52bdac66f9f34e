package pool

import (
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
)

// UnmanagedNode is a node that the labels of more than one custom pool select. The MCO leaves it
// out of all of them: it is in nobody's count, and never gets a new configuration.
type UnmanagedNode struct {
	Node  string
	Pools []string
}

// UnmanagedNodes are the nodes that belong to no pool because they are in too many.
func UnmanagedNodes(pools []mcfgv1.MachineConfigPool, nodes []corev1.Node) []UnmanagedNode {
	var out []UnmanagedNode
	for i := range nodes {
		n := &nodes[i]
		if n.Labels[corev1.LabelOSStable] == "windows" || primaryPool(pools, n) != "" {
			continue
		}
		var in []string
		for j := range pools {
			if name := pools[j].Name; name != workerPool && selects(&pools[j], n) {
				in = append(in, name)
			}
		}
		if len(in) > 1 {
			slices.Sort(in)
			out = append(out, UnmanagedNode{Node: n.Name, Pools: in})
		}
	}
	return out
}
