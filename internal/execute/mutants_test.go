package execute

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/sim/mutants/mutant"
)

// The safety rules of this package, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	mutant.Of("fresh read: dropped before what is disruptive", (*Executor).Execute,
		func(a rollout.Action) bool { return a.Disruptive() },
		func() bool { return false }),
	mutant.Of("stale cache: a pool is patched by it", (*Executor).updatePool,
		func(e *Executor) client.Reader { return e.API },
		func(e *Executor) client.Reader { return e.Client }),
}
