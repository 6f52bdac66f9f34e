package preview

import (
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
)

// ImmediateConsumer is somebody who reads the mirror sets from the API, so that pausing pools does
// not hold it back.
type ImmediateConsumer struct {
	By    string
	Owner inventory.Owner
	// Images are those whose sources change; none means that which images it pulls cannot be told
	// from the cluster.
	Images []string
}

// findImmediateConsumers finds those of the immediate ones who are concerned. They follow the
// mirror sets and no pool, so any one pool's configuration stands for theirs.
func (f *Preview) findImmediateConsumers() {
	if len(f.Prediction.Configs) == 0 {
		return
	}
	pool := f.Prediction.Configs[0]
	for _, i := range f.Inventory.ImmediateConsumers {
		if len(i.Images) == 0 {
			f.Immediate = append(f.Immediate, ImmediateConsumer{By: i.By, Owner: i.Owner})
			continue
		}
		changed := slices.DeleteFunc(slices.Clone(i.Images),
			func(image string) bool { return !changesPull(pool, image) })
		if len(changed) > 0 {
			f.Immediate = append(f.Immediate, ImmediateConsumer{By: i.By, Owner: i.Owner, Images: changed})
		}
	}
}

func changesPull(pool plan.PoolConfig, image string) bool {
	return slices.ContainsFunc(pool.Before.Candidates(image), func(name string) bool {
		before, err := pool.Before.Resolve(name)
		if err != nil {
			return false
		}
		after, err := pool.After.Resolve(name)
		return err == nil && !before.Equal(after)
	})
}
