package pool

import (
	"context"
	"encoding/json"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// RecordTargets writes on the pause record of a paused pool which of its nodes are about to be told
// to take a configuration. Nothing but the annotation changes, so the MCO has nothing to do about
// it. What the last unpause window has set on the pool is remembered for its return. What is on the
// pool already is not written again: whoever has lost the answer comes by to tell the nodes, and
// would lose the next one as well.
func RecordTargets(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool,
	record rollout.PauseRecord) error {
	have, err := ReadPauseRecord(mcp)
	switch {
	case err != nil:
		return err
	case have == nil || have.Rollout != record.Rollout:
		return &NotOwnedError{mcp.Name, "it does not carry the pause record of SafeMirrorRollout " + record.Rollout}
	case !mcp.Spec.Paused:
		return &NotOwnedError{mcp.Name, "it is not paused"}
	}
	window := *record.Release
	if have.Release != nil {
		window.MaxUnavailable = have.Release.MaxUnavailable
	}
	have.Release = &window
	return patch(ctx, c, mcp, have, nil)
}

// NodeBusyError is the outcome of telling a node that cannot be told now. Nothing is written.
type NodeBusyError struct{ Node, Why string }

func (e *NodeBusyError) Error() string { return "node " + e.Node + " is left alone: " + e.Why }

// SetDesiredConfig tells a node at rest to run the configuration, as the MCO itself does
// (pkg/controller/node, updateCandidateNode). The patch carries the node's version: a node that
// anything has happened to since it was read is looked at again. Telling a node twice is no harm.
func SetDesiredConfig(ctx context.Context, c client.Client, n *corev1.Node, target string) error {
	a := n.Annotations
	observed := fromNode(n)
	switch {
	case observed.DesiredConfig == target:
		return nil
	case a[desiredImage] != "" || a[currentImage] != "":
		return &NodeBusyError{n.Name, "it runs an image of its own (on-cluster layering)"}
	case !observed.Done():
		return &NodeBusyError{n.Name, fmt.Sprintf("it is on its way from %q to %q, state %q", observed.CurrentConfig,
			observed.DesiredConfig, observed.State)}
	case !observed.Ready || observed.Unschedulable:
		return &NodeBusyError{n.Name, "it is cordoned or not Ready"}
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": n.ResourceVersion, "annotations": map[string]string{desiredConfig: target},
	}})
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, n.DeepCopy(), client.RawPatch(types.MergePatchType, body),
		client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("patching Node %s: %w", n.Name, err)
	}
	return nil
}
