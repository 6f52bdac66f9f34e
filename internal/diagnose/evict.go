package diagnose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
)

// DryRun tries evictions without effect, through a client that may create pods/eviction. It is the only way to see what an admission
// webhook says, if that takes dry runs at all.
func DryRun(c client.Client) func(ctx context.Context, pod *corev1.Pod) (*drain.Refusal, error) {
	return func(ctx context.Context, pod *corev1.Pod) (*drain.Refusal, error) {
		eviction := &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}, Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		}
		err := c.SubResource("eviction").Create(ctx, pod.DeepCopy(), eviction, client.DryRunAll)
		return refusalOf(err)
	}
}

// refusalOf reads the answer. Not to be allowed to ask is no answer about the pod, nor is a pod that has gone meanwhile.
func refusalOf(err error) (*drain.Refusal, error) {
	var status apierrors.APIStatus
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil, nil
	case strings.Contains(err.Error(), "does not support dry run"):
		return nil, nil // that is the webhook's answer to us, and none to the drain
	case !errors.As(err, &status):
		return nil, fmt.Errorf("trying an eviction as a dry run: %w", err)
	case apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "admission webhook"):
		return nil, fmt.Errorf("evictions cannot be tried: %w", err)
	}
	s := status.Status()
	out := &drain.Refusal{Code: int(s.Code), Message: s.Message}
	if s.Code == http.StatusTooManyRequests && s.Details != nil {
		for _, c := range s.Details.Causes {
			out.Budget = out.Budget || c.Type == policyv1.DisruptionBudgetCause
		}
	}
	return out, nil
}
