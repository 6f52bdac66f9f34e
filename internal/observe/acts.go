package observe

import (
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
)

// What execute has started is read through these two, and through nothing else: observe starts no
// transfer and makes no pod.

// Transfers are the jobs of the mirror engine.
type Transfers interface {
	// Snapshot is what has come of each job, by its key.
	Snapshot() map[string]mirror.Result
	// Started tells which plan the engine has the jobs of, and whether they copy; empty when it has
	// none.
	Started() (plan string, copying bool)
}

// PullChecks are the pulls by which nodes prove the mirrors.
type PullChecks interface {
	Probes() pullcheck.Checks
	Canaries() pullcheck.CanaryChecks
}
