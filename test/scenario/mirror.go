package scenario

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// SourceSeed makes the image of the first scenario, wherever it is pushed.
const SourceSeed = sourceSeed

// Damage takes the last layer out of an image that the registry has, and leaves its manifests: those who ask for it are served, and fail.
func Damage(ctx context.Context, r *lab.Registry, repository, tag string) error {
	return damage(ctx, r, repository, tag)
}
