package observe

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// What the tests in which execute acts, package observe_test, need of this one.
var (
	AtRest     = cluster
	Asked      = plannedObservation
	Blocking   = blocking
	Pod        = pod
	Budget     = pdb
	CanaryNode = canaryNode
)

// OperatorNamespace is the operator's own.
const OperatorNamespace = operatorNamespace

// KnownTransfers and KnownCanary are parts of the observation that have to be known.
var (
	KnownTransfers = mustKnow[rollout.Transfers]
	KnownCanary    = mustKnow[rollout.CanaryPulls]
)

// ReadCanary is what the observer sees of the canaries.
func (observer *Observer) ReadCanary(ctx context.Context, w *Observation) rollout.Value[rollout.CanaryPulls] {
	return observer.canaryPulls(ctx, observer.Client, w)
}
