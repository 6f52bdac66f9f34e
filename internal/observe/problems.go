package observe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// dryRun is what the API server said of the mirror sets of one plan.
type dryRun struct {
	at       time.Time
	problems []rollout.Problem
}

// dryRunAge is how long the API server's word on the mirror sets is good for: an admission policy may change.
const dryRunAge = time.Minute

// specProblems adds to what is wrong with the spec in the light of this cluster the Secrets that were found wanting, and what the API
// server itself says (R3, R4).
func (l *Live) specProblems(ctx context.Context, w *World, all registries.Sets, p predict.Prediction, found []rollout.Problem) rollout.Known[[]rollout.Problem] {
	out := append([]rollout.Problem{}, found...)
	out = append(out, w.Problems(all, p)...)
	if len(out) == 0 && w.Observed.Record.StartedAt == nil && !w.Observed.Rollout.Deleting {
		out = append(out, l.dryRun(ctx, w)...)
	}
	return rollout.Seen(out)
}

// dryRun asks the API server whether it would take the mirror sets: managed clusters refuse them by webhook.
func (l *Live) dryRun(ctx context.Context, w *World) []rollout.Problem {
	key := fmt.Sprintf("%s/%d", w.Rollout.UID, w.Rollout.Generation)
	l.mu.Lock()
	have, ok := l.dryRuns[key]
	l.mu.Unlock()
	if ok && l.Now().Sub(have.at) < dryRunAge {
		return have.problems
	}
	result := dryRun{at: l.Now()}
	if w.Digest != nil {
		err := l.DryRun.Apply(ctx, mirrorset.DigestApply(w.Digest), pool.FieldManager)
		result.problems = append(result.problems, refused("ImageDigestMirrorSet", w.Rollout.Name, err)...)
	}
	if w.Tag != nil {
		err := l.DryRun.Apply(ctx, mirrorset.TagApply(w.Tag), pool.FieldManager)
		result.problems = append(result.problems, refused("ImageTagMirrorSet", w.Rollout.Name, err)...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dryRuns == nil || len(l.dryRuns) > 64 {
		l.dryRuns = map[string]dryRun{}
	}
	l.dryRuns[key] = result
	return result.problems
}

func refused(kind, name string, err error) []rollout.Problem {
	if err == nil {
		return nil
	}
	p := rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: kind, Name: name, Message: fmt.Sprintf(
		"the API server refuses the %s %s: %v; nothing was changed", kind, name, oneLine(err))}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError || status.Status().Code == http.StatusTooManyRequests {
		p.Passing = true
	}
	return []rollout.Problem{p}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// plan builds the plan, judges it by what the registries have said so far, and notes both.
func (l *Live) plan(ctx context.Context, w *World, all registries.Sets, p predict.Prediction) {
	o := &w.Observed
	found, err := l.inventory(ctx, w)
	if err != nil {
		o.Plan, o.Transfers = rollout.Unseen[rollout.Plan](err.Error()), rollout.Unseen[rollout.Transfers](err.Error())
		return
	}
	w.Inventory = found
	w.Plan = plan.Build(plan.Input{
		References: found.References, Pools: p.Configs, Spec: w.Wanted.Rollout.Spec, Sets: w.With(all),
		Platforms: p.Platforms, Predicted: p.Texts,
	})
	started, copying := l.Transfers.Started()
	w.Results = l.Transfers.Snapshot()
	l.private.note(w.Plan.Items, w.Results)
	sum, work := w.Plan.Judge(w.Results, started, copying)
	o.Plan, o.Transfers = rollout.Seen(sum), rollout.Seen(work)
}
