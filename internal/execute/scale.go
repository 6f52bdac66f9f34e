package execute

import (
	"context"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// scaleUp writes the note first and then the number: should the process die in between, the note is
// found, and the number is still the original one.
func (e *Executor) scaleUp(ctx context.Context, obs *observe.Observation, a rollout.ScaleUp) error {
	o, c, err := e.objectToChange(ctx, a, a.Remedy)
	if err != nil {
		return err
	}
	if manager := remediation.ReplicasManager(o); manager != "" {
		return &Refused{Action: a.Key(),
			Why: fmt.Sprintf("the number of replicas of %s %s is %q's to set", a.Remedy.Kind, a.Remedy.Name, manager)}
	}
	if !c.HasNote {
		if err := e.patchWithNote(ctx, o, newNote(obs, a.Remedy), nil); err != nil {
			return err
		}
	}
	if c.Value == a.Remedy.IntendedValue {
		return nil
	}
	if c.Value != a.Remedy.OriginalValue {
		return &Refused{Action: a.Key(),
			Why: fmt.Sprintf("%s %s has %s replicas meanwhile", a.Remedy.Kind, a.Remedy.Name, c.Value)}
	}
	return e.scale(ctx, o, a.Remedy, a.Remedy.IntendedValue)
}

// scaleBack restores the earlier number if the present one is ours, and takes the note off last.
func (e *Executor) scaleBack(ctx context.Context, a rollout.ScaleDown) error {
	o, c, err := e.objectToRestore(ctx, a.Remedy)
	switch {
	case err != nil || o == nil:
		return err
	case c.Value == a.Remedy.IntendedValue && c.Ours:
		if err := e.scale(ctx, o, a.Remedy, a.Remedy.OriginalValue); err != nil {
			return err
		}
		if o, c, err = remediation.ReadObject(ctx, e.API, a.Remedy); err != nil || c.Gone {
			return err
		}
	}
	return e.patchWithNote(ctx, o, nil, nil)
}

// scale goes through the scale subresource, so that an IngressController's operator sees what a
// person's oc scale would do. A patch there carries the resourceVersion like any other.
func (e *Executor) scale(ctx context.Context, o client.Object, r v1alpha1.RemedyRecord, replicas string) error {
	n, err := strconv.ParseInt(replicas, 10, 32)
	if err != nil {
		return fmt.Errorf("remedy %s wants %q replicas of %s: %w", r.ID, replicas, r.Name, err)
	}
	body := fmt.Sprintf(`{"metadata":{"resourceVersion":%q},"spec":{"replicas":%d}}`, o.GetResourceVersion(), n)
	patch := client.RawPatch(types.MergePatchType, []byte(body))
	if err := e.Client.SubResource("scale").Patch(ctx, o, patch, client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("scaling %s %s/%s to %d: %w", r.Kind, r.Namespace, r.Name, n, err)
	}
	return nil
}
