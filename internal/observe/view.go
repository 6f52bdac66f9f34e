package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// view is the rollout as the core sees it.
func view(r *v1alpha1.SafeMirrorRollout) rollout.View {
	release := r.Spec.Release
	v := rollout.View{
		Name: r.Name, UID: string(r.UID), Generation: r.Generation, Created: r.CreationTimestamp.Time,
		Deleting: !r.DeletionTimestamp.IsZero(), Held: r.Spec.State == v1alpha1.StateHeld,
		Finalizer: slices.Contains(r.Finalizers, Finalizer),
		Soak:      seconds(release.SoakSeconds), DrainTimeout: seconds(release.DrainTimeoutSeconds), PauseLimit: seconds(release.MaxPauseSeconds),
		ApplyApproval: release.ApplyApproval == v1alpha1.ApprovalRequired,
	}
	v.Spec = identity(r.Spec)
	v.RollbackOnDelete = r.Spec.Deletion == v1alpha1.DeletionRollback
	v.RollbackOnFailure = r.Spec.OnFailure == v1alpha1.FailureRollback
	for _, s := range release.Stages {
		stage := rollout.Stage{Name: s.Name, Pool: s.Pool, Soak: v.Soak, Approval: s.Approval == v1alpha1.ApprovalRequired}
		if s.Nodes != nil {
			stage.Nodes = int(*s.Nodes)
		}
		if s.SoakSeconds != nil {
			stage.Soak = seconds(s.SoakSeconds)
		}
		v.Stages = append(v.Stages, stage)
	}
	for _, w := range release.Windows {
		v.Windows = append(v.Windows, window(w))
	}
	for _, q := range r.Spec.Requests {
		v.Requests = append(v.Requests, rollout.Request{ID: q.ID, Verb: q.Verb, Gate: q.Gate, Plan: q.PlanDigest})
	}
	return v
}

func seconds(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

func window(w v1alpha1.MaintenanceWindow) rollout.Window {
	return rollout.Window{Schedule: w.Schedule, Duration: time.Duration(w.DurationSeconds) * time.Second, Zone: w.TimeZone}
}

// releaseProblems are what the schema cannot tell: schedules and time zones, and stages of one name.
func releaseProblems(r *v1alpha1.SafeMirrorRollout) []rollout.Problem {
	var out []rollout.Problem
	problem := func(format string, args ...any) {
		out = append(out, rollout.Problem{Reason: v1alpha1.ReasonInvalidSpec, Kind: "SafeMirrorRollout", Name: r.Name, Message: fmt.Sprintf(format, args...)})
	}
	for i, w := range r.Spec.Release.Windows {
		if err := window(w).Check(); err != nil {
			problem("spec.release.windows[%d].%v", i, err)
		}
	}
	seen := map[string]int{rollout.GateApply: -1}
	for i, s := range r.Spec.Release.Stages {
		first, taken := seen[s.Name]
		switch {
		case s.Name == "":
		case taken && first < 0:
			problem("spec.release.stages[%d].name: %q is the gate before the first pause; give the stage another name", i, s.Name)
		case taken:
			problem("spec.release.stages[%d].name: %q is the name of spec.release.stages[%d] already; a request could not tell them apart", i, s.Name, first)
		default:
			seen[s.Name] = i
		}
	}
	return out
}

// identity tells one spec from another by what they want; requests, and whether the rollout is held, are about the way there.
func identity(spec v1alpha1.SafeMirrorRolloutSpec) string {
	spec.Requests, spec.State = nil, ""
	text, err := json.Marshal(spec)
	if err != nil {
		panic(fmt.Sprintf("a spec that came as JSON is not: %v", err)) // it has no type that could not be
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
