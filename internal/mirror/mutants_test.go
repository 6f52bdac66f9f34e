package mirror

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/test/sim/mutants/mutant"
)

// The safety rules of this package, each broken once. Some test has to notice: make mutants.
var _ = []mutant.Mutant{
	mutant.Of("proof: by manifests, without blobs", (*registryClient).verifyEndpoint,
		func(t *tree) []blob { return t.blobs },
		func() []blob { return nil }),
	mutant.Of("proof: by the top digest only", (*registryClient).verifyEndpoint,
		func(r *repository, ctx context.Context, first *manifestCheck, only []string, look *endpointCheck) (*tree,
			*Error) {
			return r.loadTree(ctx, first.top, only, look.fetchChild)
		},
		func(r *repository, ctx context.Context, first *manifestCheck, look *endpointCheck) (*tree, *Error) {
			return r.loadTree(ctx, first.top, []string{}, look.fetchChild)
		}),
}
