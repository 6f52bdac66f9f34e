package execute

import (
	"context"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// cordon keeps new pods off the node, with the note in the same patch.
func (e *Executor) cordon(ctx context.Context, obs *observe.Observation, a rollout.Cordon) error {
	return e.changeObject(ctx, obs, a, a.Remedy, func() (map[string]any, error) {
		return map[string]any{"spec": map[string]any{"unschedulable": true}}, nil
	})
}

// uncordon takes the cordon off if it is ours and the note with it. A node that is on its way to
// another configuration is left cordoned: it is being drained, and its daemon uncordons it at the
// end.
func (e *Executor) uncordon(ctx context.Context, a rollout.Uncordon) error {
	o, c, err := e.objectToRestore(ctx, a.Remedy)
	switch {
	case err != nil || o == nil:
		return err
	case c.Value != rollout.Cordoned || !c.Ours || remediation.NodeUpdating(o):
		return e.patchWithNote(ctx, o, nil, nil)
	}
	return e.patchWithNote(ctx, o, nil, map[string]any{"spec": map[string]any{"unschedulable": nil}})
}
