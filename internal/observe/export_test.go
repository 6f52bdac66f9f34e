package observe

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// What the tests in which execute acts, package observe_test, need of this one.
var (
	AtRest     = cluster
	Asked      = asked
	Blocking   = blocking
	Pod        = pod
	Budget     = budget
	CanaryNode = canaryNode
)

// OperatorNamespace is the operator's own.
const OperatorNamespace = operatorNamespace

// KnownTransfers and KnownCanary are parts of the observation that have to be known.
var (
	KnownTransfers = seen[rollout.Transfers]
	KnownCanary    = seen[rollout.Canary]
)

// ReadCanary is what the observer sees of the canaries.
func (l *Live) ReadCanary(ctx context.Context, w *World) rollout.Known[rollout.Canary] {
	return l.canary(ctx, l.Client, w)
}
