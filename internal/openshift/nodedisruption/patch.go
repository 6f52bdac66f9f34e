package nodedisruption

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	opv1 "github.com/openshift/api/operator/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// The patches below carry the resourceVersion of the object that they were made for: the list of
// policies goes over the wire as a whole, and nobody's entry must be lost with it.

// NotOwnedError is the outcome of a patch that was decided on a policy that is now another. Nothing
// is written; the next look decides anew.
type NotOwnedError struct{ Why string }

func (e *NotOwnedError) Error() string {
	return "MachineConfiguration " + Name + " is left alone: " + e.Why
}

// Ensure writes the policy by which nodes reload, and the policy record beside it. What the policy
// record says was there before has to be there still, so that it can never say something else than
// what is lost by this write.
func Ensure(ctx context.Context, c client.Client, mc *opv1.MachineConfiguration, record rollout.PolicyRecord) error {
	have, err := FromMachineConfiguration(mc, record.Rollout)
	switch {
	case err != nil:
		return err
	case have.ForeignOwner != "":
		return &NotOwnedError{"it carries the policy of SafeMirrorRollout " + have.ForeignOwner}
	case have.Record != nil && have.Ours:
		return nil
	case !have.Ours && have.Entry != record.Prior:
		return &NotOwnedError{fmt.Sprintf("%q has changed its policy for registries.conf meanwhile", have.ChangedBy)}
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	ours := reloadEntry()
	return patch(ctx, c, mc, string(text), withEntry(mc, &ours))
}

// Restore restores the previous policy and takes the policy record off. An entry that is not ours
// any more is somebody else's, and stays.
func Restore(ctx context.Context, c client.Client, mc *opv1.MachineConfiguration, rolloutName string) error {
	have, err := FromMachineConfiguration(mc, rolloutName)
	if err != nil || have.Record == nil {
		return err
	}
	if !have.Ours {
		return patch(ctx, c, mc, nil, nil)
	}
	var previous *opv1.NodeDisruptionPolicySpecFile
	if have.Record.Prior != "" {
		if err := json.Unmarshal([]byte(have.Record.Prior), &previous); err != nil {
			return fmt.Errorf("the previous entry in annotation %s of MachineConfiguration %s is not one: %w",
				PolicyRecordAnnotation, mc.Name, err)
		}
	}
	return patch(ctx, c, mc, nil, withEntry(mc, previous))
}

// withEntry are the entries with this one in the place of the one for registries.conf; nil stands
// for none.
func withEntry(mc *opv1.MachineConfiguration,
	by *opv1.NodeDisruptionPolicySpecFile) []opv1.NodeDisruptionPolicySpecFile {
	files := slices.Clone(mc.Spec.NodeDisruptionPolicy.Files)
	i := slices.IndexFunc(files, func(f opv1.NodeDisruptionPolicySpecFile) bool { return f.Path == registriesconf.RegistriesPath })
	switch {
	case by == nil && i >= 0:
		files = slices.Delete(files, i, i+1)
	case by != nil && i >= 0:
		files[i] = *by
	case by != nil:
		files = append(files, *by)
	}
	if files == nil {
		files = []opv1.NodeDisruptionPolicySpecFile{}
	}
	return files
}

// patch writes the policy record, nil to take it off, and the entries, nil to leave them as they
// are.
func patch(ctx context.Context, c client.Client, mc *opv1.MachineConfiguration, record any,
	files []opv1.NodeDisruptionPolicySpecFile) error {
	body := map[string]any{"metadata": map[string]any{
		"resourceVersion": mc.ResourceVersion, "annotations": map[string]any{PolicyRecordAnnotation: record},
	}}
	if files != nil {
		body["spec"] = map[string]any{"nodeDisruptionPolicy": map[string]any{"files": files}}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, mc.DeepCopy(), client.RawPatch(types.MergePatchType, text),
		client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("patching MachineConfiguration %s: %w", mc.Name, err)
	}
	return nil
}
