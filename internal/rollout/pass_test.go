package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// betweenPasses is a staged rollout whose first pass is everywhere, for that long.
func betweenPasses(since time.Duration) *builder {
	b := observed().updated().restored("master", "worker").staged(v1alpha1.PassAllow)
	b.o.Record.Pass.ReachedAt = &metav1.Time{Time: now.Add(-since)}
	b.o.Rollout.EnforceAfter = time.Hour
	return b
}

// secondPass is the second pass, planned and proven, before anything was held for it.
func secondPass() *builder {
	b := betweenPasses(2*time.Hour).staged(v1alpha1.PassEnforce).sets(SetNotWanted,
		SetDiffers).staged(v1alpha1.PassEnforce)
	b.o.Record.AppliedPlanHash = "sha256:first"
	return b.eachPool(func(p *Pool) { p.Registries = MatchesEarlier })
}

func TestBetweenThePasses(t *testing.T) {
	const phase = PhaseEnforce
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"every node has the first": {
			o:    betweenPasses(0).with(func(o *Observed) { o.Record.Pass.ReachedAt = nil }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PassReached"}},
		},
		"the record of the pass was lost": {
			o:    betweenPasses(0).with(func(o *Observed) { o.Record.Pass = nil }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PassStarted"}},
		},
		"it is watched": {
			o: betweenPasses(20 * time.Minute).build(),
			want: want{reason: v1alpha1.ReasonSoaking, blockers: []string{"SafeMirrorRollout shop"},
				says: []string{"2026-03-01T11:40:00Z", "until 2026-03-01T12:40:00Z", "drains each node again"}},
		},
		"long enough": {
			o: betweenPasses(time.Hour).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PassStarted"},
				says: []string{"blocks the sources"}},
		},
		"held": {
			o:    betweenPasses(time.Hour).held().build(),
			want: want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"a pool is the user's now": {
			o: betweenPasses(time.Hour).eachPool(func(p *Pool) {
				p.Paused, p.PausedBy, p.PausedByUs = true, "kubectl",
					false
			}, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, stalled: true,
				blockers: []string{"MachineConfigPool worker"},
				says:     []string{`paused by "kubectl"`}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = phase
			check(t, c.o, c.want)
		})
	}
	t.Run("deleted: it ends with the first", func(t *testing.T) {
		check(t, betweenPasses(time.Minute).deleting().build(),
			want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}})
	})
	t.Run("aborted: a choice, because every node has the first", func(t *testing.T) {
		check(t, betweenPasses(time.Minute).requests(v1alpha1.RequestAbort).build(),
			want{phase: PhaseEnforce, reason: v1alpha1.ReasonAborted, stalled: true,
				blockers: []string{"SafeMirrorRollout shop"}, says: []string{"6 nodes"}})
	})
	t.Run("another drift: the sets of the first pass are put back under pause", func(t *testing.T) {
		o := betweenPasses(time.Minute).sets(SetNotWanted, SetMissing).staged(v1alpha1.PassAllow).build()
		check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolReclaimed master", "PoolReclaimed worker"}})
	})
}

func (b *builder) requests(verb v1alpha1.RequestAction) *builder {
	b.o.Rollout.Requests = append(b.o.Rollout.Requests, Request{ID: "r", Verb: verb})
	return b
}

func TestSecondPass(t *testing.T) {
	t.Run("pools are not held while its gate waits", func(t *testing.T) {
		o := secondPass().with(func(o *Observed) { o.Rollout.ApplyApproval = true }).build()
		check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonApprovalRequired,
			blockers: []string{"SafeMirrorRollout shop"}, says: []string{"gate enforce", planDigest}})
	})
	t.Run("an approval of the first does not open it", func(t *testing.T) {
		o := secondPass().with(func(o *Observed) {
			o.Rollout.ApplyApproval = true
			o.Record.Approvals = []v1alpha1.ApprovalRecord{{Gate: GateApply, PlanHash: planDigest}}
		}).build()
		check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonApprovalRequired,
			blockers: []string{"SafeMirrorRollout shop"}})
	})
	t.Run("approved", func(t *testing.T) {
		o := secondPass().with(func(o *Observed) {
			o.Rollout.ApplyApproval = true
			o.Record.Approvals = []v1alpha1.ApprovalRecord{{Gate: GateEnforce, PlanHash: planDigest}}
		}).build()
		check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolReclaimed master", "PoolReclaimed worker"}})
	})
	t.Run("its baseline is of now", func(t *testing.T) {
		o := secondPass().with(func(o *Observed) {
			poolRecord(o.Record,
				"worker").Unavailable = []string{"worker-2"}
		}).cordoned("worker-1").build()
		for _, f := range Decide(o).Facts {
			if r, ok := f.(PoolReclaimed); ok && r.Pool.Name == "worker" {
				if diff := cmp.Diff([]string{"worker-1"}, r.Pool.Unavailable); diff != "" {
					t.Errorf("baseline (-want +got):\n%s", diff)
				}
			}
		}
	})
	t.Run("the intent says which pass it is", func(t *testing.T) {
		o := observed().paused().staged(v1alpha1.PassEnforce).with(func(o *Observed) { o.Record.AppliedPlanHash = "sha256:first" }).build()
		d := check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}})
		if f := fact[ApplyIntended](t, d); f.Pass != v1alpha1.PassEnforce || f.ListsHash != "lists" {
			t.Errorf("intent %+v", f)
		}
	})
	t.Run("deleted before anything of it is written: it ends with the first", func(t *testing.T) {
		d := check(t, secondPass().deleting().build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, facts: []string{"PassStarted"}})
		if got := fact[PassStarted](t, d).Pass; got != v1alpha1.PassAllow {
			t.Errorf("pass %s", got)
		}
	})
	t.Run("deleted after it was written: it is carried to its end", func(t *testing.T) {
		o := observed().rendered().staged(v1alpha1.PassEnforce).deleting().build()
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"ReleaseIntended worker"}})
	})
	t.Run("everywhere", func(t *testing.T) {
		o := observed().updated().restored("master", "worker").staged(v1alpha1.PassEnforce).build()
		check(t, o, want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}})
	})
}

// The stages are gone through, and watched, in each pass.
func TestNewPassResetsStages(t *testing.T) {
	first := PassStarted{Pass: v1alpha1.PassAllow, ListsHash: "l"}
	r := Apply(v1alpha1.Record{}, []Fact{first, StageReached{Name: "worker-1", At: now}, PassReached{At: now}, first})
	if len(r.Stages) != 1 || r.Pass.ReachedAt == nil {
		t.Errorf("the same pass has lost %+v %+v", r.Stages, r.Pass)
	}
	r = Apply(r, []Fact{PassStarted{Pass: v1alpha1.PassEnforce, ListsHash: "l"}})
	if len(r.Stages) != 0 || r.Pass.ReachedAt != nil {
		t.Errorf("the next pass has %+v %+v", r.Stages, r.Pass)
	}
}
