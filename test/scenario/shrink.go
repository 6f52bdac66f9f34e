package scenario

import (
	"context"
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// Shrink takes nodes away and waits until their pools no longer count them, so that a test which
// needs few does not wait for many.
func (c *Cluster) Shrink(ctx context.Context, names ...string) error {
	if err := c.deleteNodes(ctx, names...); err != nil {
		return err
	}
	return lab.Eventually(ctx, stageTimeout, "the pools count the nodes that are left",
		func(ctx context.Context) (bool, string, error) {
			nodes, err := c.nodes(ctx)
			if err != nil {
				return false, "", err
			}
			pools, err := c.Pools(ctx)
			if err != nil {
				return false, "", err
			}
			counted := 0
			for i := range pools {
				if ok, why := updated(&pools[i]); !ok {
					return false, why, nil
				}
				counted += int(pools[i].Status.MachineCount)
			}
			return counted == len(nodes), fmt.Sprintf("they count %d, and there are %d", counted, len(nodes)), nil
		})
}
