package execute

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// remediate carries out what is to be done about a drain that does not progress, or undoes it. Each
// reads its object past the caches and writes with the resourceVersion of that reading: what
// somebody else does in between wins.
func (e *Executor) remediate(ctx context.Context, obs *observe.Observation, a rollout.Action) error {
	switch a := a.(type) {
	case rollout.RetryMirroring:
		e.Transfers.Recheck(obs, a.References, a.Remedy.DecidedAt.Time)
		return nil
	case rollout.DeletePod:
		return e.deletePod(ctx, a)
	case rollout.AddTrustedCA:
		return e.addTrust(ctx, obs, a)
	case rollout.Cordon:
		return e.cordon(ctx, obs, a)
	case rollout.Uncordon:
		return e.uncordon(ctx, a)
	case rollout.ScaleUp:
		return e.scaleUp(ctx, obs, a)
	case rollout.ScaleDown:
		return e.scaleBack(ctx, a)
	default:
		return fmt.Errorf("no executor for action %s", a.Key())
	}
}

// objectToChange reads the object of a remedy that is about to be changed. It has to be the very
// object that was decided upon, with the value that it had then, or with ours already, when an
// earlier life of this process had come so far.
func (e *Executor) objectToChange(ctx context.Context, a rollout.Action, r v1alpha1.RemedyRecord) (client.Object,
	rollout.RemedyObject, error) {
	o, c, err := remediation.ReadObject(ctx, e.API, r)
	switch {
	case err != nil:
		return nil, c, err
	case c.Gone:
		return nil, c, &Refused{Action: a.Key(), Why: fmt.Sprintf("%s %s is gone", r.Kind, r.Name)}
	case !c.HasNote && c.Value != r.OriginalValue:
		return nil, c, &Refused{Action: a.Key(),
			Why: fmt.Sprintf("%s %s has %q, and had %q when it was decided", r.Kind, r.Name, c.Value, r.OriginalValue)}
	}
	return o, c, nil
}

// changeObject makes the changes to the object of a remedy, with the note in the same patch, unless
// both are there already.
func (e *Executor) changeObject(ctx context.Context, obs *observe.Observation, a rollout.Action,
	r v1alpha1.RemedyRecord, changes func() (map[string]any, error)) error {
	o, c, err := e.objectToChange(ctx, a, r)
	if err != nil || (c.HasNote && c.Value == r.IntendedValue) {
		return err
	}
	body, err := changes()
	if err != nil {
		return err
	}
	return e.patchWithNote(ctx, o, newNote(obs, r), body)
}

// objectToRestore reads the object of a remedy that is to be undone; nil when nothing of it is left
// to undo, because the object is gone or does not carry the note of this remedy any more.
func (e *Executor) objectToRestore(ctx context.Context, r v1alpha1.RemedyRecord) (client.Object, rollout.RemedyObject,
	error) {
	o, c, err := remediation.ReadObject(ctx, e.API, r)
	if err != nil || c.Gone || !c.HasNote {
		return nil, c, err
	}
	return o, c, nil
}

// Uncordon takes back what a remedy did to a node of which nobody but the note on it tells: its
// rollout is gone.
func Uncordon(ctx context.Context, c client.Client, api client.Reader, r v1alpha1.RemedyRecord) error {
	return (&Executor{Client: c, API: api}).uncordon(ctx, rollout.Uncordon{Remedy: r})
}

// patchWithNote merges the changes into the object, together with the note; a nil note takes it
// off.
func (e *Executor) patchWithNote(ctx context.Context, o client.Object, note *remediation.Note,
	changes map[string]any) error {
	annotations := map[string]any{remediation.Annotation: nil}
	if note != nil {
		annotations[remediation.Annotation] = note.String()
	}
	body := map[string]any{"metadata": map[string]any{"resourceVersion": o.GetResourceVersion(),
		"annotations": annotations}}
	for k, v := range changes {
		body[k] = v
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := e.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, text),
		client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("patching %T %s: %w", o, o.GetName(), err)
	}
	return nil
}

func newNote(obs *observe.Observation, r v1alpha1.RemedyRecord) *remediation.Note {
	n := remediation.NewNote(obs.Rollout.Name, r)
	return &n
}
