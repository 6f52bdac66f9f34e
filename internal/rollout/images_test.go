package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

const (
	checkOnly = "ensure-transfers/" + planDigest + " (look only)"
	copyAll   = "ensure-transfers/" + planDigest
)

func image(reason v1alpha1.ConditionReason, name string) Problem {
	return Problem{Reason: reason, Kind: "Image", Name: name, Message: name + " fails"}
}

func TestPlan(t *testing.T) {
	lost := func(p *PlanSummary) {
		p.Lost, p.Problems = 1, []Problem{image(v1alpha1.ReasonImagesLost, "quay.io/acme/app@sha256:1")}
	}
	probing := func(p *PlanSummary) { p.PendingChecks = 2 }
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"a lost reference refuses, and is looked at again": {
			o: observed().plan(lost).build(),
			want: want{phase: PhasePlan, reason: v1alpha1.ReasonImagesLost, stalled: true, actions: []string{checkOnly},
				blockers: []string{"Image quay.io/acme/app@sha256:1"}},
		},
		"lost references that nobody names are counted": {
			o: observed().plan(func(p *PlanSummary) { p.Lost = 3 }).build(),
			want: want{phase: PhasePlan, reason: v1alpha1.ReasonImagesLost, stalled: true, actions: []string{checkOnly},
				blockers: []string{"Image references"}, says: []string{"3 references"}},
		},
		"references that are still asked about": {
			o: observed().plan(probing).build(),
			want: want{phase: PhasePlan, reason: v1alpha1.ReasonWaiting, actions: []string{checkOnly},
				blockers: []string{"Image references"},
				says:     []string{"2 references"}},
		},
		"a new reference does not cancel the copying": {
			o: observed().copied().plan(probing).build(),
			want: want{phase: PhasePlan, reason: v1alpha1.ReasonWaiting, actions: []string{copyAll},
				blockers: []string{"Image references"}},
		},
		"another plan is not copied before it is found good": {
			o: observed().copied().transfers(func(tr *Transfers) { tr.PlanDigest = "sha256:former" }).plan(probing).build(),
			want: want{phase: PhasePlan, reason: v1alpha1.ReasonWaiting, actions: []string{checkOnly},
				blockers: []string{"Image references"}},
		},
		"a reference lost half way holds (I6)": {
			o: observed().rendered().plan(lost).build(),
			want: want{phase: PhasePlan, reason: v1alpha1.ReasonImagesLost, stalled: true, actions: []string{copyAll},
				blockers: []string{"Image quay.io/acme/app@sha256:1"}},
		},
		"what is no worse, or accepted, holds nothing": {
			o:    observed().plan(func(p *PlanSummary) { p.NoWorse, p.Accepted = 5, 2 }).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonProgressing, actions: []string{copyAll}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestMirror(t *testing.T) {
	failed := []Problem{image(v1alpha1.ReasonMirrorUnreachable, "quay.io/acme/app:v1")}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the engine gets the jobs": {
			o: observed().build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonProgressing, actions: []string{copyAll},
				says: []string{"4 references"}},
		},
		"the engine gets them again when it only looks": {
			o:    observed().copied().transfers(func(tr *Transfers) { tr.Copying = false }).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonProgressing, actions: []string{copyAll}},
		},
		"the engine gets them again when it has those of another plan": {
			o:    observed().copied().transfers(func(tr *Transfers) { tr.PlanDigest = "sha256:former" }).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonProgressing, actions: []string{copyAll}},
		},
		"copying": {
			o: observed().copied().transfers(func(tr *Transfers) { tr.Verified = 1 }).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonWaiting, actions: []string{copyAll},
				blockers: []string{"Image references"},
				says:     []string{"1 of 4 references proven, 2 copied"}},
		},
		"copying goes on while one fails": {
			o: observed().copied().transfers(func(tr *Transfers) {
				tr.Verified, tr.Failed, tr.Problems = 2, 1,
					failed
			}).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonMirrorUnreachable, actions: []string{copyAll},
				blockers: []string{"Image quay.io/acme/app:v1", "Image references"}},
		},
		"all that is left has failed": {
			o: observed().copied().transfers(func(tr *Transfers) {
				tr.Verified, tr.Failed, tr.Problems = 3, 1,
					failed
			}).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonMirrorUnreachable, stalled: true,
				actions:  []string{copyAll},
				blockers: []string{"Image quay.io/acme/app:v1"}},
		},
		"failures that nobody names are counted": {
			o: observed().copied().transfers(func(tr *Transfers) { tr.Verified, tr.Failed = 3, 1 }).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonImagesFailed, stalled: true,
				actions:  []string{copyAll},
				blockers: []string{"Image references"}, says: []string{"1 references"}},
		},
		"held, it copies all the same": {
			o: observed().held().copied().transfers(func(tr *Transfers) { tr.Verified = 1 }).build(),
			want: want{phase: PhaseMirror, reason: v1alpha1.ReasonWaiting, actions: []string{copyAll},
				blockers: []string{"Image references"}},
		},
		"before the pause a proof of any age will do, and is made anew": {
			o: observed().copied().transfers(func(tr *Transfers) { tr.OldestProof = now.Add(-time.Hour) }).build(),
			want: want{phase: PhasePause, reason: v1alpha1.ReasonProgressing,
				actions: []string{"ensure-finalizer", copyAll}},
		},
		"nothing changes, nothing to copy": {
			o: observed().copied().transfers(func(tr *Transfers) {
				*tr = Transfers{PlanDigest: planDigest,
					Copying: true}
			}).build(),
			want: want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, actions: []string{"ensure-finalizer"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// From the pause on a proof has to be younger than fifteen minutes, and before the mirror sets are
// applied younger than the pause.
func TestVerifyBoundsTheAgeOfProofs(t *testing.T) {
	aged := func(b *builder, age time.Duration) Observed {
		return b.transfers(func(tr *Transfers) { tr.OldestProof = now.Add(-age) }).build()
	}
	longAgo := func(b *builder) *builder {
		return b.with(func(o *Observed) { o.Record.StartedAt.Time = now.Add(-time.Hour) })
	}
	again := want{phase: PhaseVerify, reason: v1alpha1.ReasonWaiting, actions: []string{copyAll},
		blockers: []string{"Image references"},
		says:     []string{"proving 4 references again"}}
	apply := want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}}
	release := want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}
	refreshing := func(w want) want {
		w.actions = []string{copyAll}
		return w
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"proven since the pause":          {aged(observed().paused(), 4*time.Minute), apply},
		"proven as the pause began":       {aged(observed().paused(), 5*time.Minute), apply},
		"proven before the pause":         {aged(observed().paused(), 5*time.Minute+time.Second), again},
		"paused long ago, proven in time": {aged(longAgo(observed().paused()), 9*time.Minute), apply},
		"paused long ago, to be proven soon": {aged(longAgo(observed().paused()), 11*time.Minute),
			refreshing(apply)},
		"paused long ago, proven just in time": {aged(longAgo(observed().paused()), 15*time.Minute),
			refreshing(apply)},
		"paused long ago, proven too long ago": {aged(longAgo(observed().paused()), 15*time.Minute+
			time.Second), again},
		"once applied, the pause does not matter":  {aged(observed().rendered(), 9*time.Minute), release},
		"once applied, proofs are made anew early": {aged(observed().rendered(), 11*time.Minute), refreshing(release)},
		"once applied, proven too long ago":        {aged(observed().rendered(), 16*time.Minute), again},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestVerifyHoldsOnVanishedImage(t *testing.T) {
	gone := []Problem{image(v1alpha1.ReasonImagesFailed, "quay.io/acme/app:v1")}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"an image vanished from the mirror": {
			o: observed().rendered().transfers(func(tr *Transfers) {
				tr.Verified, tr.Failed, tr.Problems = 3, 1,
					gone
			}).build(),
			want: want{phase: PhaseVerify, reason: v1alpha1.ReasonImagesFailed, stalled: true,
				actions:  []string{copyAll},
				blockers: []string{"Image quay.io/acme/app:v1"}},
		},
		"a new reference came up": {
			o: observed().rendered().transfers(func(tr *Transfers) { tr.Total = 5 }).build(),
			want: want{phase: PhaseVerify, reason: v1alpha1.ReasonWaiting, actions: []string{copyAll},
				blockers: []string{"Image references"},
				says:     []string{"4 of 5"}},
		},
		"a restarted engine has to prove everything again": {
			o:    observed().rendered().with(func(o *Observed) { o.Transfers = Known(Transfers{}) }).build(),
			want: want{phase: PhaseVerify, reason: v1alpha1.ReasonProgressing, actions: []string{copyAll}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// NotOlderThan decides what the engine proves again: what is too old to be relied upon, and what
// soon will be.
func TestNotOlderThan(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want time.Time
	}{
		"before the pause: what is ten minutes old":     {observed().build(), now.Add(-proofRefreshAge)},
		"after the pause: what is older than the pause": {observed().paused().transfers(func(tr *Transfers) { tr.Verified = 0 }).build(), began},
		"once applied: what is ten minutes old":         {observed().rendered().transfers(func(tr *Transfers) { tr.Verified = 0 }).build(), now.Add(-proofRefreshAge)},
		"while a reference is lost: ten minutes": {observed().plan(func(p *PlanSummary) { p.Lost = 1 }).build(),
			now.Add(-proofRefreshAge)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := action[EnsureTransfers](t, Decide(c.o)).NotOlderThan
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("not older than (-want +got):\n%s", diff)
			}
		})
	}
}
