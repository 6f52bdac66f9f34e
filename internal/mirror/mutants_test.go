package mirror

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/internal/sim/mutants/mutant"
)

// The safety rules of this package, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	mutant.Of("proof: by manifests, without blobs", (*registries).prove,
		func(t *tree) []blob { return t.blobs },
		func() []blob { return nil }),
	mutant.Of("proof: by the top digest only", (*registries).prove,
		func(r *repository, ctx context.Context, first *glance, only []string, look *look) (*tree, *Error) {
			return r.loadTree(ctx, first.top, only, look.child)
		},
		func(r *repository, ctx context.Context, first *glance, look *look) (*tree, *Error) {
			return r.loadTree(ctx, first.top, []string{}, look.child)
		}),
}
