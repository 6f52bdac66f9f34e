package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Finalizer keeps a SafeMirrorRollout until nothing of it dangles.
const Finalizer = "safemirror.io/rollout"

// Effective is what the spec of the rollout comes to, with the defaults filled in: what everything
// that decides goes by.
func Effective(r *v1alpha1.SafeMirrorRollout) Spec {
	release := r.Spec.Release
	v := Spec{
		Name: r.Name, UID: string(r.UID), Generation: r.Generation, Created: r.CreationTimestamp.Time,
		Deleting: !r.DeletionTimestamp.IsZero(), Held: r.Spec.State == v1alpha1.StateHeld,
		Finalizer: slices.Contains(r.Finalizers, Finalizer),
		Soak:      seconds(release.SoakSeconds), DrainTimeout: seconds(release.DrainTimeoutSeconds),
		PauseLimit:       seconds(release.MaxPauseSeconds),
		ForecastAdvisory: release.Forecast == v1alpha1.ForecastAdvisory,
		ApplyApproval:    release.ApplyApproval == v1alpha1.ApprovalRequired,
	}
	v.Targeted = release.Mechanism == v1alpha1.MechanismTargeted
	if release.MaxUnavailable != nil {
		v.MaxConcurrent = int(*release.MaxUnavailable)
	}
	v.SpecHash = Identity(r.Spec)
	v.Reload = release.Disruption == v1alpha1.DisruptionReload
	v.EnforceAfter = v.Soak
	if release.EnforceAfterSeconds != nil {
		v.EnforceAfter = seconds(release.EnforceAfterSeconds)
	}
	for _, action := range v1alpha1.RemedyActions() {
		if r.Spec.Remediation.Enabled(action) {
			v.Remedies = append(v.Remedies, action)
		}
	}
	v.RollbackOnDelete = r.Spec.Deletion == v1alpha1.DeletionRollback
	v.RollbackOnFailure = r.Spec.OnFailure == v1alpha1.FailureRollback
	for _, s := range release.Stages {
		stage := Stage{Name: s.Name, Pool: s.Pool, Soak: v.Soak, Approval: s.Approval == v1alpha1.ApprovalRequired}
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
		v.Requests = append(v.Requests, Request{ID: q.ID, Verb: q.Action, Gate: q.Gate, PlanDigest: q.PlanHash})
	}
	return v
}

// SpecProblems are what the schema cannot tell of a spec by itself: schedules and time zones,
// stages of one name, locations that are none of its mirrors, and platforms that are left out.
// platforms are those of the nodes; nil when they are not known.
func SpecProblems(r *v1alpha1.SafeMirrorRollout, platforms []string) []Problem {
	return append(releaseProblems(r), mirroringProblems(r, platforms)...)
}

// mirroringProblems are what the schema cannot tell of spec.mirroring. platforms are those of the
// nodes; nil when they are not known.
func mirroringProblems(r *v1alpha1.SafeMirrorRollout, platforms []string) []Problem {
	var out []Problem
	problem := func(format string, args ...any) {
		out = append(out, Problem{Reason: v1alpha1.ReasonInvalidSpec, Kind: "SafeMirrorRollout", Name: r.Name,
			Message: fmt.Sprintf(format, args...)})
	}
	mirrors := map[string]bool{}
	for _, m := range slices.Concat(r.Spec.ImageTagMirrors, r.Spec.ImageDigestMirrors) {
		for _, location := range m.Mirrors {
			mirrors[location] = true
		}
	}
	for field, locations := range map[string][]string{"targets": r.Spec.Mirroring.Targets,
		"verification.caches": r.Spec.Mirroring.Verification.Caches} {
		for i, location := range locations {
			if !related(location, mirrors) {
				problem("spec.mirroring.%s[%d]: %q is none of the mirrors of the spec, nor above or below one", field,
					i, location)
			}
		}
	}
	if only := r.Spec.Mirroring.Platforms; len(only) > 0 {
		for _, p := range platforms {
			if !slices.Contains(only, p) {
				problem("spec.mirroring.platforms: %s is missing, and the cluster has nodes of it: they could not pull what is mirrored without it", p)
			}
		}
	}
	slices.SortFunc(out, func(a, b Problem) int { return strings.Compare(a.Message, b.Message) })
	return out
}

// related tells whether the location is one of the mirrors, or lies above or below one:
// registry.local above registry.local/acme.
func related(location string, mirrors map[string]bool) bool {
	for m := range mirrors {
		if location == m || strings.HasPrefix(location, m+"/") || strings.HasPrefix(m, location+"/") {
			return true
		}
	}
	return false
}

func seconds(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

func window(w v1alpha1.MaintenanceWindow) MaintenanceWindow {
	return MaintenanceWindow{Schedule: w.Schedule, Duration: time.Duration(w.DurationSeconds) * time.Second,
		TimeZone: w.TimeZone}
}

// releaseProblems are what the schema cannot tell: schedules and time zones, and stages of one
// name.
func releaseProblems(r *v1alpha1.SafeMirrorRollout) []Problem {
	var out []Problem
	problem := func(format string, args ...any) {
		out = append(out, Problem{Reason: v1alpha1.ReasonInvalidSpec, Kind: "SafeMirrorRollout", Name: r.Name,
			Message: fmt.Sprintf(format, args...)})
	}
	for i, w := range r.Spec.Release.Windows {
		if err := window(w).Check(); err != nil {
			problem("spec.release.windows[%d].%v", i, err)
		}
	}
	seen := map[string]int{GateApply: -1, GateEnforce: -1}
	for i, s := range r.Spec.Release.Stages {
		first, taken := seen[s.Name]
		switch {
		case s.Name == "":
		case taken && first < 0:
			problem("spec.release.stages[%d].name: %q is the name of a gate before pools are paused; give the stage another name", i, s.Name)
		case taken:
			problem("spec.release.stages[%d].name: %q is the name of spec.release.stages[%d] already; a request could not tell them apart", i, s.Name, first)
		default:
			seen[s.Name] = i
		}
	}
	return out
}

// Identity tells one spec from another by what they want; requests, remedies, and whether the
// rollout is held, are about the way there.
func Identity(spec v1alpha1.SafeMirrorRolloutSpec) string {
	spec.Requests, spec.State, spec.Remediation = nil, "", v1alpha1.RemediationSpec{}
	text, err := json.Marshal(spec)
	if err != nil {
		panic(fmt.Sprintf("a spec that came as JSON is not: %v", err)) // it has no type that could not be
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
