package execute

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// deletePod deletes a pod none of whose containers has ever run, by its UID and resourceVersion: a
// container that starts between the reading and the deletion changes the status, and the API server
// refuses (I9). Nobody's PodDisruptionBudget counts such a pod.
func (e *Executor) deletePod(ctx context.Context, a rollout.DeletePod) error {
	o, c, err := remediation.ReadObject(ctx, e.API, a.Remedy)
	if err != nil {
		return err
	}
	if c.Gone || o.GetDeletionTimestamp() != nil {
		return nil
	}
	p, ok := o.(*corev1.Pod)
	switch {
	case !ok:
		return fmt.Errorf("remedy %s is about a %s, not a pod", a.Remedy.ID, a.Remedy.Kind)
	case a.Remedy.UID == "":
		return &Refused{Action: a.Key(), Why: "it is not known by its UID"}
	case drain.HasStarted(p):
		return &Refused{Action: a.Key(), Why: fmt.Sprintf("a container of pod %s/%s has run meanwhile", p.Namespace,
			p.Name)}
	case metav1.GetControllerOf(p) == nil:
		return &Refused{Action: a.Key(),
			Why: fmt.Sprintf("pod %s/%s has no controller that would replace it", p.Namespace, p.Name)}
	}
	err = e.Client.Delete(ctx, p, client.Preconditions{UID: &p.UID, ResourceVersion: &p.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}
