package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// maxQuestions and questionTime bound what one look asks the API server about evictions.
const (
	maxQuestions = 20
	questionTime = 5 * time.Second
)

// askAPI asks the API server whether it would evict the pods of the nodes that can be next, with dryRun=All: nothing is evicted. It runs the
// admission webhooks and the budgets as they are at this moment. A refusal overrides the arithmetic, which comes first (R12): the API
// server does not count down from one question to the next, and cannot tell where a replacement would go.
func (l *Live) askAPI(ctx context.Context, s drain.Snapshot, report *drain.Report) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	for _, q := range report.Questions(s, maxQuestions) {
		outlook, why := answer(l.DryRun.Evict(ctx, q.Pod))
		if outlook == rollout.OutlookSafe {
			continue
		}
		report.Object(q.Node, outlook, rollout.Problem{
			Reason: v1alpha1.ReasonDrainForecast, Kind: "Pod", Namespace: q.Pod.Namespace, Name: q.Pod.Name, Passing: true,
			Message: fmt.Sprintf("the API server would not evict pod %s/%s from %s now: %s", q.Pod.Namespace, q.Pod.Name, q.Node, why),
		})
	}
}

// answer reads what the API server has said. That it may not be asked, or that a webhook does not support dry runs, says nothing against
// the arithmetic.
func answer(err error) (rollout.Outlook, string) {
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return rollout.OutlookSafe, ""
	case apierrors.IsTooManyRequests(err):
		return rollout.OutlookBlocked, causes(err)
	case strings.Contains(err.Error(), "does not support dry run"):
		return rollout.OutlookSafe, ""
	case strings.Contains(err.Error(), "admission webhook"), strings.Contains(err.Error(), "failed calling webhook"), apierrors.IsInternalError(err):
		return rollout.OutlookBlocked, err.Error()
	case apierrors.IsForbidden(err), apierrors.IsMethodNotSupported(err):
		return rollout.OutlookSafe, ""
	default:
		return rollout.OutlookUnknown, "it could not be asked: " + err.Error()
	}
}

// causes are the words of the budget, which the message itself lacks.
func causes(err error) string {
	text := err.Error()
	if status, ok := err.(apierrors.APIStatus); ok && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			text += ": " + c.Message
		}
	}
	return text
}
