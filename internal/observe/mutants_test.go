package observe

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/test/sim/mutants/mutant"
)

// The safety rules of this package, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	mutant.Of("stale cache: the second look is from it", (*Observer).Refresh,
		func(observer *Observer, ctx context.Context, fresh *Observation) {
			observer.readCluster(ctx, fresh, observer.API, true)
		},
		func(observer *Observer, ctx context.Context, fresh *Observation) {
			observer.readCluster(ctx, fresh, observer.cached(), true)
		}),
}
