package evidence

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
)

// DryRun tries evictions without effect; the client behind it may create pods/eviction.
func DryRun(api *dryrun.API) func(ctx context.Context, pod *corev1.Pod) (*diagnosis.EvictionRefusal, error) {
	return func(ctx context.Context, pod *corev1.Pod) (*diagnosis.EvictionRefusal, error) {
		return refusalOf(api.Evict(ctx, pod))
	}
}

// refusalOf reads the answer. Not to be allowed to ask is no answer about the pod, nor is a pod
// that has gone meanwhile.
func refusalOf(err error) (*diagnosis.EvictionRefusal, error) {
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
	out := &diagnosis.EvictionRefusal{Code: int(s.Code), Message: s.Message}
	if s.Code == http.StatusTooManyRequests && s.Details != nil {
		for _, c := range s.Details.Causes {
			out.ByBudget = out.ByBudget || c.Type == policyv1.DisruptionBudgetCause
		}
	}
	return out, nil
}
