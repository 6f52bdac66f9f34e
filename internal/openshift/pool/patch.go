package pool

import (
	"context"
	"encoding/json"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// FieldManager signs every write of the operator.
const FieldManager = "safe-mirror-operator"

// The patches below carry the resourceVersion of the pool that they were made for: a pool that
// somebody has changed since is looked at again, never overwritten.

// NotOwnedError is the outcome of a patch that was decided on a pool that is now somebody else's:
// another rollout holds it, somebody has paused it first, or it has been restored meanwhile.
// Nothing is written; the next look decides anew.
type NotOwnedError struct{ Pool, Why string }

func (e *NotOwnedError) Error() string {
	return "MachineConfigPool " + e.Pool + " is left alone: " + e.Why
}

// Pause pauses the pool and leaves the pause record on it, in one patch. On a pool that carries a
// pause record of the same rollout only the progress of the unpause window is taken over, so that
// the prior values on the object can never be lost.
func Pause(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool, record rollout.PauseRecord) error {
	have, err := ReadPauseRecord(mcp)
	switch {
	case err != nil:
		return err
	case have != nil:
		if record, err = mergeProgress(mcp, *have, record); err != nil {
			return err
		}
	case record.Release != nil || record.Repaused > 0:
		return &NotOwnedError{mcp.Name, "it no longer carries the pause record of SafeMirrorRollout " + record.Rollout}
	case mcp.Spec.Paused && pausedBy(mcp) != FieldManager:
		return &NotOwnedError{mcp.Name, fmt.Sprintf("it has been paused by %q meanwhile", pausedBy(mcp))}
	}
	return patch(ctx, c, mcp, &record, map[string]any{"paused": true})
}

// mergeProgress takes the progress of the unpause window over into the pause record on the pool. A
// pause ends whatever unpause window is on it.
func mergeProgress(mcp *mcfgv1.MachineConfigPool, have, next rollout.PauseRecord) (rollout.PauseRecord, error) {
	if have.Rollout != next.Rollout {
		return have, &NotOwnedError{mcp.Name, "SafeMirrorRollout " + have.Rollout + " holds it"}
	}
	have.Repaused = max(have.Repaused, next.Repaused)
	if have.Release != nil {
		closed := *have.Release
		closed.Closed = true
		have.Release = &closed
	}
	return have, nil
}

// Repause ends the unpause window on the pool's pause record: any replica of the operator may do
// it, leader or not (R1).
func Repause(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool) error {
	record, err := ReadPauseRecord(mcp)
	if err != nil || record == nil || record.Release == nil {
		return err
	}
	record.Release.Closed = true
	return patch(ctx, c, mcp, record, map[string]any{"paused": true})
}

// PauseUnreadable pauses a pool whose pause record cannot be read, and leaves the annotation as it is.
func PauseUnreadable(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": mcp.ResourceVersion},
		"spec":     map[string]any{"paused": true},
	})
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, mcp.DeepCopy(), client.RawPatch(types.MergePatchType, body),
		client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("patching MachineConfigPool %s: %w", mcp.Name, err)
	}
	return nil
}

// Unpause unpauses the pool with room for so many unavailable nodes, and puts the deadline on it,
// in one patch. Only a pool that carries the rollout's pause record is opened, and the prior values
// on it stay.
func Unpause(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool, record rollout.PauseRecord,
	maxUnavailable int) error {
	have, err := ReadPauseRecord(mcp)
	switch {
	case err != nil:
		return err
	case have == nil || have.Rollout != record.Rollout:
		return &NotOwnedError{mcp.Name, "it does not carry the pause record of SafeMirrorRollout " + record.Rollout}
	}
	window := *record.Release
	window.MaxUnavailable = maxUnavailable
	have.Release = &window
	return patch(ctx, c, mcp, have, map[string]any{"paused": false, "maxUnavailable": maxUnavailable})
}

// Restore gives the pool back its prior values and takes the pause record off. A pool without a
// pause record has been restored before, and a maxUnavailable that is neither the one of our last
// unpause window nor last written by us is somebody else's, and stays (I5). The second counts when
// somebody has taken the pause record off meanwhile, and the unpause window on it is forgotten.
func Restore(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool, paused bool,
	maxUnavailable string) error {
	record, err := ReadPauseRecord(mcp)
	if err != nil || record == nil {
		return err
	}
	spec := map[string]any{"paused": paused}
	if ourMaxUnavailable(mcp, record.Release) {
		spec["maxUnavailable"] = nil
		if maxUnavailable != "" {
			spec["maxUnavailable"] = intstr.Parse(maxUnavailable)
		}
	}
	return patch(ctx, c, mcp, nil, spec)
}

func ourMaxUnavailable(mcp *mcfgv1.MachineConfigPool, window *rollout.UnpauseWindow) bool {
	if mcp.Spec.MaxUnavailable == nil {
		return false
	}
	if window != nil && window.MaxUnavailable > 0 {
		return *mcp.Spec.MaxUnavailable == intstr.FromInt(window.MaxUnavailable)
	}
	return lastManager(mcp, "maxUnavailable") == FieldManager
}

// patch writes the pause record, or takes it off when there is none, and changes the spec where
// there is something to change. A note that is on the pool already, and nothing else, is not
// written.
func patch(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool, record *rollout.PauseRecord,
	spec map[string]any) error {
	annotations := map[string]any{PauseRecordAnnotation: nil}
	if record != nil {
		text, err := encode(*record)
		if err != nil {
			return err
		}
		if spec == nil && mcp.Annotations[PauseRecordAnnotation] == text {
			return nil
		}
		annotations[PauseRecordAnnotation] = text
	}
	change := map[string]any{"metadata": map[string]any{"resourceVersion": mcp.ResourceVersion,
		"annotations": annotations}}
	if spec != nil {
		change["spec"] = spec
	}
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	target := mcp.DeepCopy()
	if err := c.Patch(ctx, target, client.RawPatch(types.MergePatchType, body),
		client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("patching MachineConfigPool %s: %w", mcp.Name, err)
	}
	return nil
}
