package scenario

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// SourceSeed makes the image of the first scenario, wherever it is pushed.
const SourceSeed = sourceSeed

// RemoveLastLayer takes the last layer out of an image that the registry has, and leaves its
// manifests: those who ask for it are served, and fail.
func RemoveLastLayer(ctx context.Context, r *lab.Registry, repository, tag string) error {
	return removeLastLayer(ctx, r, repository, tag)
}

// pushBaseImage puts an unused image on the node, as every real node has many: the disk of a node
// that reports no images is unknown, and such a node runs no pull checks.
func (c *Cluster) pushBaseImage(ctx context.Context, node string) error {
	if _, err := c.Lab.Registry(SourceHost).Push(ctx, "base/os:v1", lab.Image{Seed: "base"}); err != nil {
		return err
	}
	return c.Cache(ctx, node, SourceHost+"/base/os:v1")
}
