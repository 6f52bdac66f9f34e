package execute

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// savePrevious creates the ControllerRevision with the mirror sets of the rollout as the API server
// has them now, and deletes those that nothing names any more. The name is a hash of the content:
// when the sets have changed since the decision, it is another name, and the decision is made
// again.
func (e *Executor) savePrevious(ctx context.Context, obs *observe.Observation, a rollout.SavePrevious) error {
	idms, itms, err := e.ownSets(ctx, obs.Rollout.Name)
	if err != nil {
		return err
	}
	previous := mirrorset.PreviousOf(idms, itms)
	ref := previous.Reference(obs.Rollout.Name)
	if ref == nil || ref.Name != a.Revision {
		return &Refused{Action: a.Key(), Why: "the mirror sets have changed since"}
	}
	old, err := e.revisions(ctx, obs.Rollout.Name)
	if err != nil {
		return err
	}
	number := int64(1)
	for i := range old {
		if old[i].Name == ref.Name {
			if _, err := mirrorset.ReadRevision(&old[i], *ref); err == nil {
				return nil
			}
			if err := e.deleteRevision(ctx, &old[i]); err != nil { // it was edited: its data cannot be changed back
				return err
			}
		}
		number = max(number, old[i].Revision+1)
	}
	revision, err := previous.Revision(obs.Rollout, e.Observer.Namespace, number)
	if err != nil {
		return err
	}
	if err := e.Client.Create(ctx, revision, client.FieldOwner(pool.FieldManager)); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return &Refused{Action: a.Key(), Why: "a ControllerRevision of that name was created meanwhile"}
		}
		return fmt.Errorf("creating ControllerRevision %s/%s: %w", revision.Namespace, revision.Name, err)
	}
	return e.dropRevisions(ctx, obs, ref.Name)
}

// dropRevisions deletes the ControllerRevisions of the rollout that no mirror set of it names. keep
// is one more that stays. The mirror sets outlive a deleted rollout, and what they name does, too:
// a rollout of the same name may adopt them.
func (e *Executor) dropRevisions(ctx context.Context, obs *observe.Observation, keep string) error {
	if c, known := obs.Observed.Cluster.Get(); known && c.Unsupported != "" {
		return nil // no mirror sets here, so no revision of them
	}
	revisions, err := e.revisions(ctx, obs.Rollout.Name)
	if err != nil || len(revisions) == 0 {
		return err
	}
	idms, itms, err := e.ownSets(ctx, obs.Rollout.Name)
	if err != nil {
		return err
	}
	named := map[string]bool{keep: true}
	note := func(annotations map[string]string) {
		if ref, ok := mirrorset.PreviousFrom(annotations); ok && ref != nil {
			named[ref.Name] = true
		}
	}
	if idms != nil {
		note(idms.Annotations)
	}
	if itms != nil {
		note(itms.Annotations)
	}
	for i := range revisions {
		if named[revisions[i].Name] {
			continue
		}
		if err := e.deleteRevision(ctx, &revisions[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *Executor) deleteRevision(ctx context.Context, revision *appsv1.ControllerRevision) error {
	if err := e.Client.Delete(ctx, revision); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ControllerRevision %s/%s: %w", revision.Namespace, revision.Name, err)
	}
	return nil
}

func (e *Executor) revisions(ctx context.Context, rolloutName string) ([]appsv1.ControllerRevision, error) {
	var list appsv1.ControllerRevisionList
	err := e.API.List(ctx, &list, client.InNamespace(e.Observer.Namespace),
		client.MatchingLabels{mirrorset.LabelRollout: rolloutName})
	if err != nil {
		return nil, fmt.Errorf("listing the ControllerRevisions of SafeMirrorRollout %s: %w", rolloutName, err)
	}
	return list.Items, nil
}

// ownSets reads the mirror sets of the rollout past the caches; nil stands for none of ours.
func (e *Executor) ownSets(ctx context.Context, name string) (*configv1.ImageDigestMirrorSet,
	*configv1.ImageTagMirrorSet, error) {
	idms, itms := &configv1.ImageDigestMirrorSet{}, &configv1.ImageTagMirrorSet{}
	if err := e.API.Get(ctx, client.ObjectKey{Name: name}, idms); client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading ImageDigestMirrorSet %s: %w", name, err)
	}
	if err := e.API.Get(ctx, client.ObjectKey{Name: name}, itms); client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading ImageTagMirrorSet %s: %w", name, err)
	}
	if !isOf(idms, name) {
		idms = nil
	}
	if !isOf(itms, name) {
		itms = nil
	}
	return idms, itms, nil
}

func isOf(o metav1.Object, rolloutName string) bool {
	return o.GetLabels()[mirrorset.LabelRollout] == rolloutName
}
