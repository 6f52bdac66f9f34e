package execute

import (
	"context"
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// addTrust adds one key to the ConfigMap in place. It is never replaced, not for a moment: while it
// is missing the MCO strips every node of the authorities in it.
func (e *Executor) addTrust(ctx context.Context, obs *observe.Observation, a rollout.AddTrustedCA) error {
	return e.changeObject(ctx, obs, a, a.Remedy, func() (map[string]any, error) {
		pem, err := e.Observer.TrustBundle(ctx, obs.Rollout)
		if err != nil {
			return nil, &Refused{Action: a.Key(), Why: fmt.Sprintf("the certificates could not be read: %v", err)}
		}
		return map[string]any{"data": map[string]any{a.Remedy.IntendedValue: string(pem)}}, nil
	})
}
