package execute

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/remedy"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// remedy carries out what is to be done about a drain that does not progress, or undoes it. Each reads its object past the caches and
// writes with the resourceVersion of that reading: what somebody else does in between wins.
func (e *Executor) remedy(ctx context.Context, w *observe.World, a rollout.Action) error {
	switch a := a.(type) {
	case rollout.MirrorAgain:
		e.Transfers.Recheck(w, a.References, a.Remedy.DecidedAt.Time)
		return nil
	case rollout.DeletePod:
		return e.deletePod(ctx, a)
	case rollout.AddTrust:
		return e.addTrust(ctx, w, a)
	case rollout.Cordon:
		return e.cordon(ctx, w, a)
	case rollout.Uncordon:
		return e.uncordon(ctx, a)
	case rollout.ScaleUp:
		return e.scaleUp(ctx, w, a)
	case rollout.ScaleBack:
		return e.scaleBack(ctx, a)
	default:
		return fmt.Errorf("no executor for action %s", a.Key())
	}
}

// target reads the object of a remedy that is about to be changed. It has to be the very object that was decided upon, with the value that
// it had then, or with ours already, when an earlier life of this process had come so far.
func (e *Executor) target(ctx context.Context, a rollout.Action, r v1alpha1.RemedyRecord) (client.Object, rollout.Changed, error) {
	o, c, err := remedy.Look(ctx, e.API, r)
	switch {
	case err != nil:
		return nil, c, err
	case c.Gone:
		return nil, c, &Refused{Action: a.Key(), Why: fmt.Sprintf("%s %s is gone", r.Kind, r.Name)}
	case !c.Noted && c.Value != r.OriginalValue:
		return nil, c, &Refused{Action: a.Key(), Why: fmt.Sprintf("%s %s has %q, and had %q when it was decided", r.Kind, r.Name, c.Value, r.OriginalValue)}
	}
	return o, c, nil
}

// change makes the changes to the object of a remedy, with the note in the same patch, unless both are there already.
func (e *Executor) change(ctx context.Context, w *observe.World, a rollout.Action, r v1alpha1.RemedyRecord, changes func() (map[string]any, error)) error {
	o, c, err := e.target(ctx, a, r)
	if err != nil || (c.Noted && c.Value == r.IntendedValue) {
		return err
	}
	body, err := changes()
	if err != nil {
		return err
	}
	return e.patchNoted(ctx, o, noteOf(w, r), body)
}

// changed reads the object of a remedy that is to be undone; nil when nothing of it is left to undo, because the object is gone or does not
// carry the note of this remedy any more.
func (e *Executor) changed(ctx context.Context, r v1alpha1.RemedyRecord) (client.Object, rollout.Changed, error) {
	o, c, err := remedy.Look(ctx, e.API, r)
	if err != nil || c.Gone || !c.Noted {
		return nil, c, err
	}
	return o, c, nil
}

// Uncordon takes back what a remedy did to a node of which nobody but the note on it tells: its rollout is gone.
func Uncordon(ctx context.Context, c client.Client, api client.Reader, r v1alpha1.RemedyRecord) error {
	return (&Executor{Client: c, API: api}).uncordon(ctx, rollout.Uncordon{Remedy: r})
}

// patchNoted merges the changes into the object, together with the note; a nil note takes it off.
func (e *Executor) patchNoted(ctx context.Context, o client.Object, note *remedy.Note, changes map[string]any) error {
	annotations := map[string]any{remedy.Annotation: nil}
	if note != nil {
		annotations[remedy.Annotation] = note.String()
	}
	body := map[string]any{"metadata": map[string]any{"resourceVersion": o.GetResourceVersion(), "annotations": annotations}}
	for k, v := range changes {
		body[k] = v
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := e.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, text), client.FieldOwner(pool.FieldManager)); err != nil {
		return fmt.Errorf("patching %T %s: %w", o, o.GetName(), err)
	}
	return nil
}

func noteOf(w *observe.World, r v1alpha1.RemedyRecord) *remedy.Note {
	n := remedy.NewNote(w.Rollout.Name, r)
	return &n
}
