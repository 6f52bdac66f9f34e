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
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// dryRun is what the API server said of the mirror sets of one plan.
type dryRun struct {
	at       time.Time
	problems []rollout.Problem
}

// dryRunMaxAge is how long the API server's word on the mirror sets is good for: an admission
// policy may change.
const dryRunMaxAge = time.Minute

// specProblems adds to what is wrong with the spec in the light of this cluster the Secrets that
// were found wanting, and what the API server itself says (R3, R4).
func (observer *Observer) specProblems(ctx context.Context, obs *Observation, all registriesconf.Sets,
	p prediction.Prediction, found []rollout.Problem) rollout.Value[[]rollout.Problem] {
	out := append([]rollout.Problem{}, found...)
	out = append(out, obs.Problems(all, p)...)
	if len(out) == 0 && obs.Observed.Record.StartedAt == nil && !obs.Observed.Rollout.Deleting {
		out = append(out, observer.dryRun(ctx, obs)...)
	}
	return rollout.Known(out)
}

// dryRun asks the API server whether it would take the mirror sets: managed clusters refuse them by
// webhook.
func (observer *Observer) dryRun(ctx context.Context, obs *Observation) []rollout.Problem {
	key := fmt.Sprintf("%s/%d", obs.Rollout.UID, obs.Rollout.Generation)
	observer.mu.Lock()
	have, ok := observer.dryRuns[key]
	observer.mu.Unlock()
	if ok && observer.Now().Sub(have.at) < dryRunMaxAge {
		return have.problems
	}
	result := dryRun{at: observer.Now()}
	if obs.IDMS != nil {
		err := observer.DryRun.Apply(ctx, mirrorset.ApplyIDMS(obs.IDMS), pool.FieldManager)
		result.problems = append(result.problems, dryRunProblems("ImageDigestMirrorSet", obs.Rollout.Name, err)...)
	}
	if obs.ITMS != nil {
		err := observer.DryRun.Apply(ctx, mirrorset.ApplyITMS(obs.ITMS), pool.FieldManager)
		result.problems = append(result.problems, dryRunProblems("ImageTagMirrorSet", obs.Rollout.Name, err)...)
	}
	observer.mu.Lock()
	defer observer.mu.Unlock()
	if observer.dryRuns == nil || len(observer.dryRuns) > 64 {
		observer.dryRuns = map[string]dryRun{}
	}
	observer.dryRuns[key] = result
	return result.problems
}

func dryRunProblems(kind, name string, err error) []rollout.Problem {
	if err == nil {
		return nil
	}
	p := rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: kind, Name: name, Message: fmt.Sprintf(
		"the API server refuses the %s %s: %v; nothing was changed", kind, name, oneLine(err))}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError ||
		status.Status().Code == http.StatusTooManyRequests {
		p.Transient = true
	}
	return []rollout.Problem{p}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// buildPlan builds the plan, judges it by what the registries have said so far, and notes both.
func (observer *Observer) buildPlan(ctx context.Context, obs *Observation, all registriesconf.Sets,
	p prediction.Prediction) {
	o := &obs.Observed
	found, err := observer.inventory(ctx, obs)
	if err != nil {
		o.Plan, o.Transfers = rollout.Unknown[rollout.PlanSummary](err.Error()),
			rollout.Unknown[rollout.Transfers](err.Error())
		return
	}
	obs.Inventory = found
	obs.Plan = plan.Build(plan.Input{
		References: found.References, Pools: p.Configs, Spec: obs.DesiredSets.Rollout.Spec, Sets: obs.With(all),
		Platforms: p.Platforms, RegistriesConfs: p.RegistriesConfs,
	})
	started, copying := observer.Transfers.Started()
	obs.Results = observer.Transfers.Snapshot()
	observer.workloadCredentials.recordDenied(obs.Plan.Items, obs.Results)
	sum, transfers := obs.Plan.Summarize(obs.Results, started, copying)
	o.Plan, o.Transfers = rollout.Known(sum), rollout.Known(transfers)
}
