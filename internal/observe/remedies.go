package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	operatorv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// remedies reads what remedies have changed, what they could change about the drains that are held
// up, and the notes of remedies that the record has lost. On a cluster at rest that is a look at
// the nodes, which are cached.
func (observer *Observer) remedies(ctx context.Context, reader client.Reader,
	obs *Observation) rollout.Value[rollout.Remedies] {
	var out rollout.Remedies
	for _, r := range rollout.OpenRemedies(obs.Observed.Record) {
		if remediation.NewObject(r) == nil {
			continue
		}
		// Past the caches, which do not hold all of these kinds, and may be older than our own
		// write.
		_, c, err := remediation.ReadObject(ctx, observer.API, r)
		if err != nil {
			return rollout.Unknown[rollout.Remedies](err.Error())
		}
		out.Objects = append(out.Objects, c)
	}
	found, err := observer.remediesOnObjects(ctx, reader, obs)
	if err != nil {
		return rollout.Unknown[rollout.Remedies](err.Error())
	}
	out.Unrecorded = found
	if out.Candidates, err = observer.remedyCandidates(ctx, reader, obs); err != nil {
		return rollout.Unknown[rollout.Remedies](err.Error())
	}
	return rollout.Known(out)
}

// remediesOnObjects are the remedies of this rollout that the notes on nodes and IngressControllers
// record. A note counts only on the object that its remedy names. Notes on Deployments do not
// count: a tenant can write one on a Deployment of his own, and a note that one read sees and
// another does not (the caches drop the annotations of workloads) would hold every disruptive
// action. A remedy of a Deployment whose record is lost is undone with the command in its note.
func (observer *Observer) remediesOnObjects(ctx context.Context, reader client.Reader,
	obs *Observation) ([]v1alpha1.RemedyRecord, error) {
	var objects []client.Object
	var nodes corev1.NodeList
	if err := reader.List(ctx, &nodes); err != nil {
		return nil, err
	}
	for i := range nodes.Items {
		objects = append(objects, &nodes.Items[i])
	}
	if obs.Rollout.Spec.Remediation.Enabled(v1alpha1.ScaleIngress) {
		var list operatorv1.IngressControllerList
		err := observer.API.List(ctx, &list, client.InNamespace(ingressNamespace))
		// Without the right, or without the kind, nothing was ever changed there.
		if err != nil && !apierrors.IsForbidden(err) && !meta.IsNoMatchError(err) {
			return nil, fmt.Errorf("listing the IngressControllers: %w", err)
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	var out []v1alpha1.RemedyRecord
	for _, o := range objects {
		if note, ok := remediation.ReadNote(o); ok && note.Rollout == obs.Rollout.Name && note.IsAbout(o) {
			out = append(out, note.Remedy)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.RemedyRecord) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// addProofs tells of each image that a pod waits for when it was last proven, and what the last try
// was told.
func addProofs(o rollout.Value[[]rollout.BlockedDrain],
	find func(reference string) (mirror.Result, bool)) rollout.Value[[]rollout.BlockedDrain] {
	blockedDrains, ok := o.Get()
	if !ok {
		return o
	}
	for _, blocked := range blockedDrains {
		for _, p := range blocked.Pods {
			for i := range p.Pulls {
				pull := &p.Pulls[i]
				r, known := find(pull.Reference)
				switch {
				case !known:
				case r.State == mirror.Verified:
					pull.ProvenAt = r.At
				case r.Err != nil:
					pull.ProofError = truncate(r.Err.Error())
				}
			}
		}
	}
	return rollout.Known(blockedDrains)
}

// worstResult is the result of the job for a reference, in whatever spelling a pod has it. Of
// several, one per pool, the one that failed or is oldest counts.
func (obs *Observation) worstResult(reference string) (mirror.Result, bool) {
	var out mirror.Result
	found := false
	for _, key := range obs.JobsOf(reference) {
		r, known := obs.Results[key]
		if known && (!found || r.State != mirror.Verified || (out.State == mirror.Verified && r.At.Before(out.At))) {
			out, found = r, true
		}
	}
	return out, found
}

// JobsOf are the keys of the jobs for a reference, in whatever spelling a pod has it.
func (obs *Observation) JobsOf(reference string) []string {
	var keys []string
	for _, i := range obs.Plan.Items {
		if i.Name == reference || slices.Contains(i.Spellings, reference) {
			keys = append(keys, i.Key())
		}
	}
	return keys
}

// TrustBundle are the certificates of spec.mirroring.caBundle.
func (observer *Observer) TrustBundle(ctx context.Context, r *v1alpha1.SafeMirrorRollout) ([]byte, error) {
	pem, problem := observer.readCABundle(ctx, r)
	switch {
	case problem != nil:
		return nil, fmt.Errorf("%s", problem.Message)
	case pem == nil:
		return nil, fmt.Errorf("spec.mirroring.caBundle names no ConfigMap")
	}
	return pem, nil
}
