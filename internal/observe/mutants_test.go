package observe

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/internal/sim/mutants/mutant"
)

// The safety rules of this package, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	mutant.Of("stale cache: the second look is from it", (*Live).Refresh,
		func(l *Live, ctx context.Context, fresh *World) { l.look(ctx, fresh, l.API, true) },
		func(l *Live, ctx context.Context, fresh *World) { l.look(ctx, fresh, l.cached(), true) }),
}
