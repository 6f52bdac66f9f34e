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

// Announce writes on the ledger of a paused pool which of its nodes are about to be told to take a configuration. Nothing but the
// annotation changes, so the MCO has nothing to do about it. What the last pulse has set on the pool is remembered for its return. What is on
// the pool already is not written again: whoever has lost the answer comes by to tell the nodes, and would lose the next one as well.
func Announce(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool, ledger rollout.Ledger) error {
	have, err := ReadLedger(mcp)
	switch {
	case err != nil:
		return err
	case have == nil || have.Rollout != ledger.Rollout:
		return &NotOurs{mcp.Name, "it does not carry the ledger of SafeMirrorRollout " + ledger.Rollout}
	case !mcp.Spec.Paused:
		return &NotOurs{mcp.Name, "it is not paused"}
	}
	release := *ledger.Release
	if have.Release != nil {
		release.Room = have.Release.Room
	}
	have.Release = &release
	return patch(ctx, c, mcp, have, nil)
}

// NotAtRest is the outcome of telling a node that cannot be told now. Nothing is written.
type NotAtRest struct{ Node, Why string }

func (e *NotAtRest) Error() string { return "node " + e.Node + " is left alone: " + e.Why }

// Target tells a node at rest to run the configuration, as the MCO itself does (pkg/controller/node, updateCandidateNode). The patch
// carries the node's version: a node that anything has happened to since it was read is looked at again. Telling a node twice is no harm.
func Target(ctx context.Context, c client.Client, n *corev1.Node, target string) error {
	a := n.Annotations
	view := nodeView(n)
	switch {
	case view.Desired == target:
		return nil
	case a[desiredImage] != "" || a[currentImage] != "":
		return &NotAtRest{n.Name, "it runs an image of its own (on-cluster layering)"}
	case !view.AtRest():
		return &NotAtRest{n.Name, fmt.Sprintf("it is on its way from %q to %q, state %q", view.Current, view.Desired, view.State)}
	case !view.Ready || view.Unschedulable:
		return &NotAtRest{n.Name, "it is cordoned or not Ready"}
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": n.ResourceVersion, "annotations": map[string]string{desiredConfig: target},
	}})
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, n.DeepCopy(), client.RawPatch(types.MergePatchType, body), client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("patching Node %s: %w", n.Name, err)
	}
	return nil
}
