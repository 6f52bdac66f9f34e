package rollout

import (
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestProve(t *testing.T) {
	const ensure = "ensure-probes/" + planDigest
	failed := []Problem{{Reason: v1alpha1.ReasonNodesCannotPull, Kind: "Node", Name: "worker-0",
		Message: "x509: unknown authority"}}
	oldProofs := func(o *Observed) {
		t, _ := o.Transfers.Get()
		t.OldestProof = o.Now.Add(-proofRefreshAge - time.Second)
		o.Transfers = Known(t)
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the probes are chosen": {
			o: observed().copied().pullChecks(func(p *PullChecks) { *p = PullChecks{Nodes: 2} }).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonProgressing, actions: []string{ensure},
				says: []string{"2 nodes"}},
		},
		"those of another plan prove nothing": {
			o:    observed().copied().pullChecks(func(p *PullChecks) { p.PlanDigest = "sha256:former" }).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonProgressing, actions: []string{ensure}},
		},
		"pulls are in progress": {
			o: observed().copied().pullChecks(func(p *PullChecks) { p.Proven = 3 }).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonWaiting, actions: []string{ensure},
				blockers: []string{"Node probes"},
				says:     []string{"3 of 4 pulls"}},
		},
		"before the start the phase Mirror keeps the proofs fresh": {
			o: observed().copied().with(oldProofs).pullChecks(func(p *PullChecks) { p.Proven = 3 }).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonWaiting,
				actions:  []string{ensure, "ensure-transfers/" + planDigest},
				blockers: []string{"Node probes"}},
		},
		"after it the mirrors are looked at again, or an image that has vanished is asked for for ever": {
			o: observed().paused().with(oldProofs).pullChecks(func(p *PullChecks) {
				p.Proven, p.Failed, p.Problems = 3,
					1, failed
			}).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonNodesCannotPull, stalled: true,
				actions: []string{ensure, "ensure-transfers/" + planDigest}, blockers: []string{"Node worker-0"}},
		},
		"one has failed, others are in progress": {
			o: observed().copied().pullChecks(func(p *PullChecks) {
				p.Proven, p.Failed, p.Problems = 2, 1,
					failed
			}).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonNodesCannotPull, actions: []string{ensure},
				blockers: []string{"Node worker-0", "Node probes"}},
		},
		"all are decided, one has failed": {
			o: observed().copied().pullChecks(func(p *PullChecks) {
				p.Proven, p.Failed, p.Problems = 3, 1,
					failed
			}).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonNodesCannotPull, stalled: true,
				actions:  []string{ensure},
				blockers: []string{"Node worker-0"}, says: []string{"unknown authority"}},
		},
		"one has failed of which no more is known": {
			o: observed().copied().pullChecks(func(p *PullChecks) { p.Proven, p.Failed = 3, 1 }).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonNodesCannotPull, stalled: true,
				actions:  []string{ensure},
				blockers: []string{"Image references"}, says: []string{"1 pulls"}},
		},
		"all are proven, and pods are left": {
			o: observed().copied().pullChecks(func(p *PullChecks) { p.PodsLeft = 1 }).build(),
			want: want{phase: PhasePause, reason: v1alpha1.ReasonProgressing,
				actions: []string{"ensure-finalizer", ensure}},
		},
		"the user does without": {
			o:    observed().copied().pullChecks(func(p *PullChecks) { *p = PullChecks{Disabled: true} }).build(),
			want: want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, actions: []string{"ensure-finalizer"}},
		},
		"the mirror sets are applied: pulls are real now": {
			o: observed().rendered().pullChecks(func(p *PullChecks) { *p = PullChecks{} }).build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				facts: []string{"ReleaseIntended worker"}},
		},
		"an operator that was started anew asks again before it applies": {
			o:    observed().paused().pullChecks(func(p *PullChecks) { *p = PullChecks{Nodes: 2} }).build(),
			want: want{phase: PhaseProve, reason: v1alpha1.ReasonProgressing, actions: []string{ensure}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestSkippedPullChecksAreReported(t *testing.T) {
	p := PullChecks{Proven: 4, Nodes: 2,
		Skipped: []string{"infra/arm64: no node is ready", "infra/s390x: no node is ready"}}
	if got, want := p.message(), "4 pulls from the mirrors proven on 2 nodes; not proven: infra/arm64: no node is ready and 1 more"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
}
