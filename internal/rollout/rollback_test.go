package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// asking: a person asks for something.
func withRequest(verb v1alpha1.RequestAction) func(*Observed) {
	return func(o *Observed) { o.Rollout.Requests = append(o.Rollout.Requests, Request{ID: "by-ann", Verb: verb}) }
}

// rollbackOnRecord: the rollback is on record, and nothing was done for it yet.
func rollbackOnRecord(o *Observed) {
	at := o.Record.CompletedAt
	generation, spec := o.Record.CompletedGeneration, o.Record.CompletedSpecHash
	RollbackStarted{Reason: v1alpha1.RollbackRequested, Request: "by-ann", SpecHash: "spec-1", At: now}.apply(&o.Record)
	o.Record.CompletedAt, o.Record.CompletedGeneration, o.Record.CompletedSpecHash = at, generation, spec
}

// rollbackRendered: the previous mirror sets are written and rendered, and nothing is in progress:
// what is planned now is what the pools began with.
func (b *builder) rollbackRendered() *builder {
	rollbackOnRecord(&b.o)
	b.o.Record.AppliedPlanHash = planDigest
	b.sets(SetNotWanted, SetNotWanted)
	return b.eachPool(func(p *Pool) {
		p.Rendered, p.Registries = renderedName(p.Name, earlier), MatchesPlanned
	})
}

func TestRollbackTriggers(t *testing.T) {
	begins := func(phase Phase, says ...string) want {
		return want{phase: phase, reason: v1alpha1.ReasonProgressing, facts: []string{"RollbackStarted"},
			says: says}
	}
	took := func() *builder { return observed().rendered().done("worker-0") }
	late := func(o *Observed) {
		o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-time.Hour)}
		o.Rollout.RollbackOnFailure = true
	}
	moving := func() *builder {
		return observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").startsUpdate("worker-0", "Draining").followed("worker-0")
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"a request": {took().with(withRequest(v1alpha1.RequestRollback)).build(),
			begins(PhaseRelease, "request by-ann")},
		"a request, after the end": {observed().completed().with(withRequest(v1alpha1.RequestRollback)).build(),
			begins(PhaseComplete, "request by-ann")},
		"a request, before anything": {observed().with(withRequest(v1alpha1.RequestRollback)).build(), begins(PhaseMirror)},
		"an abort that comes in time": {observed().paused().with(withRequest(v1alpha1.RequestAbort)).build(),
			begins(PhaseApply, "reached no node")},
		"an abort before the first node": {observed().rendered().with(withRequest(v1alpha1.RequestAbort)).build(),
			begins(PhaseRelease, "reached no node")},
		"an abort that comes too late holds": {took().with(withRequest(v1alpha1.RequestAbort)).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonAborted, stalled: true,
				blockers: []string{"SafeMirrorRollout shop"},
				says:     []string{"1 nodes have", "action Rollback", "remove request by-ann"}}},
		"a deletion":                 {took().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(), begins(PhaseRelease, "spec.deletion is Rollback")},
		"a deletion at the end":      {observed().completed().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(), begins(PhaseComplete, "spec.deletion is Rollback")},
		"a node that takes too long": {moving().with(late).build(), begins(PhaseRelease, "node worker-0", "spec.onFailure")},
		"not the mere choice of what a deletion does": {took().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended master"}}},
		"not a node that takes its time": {moving().with(late).with(func(o *Observed) { o.Rollout.DrainTimeout = 2 * time.Hour }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}}},
		"not a request that was carried out": {observed().completed().with(withRequest(v1alpha1.RequestRollback)).with(func(o *Observed) { o.Record.HandledRequests = []string{"by-ann"} }).build(),
			want{phase: PhaseComplete, reason: v1alpha1.ReasonComplete, complete: true}},
		"not the deletion of what was never applied": {observed().paused().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestRollback(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the mirror sets are taken away while a node is on its way": {
			observed().rendered().startsUpdate("worker-0", "Draining").with(rollbackOnRecord).sets(SetNotWanted,
				SetLeftOver).eachPool(func(p *Pool) { p.Registries = MatchesEarlier }).build(),
			want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing,
				actions: []string{"apply-mirror-sets/" + planDigest}},
		},
		"a node that has them gives them back": {
			observed().rendered().done("worker-0").rollbackRendered().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}},
		},
		"a node that is stuck does not stop it": {
			observed().rendered().done("worker-0").startsUpdate("worker-1",
				"Draining").cordoned("worker-1").rollbackRendered().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}},
		},
		"a node that writes its files does": {
			observed().rendered().done("worker-0").startsUpdate("worker-1", "Working").rollbackRendered().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"}},
		},
		"when no other node is left the stuck one is waited for": {
			observed().rendered().startsUpdate("worker-1", "Draining").cordoned("worker-1").rollbackRendered().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"no window and no gate holds it": {
			observed().rendered().done("worker-0").rollbackRendered().with(func(o *Observed) {
				o.Rollout.Windows = []MaintenanceWindow{{Schedule: "0 3 * * *", Duration: time.Hour}}
				o.Rollout.Stages = []Stage{{Pool: "worker", Approval: true}}
			}).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}},
		},
		"the user still does": {
			observed().rendered().done("worker-0").rollbackRendered().held().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"before anything was applied the pools are restored": {
			observed().paused().with(rollbackOnRecord).sets(SetNotWanted, SetNotWanted).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"and that is all": {
			observed().with(rollbackOnRecord).sets(SetNotWanted, SetNotWanted).build(),
			want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}},
		},
		"at the end it is said what was done, and why": {
			observed().completed().with(rollbackOnRecord).build(),
			want{phase: PhaseComplete, reason: v1alpha1.ReasonRolledBack, stalled: true,
				blockers: []string{"SafeMirrorRollout shop"}, says: []string{"request by-ann asked for it"}},
		},
		"what a new spec wants comes after it": {
			observed().completed().with(rollbackOnRecord).with(func(o *Observed) { o.Rollout.SpecHash = "spec-2" }).build(),
			want{phase: PhasePreflight, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutRestarted"}},
		},
		"a deleted rollout is released from the finalizer": {
			observed().completed().with(rollbackOnRecord).deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"remove-finalizer"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// Room is made for the stuck node and for the one that is released: with less the MCO would hand
// out none.
func TestMaxUnavailableWithStuckNode(t *testing.T) {
	o := observed().rendered().done("worker-0").startsUpdate("worker-1",
		"Draining").cordoned("worker-1").rollbackRendered().build()
	o.Record = Apply(o.Record, Decide(o).Facts)
	got := action[ReleaseNodes](t, Decide(o))
	if got.MaxUnavailable != 2 || got.Record.Release.StuckBefore != 1 {
		t.Errorf("room for %d, %d on their way before, want 2 and 1", got.MaxUnavailable,
			got.Record.Release.StuckBefore)
	}
}

// A pool that is open beside a stuck node is closed when one more is on its way, and not before.
func TestUnpauseWindowWithStuckNode(t *testing.T) {
	p := somePool("worker", 3)
	p.Nodes[1].DesiredConfig = "rendered-worker-new"
	p.PauseRecord = &PauseRecord{Release: &UnpauseWindow{Target: p.Rendered, UpdatedBefore: 2, StuckBefore: 1,
		Deadline: now.Add(time.Minute)}}
	if p.UnpauseWindowOver(now) {
		t.Error("closed at once")
	}
	p.Nodes[0].CurrentConfig = "rendered-worker-new"
	if !p.UnpauseWindowOver(now) {
		t.Error("open while a second node is on its way")
	}
}

// I10: a rollback is decided once, whoever asks for what afterwards.
func TestRollbackIsLatched(t *testing.T) {
	first := RollbackStarted{Reason: v1alpha1.RollbackDeleted, SpecHash: "spec-1", At: now}
	r := Apply(v1alpha1.Record{CompletedGeneration: 1, Release: &v1alpha1.ReleaseRecord{}},
		[]Fact{first, RollbackStarted{Reason: v1alpha1.RollbackRequested, Request: "b", At: now.Add(time.Hour)}})
	want := v1alpha1.Record{StartedAt: apiTime(now),
		Rollback: &v1alpha1.RollbackRecord{Reason: v1alpha1.RollbackDeleted, SpecHash: "spec-1",
			DecidedAt: *apiTime(now)}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// What the mirror sets were like is remembered from before the first of them was written, not from
// before the last.
func TestPreviousSetsAreKept(t *testing.T) {
	r := Apply(v1alpha1.Record{}, []Fact{ApplyIntended{PlanDigest: "a",
		Previous: &v1alpha1.PreviousMirrorSets{Name: "before"}}, ApplyIntended{PlanDigest: "b",
		Previous: &v1alpha1.PreviousMirrorSets{Name: "partial"}}})
	if r.Previous.Name != "before" || r.AppliedPlanHash != "b" {
		t.Errorf("record %+v", r)
	}
}

// A guard stops actions. What the cluster is like is reported all the same: an aborted rollout has
// its pools paused and its mirror sets applied, and is in phase Release.
func TestGuardsKeepPhaseResults(t *testing.T) {
	aborts := withRequest(v1alpha1.RequestAbort)
	before := func(phase Phase) []Phase {
		var out []Phase
		for _, row := range PhaseTable() {
			if row.Phase == phase {
				break
			}
			out = append(out, row.Phase)
		}
		return out
	}
	cases := map[string]struct {
		o      Observed
		done   []Phase
		reason v1alpha1.ConditionReason // of the phase after those
	}{
		"aborted while nodes are released": {observed().rendered().done("worker-0").with(aborts).build(),
			before(PhaseRelease), v1alpha1.ReasonAborted},
		"a rollback begins": {observed().rendered().done("worker-0").
			with(withRequest(v1alpha1.RequestRollback)).build(), before(PhaseRelease), v1alpha1.ReasonProgressing},
		"one mirror set is written": {observed().intended().partiallyWritten().build(),
			before(PhaseApply), v1alpha1.ReasonProgressing},
		"deleted with paused pools": {observed().paused().deleting().build(), before(PhaseApply), ""},
		"a rollback of a complete rollout is refused": {observed().completed().with(func(o *Observed) {
			withRequest(v1alpha1.RequestRollback)(o)
			sets, _ := o.Sets.Get()
			sets.PreviousProblem = &Problem{Reason: v1alpha1.ReasonUnreadable, Kind: "ControllerRevision", Name: "x"}
			o.Sets, o.Record.AppliedPlanHash = Known(sets), planDigest
			o.Record.Previous = &v1alpha1.PreviousMirrorSets{}
		}).build(), before(""), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := Decide(c.o)
			var done []Phase
			for i, r := range d.PhaseResults {
				switch {
				case r.Done:
					done = append(done, r.Phase)
				case i != len(d.PhaseResults)-1 || r.Reason != c.reason || r.Message != d.Why:
					t.Errorf("phase %s: %s %q, want %s %q", r.Phase, r.Reason, r.Message, c.reason, d.Why)
				}
			}
			if diff := cmp.Diff(c.done, done); diff != "" {
				t.Errorf("phases that are done (-want +got):\n%s\n%s: %s", diff, d.Phase, d.Why)
			}
		})
	}
}
