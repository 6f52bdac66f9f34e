package sim

import (
	"fmt"
	"math/rand"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Generate draws a scenario: a cluster, a spec, and up to four faults at any time.
func Generate(seed int64) Scenario {
	rng := rand.New(rand.NewSource(seed ^ 0x5eed))
	s := Scenario{
		Name: "random", Masters: []int{0, 1, 3}[rng.Intn(3)], Workers: 2 + rng.Intn(3), Infra: rng.Intn(2) * 2,
		MaxUnavailable: []string{"", "", "2", "50%"}[rng.Intn(4)], Saturated: rng.Intn(3) == 0, Replicas: 2,
		Spec: Spec{
			Mirrors: []MirrorSpec{"m1!", "m1!", "m1"}[rng.Intn(3)], DrainTimeoutSeconds: []int{0, 600}[rng.Intn(2)],
			SoakSeconds:      []int{0, 0, 60}[rng.Intn(3)],
			RollbackOnDelete: rng.Intn(2) == 0, RollbackOnFailure: rng.Intn(3) == 0,
		},
	}
	if rng.Intn(6) == 0 {
		s.Down = []string{fmt.Sprintf("worker-%d", s.Workers-1)}
	}
	drawVariants(&s, seed)
	names := slices.DeleteFunc(FaultKinds(), func(kind string) bool {
		return (kind == "policy-edited" && !s.Spec.Reload) || (kind == "crash-writing" && !s.Spec.Digests)
	})
	for range rng.Intn(5) {
		s.Faults = append(s.Faults, drawFault(rng, s, names[rng.Intn(len(names))]))
	}
	s.Spec.Targeted, s.Spec.MaxConcurrent, s.Hosted = rng.Intn(2) == 0, []int{0, 0, 2, 3}[rng.Intn(4)], rng.Intn(4) == 0
	return s
}

// drawVariants draws what a spec may have beside the plain rollout, by dice of its own.
func drawVariants(s *Scenario, seed int64) {
	rng := rand.New(rand.NewSource(seed ^ 0x57a6ed))
	s.Spec.Digests, s.Spec.Staged, s.Spec.Reload = rng.Intn(3) == 0, rng.Intn(4) == 0, rng.Intn(4) == 0
	s.Spec.EnforceAfterSeconds = []int{0, 60, 1200}[rng.Intn(3)]
	if s.Spec.Reload {
		s.Policy = []string{"", "drain", policyReload}[rng.Intn(3)]
	}
}

// faultPhases are the phases that faults wait for; most of what is dangerous happens around a
// release.
var faultPhases = []rollout.Phase{
	"", rollout.PhaseMirror, rollout.PhasePause, rollout.PhaseVerify, rollout.PhasePolicy, rollout.PhaseApply,
	rollout.PhaseRender,
	rollout.PhaseRelease, rollout.PhaseRelease, rollout.PhaseRelease, rollout.PhaseRestore, rollout.PhaseEnforce,
	rollout.PhaseFinish,
}

// permanentOneIn are the chances of a fault that is never over.
const permanentOneIn = 5

func drawFault(rng *rand.Rand, s Scenario, kind string) Fault {
	f := Fault{Kind: kind, Phase: string(faultPhases[rng.Intn(len(faultPhases))])}
	switch f.Phase {
	case "":
		f.At = rng.Intn(600)
	case string(rollout.PhaseRelease):
		f.At = rng.Intn(400)
	default:
		f.At = rng.Intn(20)
	}
	k := faultKinds[kind]
	if k.target != nil {
		f.Target = k.target(s, rng.Intn)
	}
	switch {
	case kind == "two-leaders": // a lease is lost for good after some minutes, and two engines that differ keep each other awake
		f.For = 5 + rng.Intn(120)
	case kind == "clock-ahead" || kind == "clock-behind": // for good, the guard of the other replica closes each release at once
		f.For = 5 + rng.Intn(900)
	case k.end != nil && (rng.Intn(permanentOneIn) > 0 || kind == "gitops-reverts"):
		f.For = 5 + rng.Intn([]int{30, 300, 1500}[rng.Intn(3)])
	}
	return f
}
