package pool

import (
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
)

// Stray is a node that the labels of more than one custom pool select. The MCO leaves it out of all of them: it is in nobody's count, and
// never gets a new configuration.
type Stray struct {
	Node  string
	Pools []string
}

// Strays are the nodes that belong to no pool because they are in too many.
func Strays(pools []mcfgv1.MachineConfigPool, nodes []corev1.Node) []Stray {
	var out []Stray
	for i := range nodes {
		n := &nodes[i]
		if n.Labels[corev1.LabelOSStable] == "windows" || primary(pools, n) != "" {
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
			out = append(out, Stray{Node: n.Name, Pools: in})
		}
	}
	return out
}
