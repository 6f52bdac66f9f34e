package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// maxDryRunEvictions and evictionDryRunTimeout bound what one look asks the API server about
// evictions.
const (
	maxDryRunEvictions    = 20
	evictionDryRunTimeout = 5 * time.Second
)

// dryRunEvictions asks the API server whether it would evict the pods of the nodes that can be
// next, with dryRun=All: nothing is evicted. It runs the admission webhooks and the budgets as they
// are at this moment. A refusal overrides the arithmetic, which comes first (R12): the API server
// does not count down from one question to the next, and cannot tell where a replacement would go.
func (observer *Observer) dryRunEvictions(ctx context.Context, s drain.Snapshot, report *forecast.Report) {
	ctx, cancel := context.WithTimeout(ctx, evictionDryRunTimeout)
	defer cancel()
	for _, candidate := range report.DryRunEvictions(s, maxDryRunEvictions) {
		outcome, why := evictionOutcome(observer.DryRun.Evict(ctx, candidate.Pod))
		if outcome == rollout.DrainSafe {
			continue
		}
		report.Downgrade(candidate.Node, outcome, rollout.Problem{
			Reason: v1alpha1.ReasonDrainForecast, Kind: "Pod", Namespace: candidate.Pod.Namespace,
			Name: candidate.Pod.Name, Transient: true,
			Message: fmt.Sprintf("the API server would not evict pod %s/%s from %s now: %s", candidate.Pod.Namespace,
				candidate.Pod.Name, candidate.Node, why),
		})
	}
}

// evictionOutcome reads what the API server has said. That it may not be asked, or that a webhook
// does not support dry runs, says nothing against the arithmetic.
func evictionOutcome(err error) (rollout.DrainForecast, string) {
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return rollout.DrainSafe, ""
	case apierrors.IsTooManyRequests(err):
		return rollout.DrainBlocked, withCauses(err)
	case strings.Contains(err.Error(), "does not support dry run"):
		return rollout.DrainSafe, ""
	case strings.Contains(err.Error(), "admission webhook"), strings.Contains(err.Error(), "failed calling webhook"),
		apierrors.IsInternalError(err):
		return rollout.DrainBlocked, err.Error()
	case apierrors.IsForbidden(err), apierrors.IsMethodNotSupported(err):
		return rollout.DrainSafe, ""
	default:
		return rollout.DrainUnknown, "it could not be asked: " + err.Error()
	}
}

// withCauses are the words of the budget, which the message itself lacks.
func withCauses(err error) string {
	text := err.Error()
	if status, ok := err.(apierrors.APIStatus); ok && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			text += ": " + c.Message
		}
	}
	return text
}
