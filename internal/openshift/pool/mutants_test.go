package pool

import (
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"

	"github.com/safe-mirror/safe-mirror-operator/test/sim/mutants/mutant"
)

// The safety rules of this package, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	mutant.Of("stale cache: a patch over somebody's edit", patch,
		func(mcp *mcfgv1.MachineConfigPool, annotations map[string]any) map[string]any {
			return map[string]any{"resourceVersion": mcp.ResourceVersion, "annotations": annotations}
		},
		func(annotations map[string]any) map[string]any { return map[string]any{"annotations": annotations} }),
}
