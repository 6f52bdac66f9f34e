package execute

import (
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
)

// Transfers starts what the mirror engine copies and proves, and knows for which plan.
type Transfers struct {
	Engine *mirror.Engine

	mu      sync.Mutex
	plan    string
	copying bool
}

// Snapshot is what has come of each job, by its key.
func (t *Transfers) Snapshot() map[string]mirror.Result { return t.Engine.Snapshot() }

// Started tells which plan the engine has the jobs of, and whether they copy.
func (t *Transfers) Started() (plan string, copying bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.plan, t.copying
}

// Start hands the jobs of the plan to the engine. It returns at once. Without a registry client
// nothing is started: the look that found no credentials says so.
func (t *Transfers) Start(obs *observe.Observation, copying bool, notOlderThan time.Time) {
	if obs.Registry == nil {
		return
	}
	t.Engine.Ensure(obs.Registry, obs.Plan.Jobs(copying, t.Engine.Snapshot()), notOlderThan)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plan, t.copying = obs.Plan.Digest, copying
}

// Recheck lets the engine prove the references once more, unless they were since the time.
func (t *Transfers) Recheck(obs *observe.Observation, references []string, notOlderThan time.Time) {
	var keys []string
	for _, ref := range references {
		keys = append(keys, obs.JobsOf(ref)...)
	}
	t.Engine.Recheck(keys, notOlderThan)
}
