package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// asking: a person asks for something.
func asking(verb v1alpha1.RequestAction) func(*Observed) {
	return func(o *Observed) { o.Rollout.Requests = append(o.Rollout.Requests, Request{ID: "by-ann", Verb: verb}) }
}

// goesBack: the rollback is on record, and nothing was done for it yet.
func goesBack(o *Observed) {
	at := o.Record.CompletedAt
	generation, spec := o.Record.CompletedGeneration, o.Record.CompletedSpecHash
	RollbackBegun{Reason: v1alpha1.RollbackRequested, Request: "by-ann", Spec: "spec-1", At: now}.apply(&o.Record)
	o.Record.CompletedAt, o.Record.CompletedGeneration, o.Record.CompletedSpecHash = at, generation, spec
}

// onTheWayBack: the mirror sets of before are written and rendered, and nothing is under way: what is planned now is what the pools
// began with.
func (b *builder) onTheWayBack() *builder {
	goesBack(&b.o)
	b.o.Record.AppliedPlanHash = planDigest
	b.sets(SetNotWanted, SetNotWanted)
	return b.eachPool(func(p *Pool) {
		p.Rendered, p.Meaning = renderedName(p.Name, earlier), MeansPlanned
	})
}

func TestWhatBeginsARollback(t *testing.T) {
	begins := func(says ...string) want {
		return want{phase: PhasePreflight, reason: v1alpha1.ReasonProgressing, facts: []string{"RollbackBegun"}, says: says}
	}
	took := func() *builder { return observed().rendered().done("worker-0") }
	late := func(o *Observed) {
		o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-time.Hour)}
		o.Rollout.RollbackOnFailure = true
	}
	moving := func() *builder {
		return observed().rendered().intends("worker").opens("worker").closes("worker").takes("worker-0", "Draining").follows("worker-0")
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"a request":                      {took().with(asking(v1alpha1.RequestRollback)).build(), begins("request by-ann")},
		"a request, after the end":       {observed().completed().with(asking(v1alpha1.RequestRollback)).build(), begins("request by-ann")},
		"a request, before anything":     {observed().with(asking(v1alpha1.RequestRollback)).build(), begins()},
		"an abort that comes in time":    {observed().paused().with(asking(v1alpha1.RequestAbort)).build(), begins("reached no node")},
		"an abort before the first node": {observed().rendered().with(asking(v1alpha1.RequestAbort)).build(), begins("reached no node")},
		"an abort that comes too late holds": {took().with(asking(v1alpha1.RequestAbort)).build(), want{phase: PhasePreflight, reason: v1alpha1.ReasonAborted, stalled: true,
			blockers: []string{"SafeMirrorRollout shop"}, says: []string{"1 nodes have", "action Rollback", "remove request by-ann"}}},
		"a deletion":                 {took().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(), begins("spec.deletion is Rollback")},
		"a deletion at the end":      {observed().completed().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(), begins("spec.deletion is Rollback")},
		"a node that takes too long": {moving().with(late).build(), begins("node worker-0", "spec.onFailure")},
		"not the mere choice of what a deletion does": {took().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended master"}}},
		"not a node that takes its time": {moving().with(late).with(func(o *Observed) { o.Rollout.DrainTimeout = 2 * time.Hour }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}}},
		"not a request that was carried out": {observed().completed().with(asking(v1alpha1.RequestRollback)).with(func(o *Observed) { o.Record.HandledRequests = []string{"by-ann"} }).build(),
			want{phase: PhaseComplete, reason: v1alpha1.ReasonComplete, complete: true}},
		"not the deletion of what was never applied": {observed().paused().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestTheWayBack(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the mirror sets are taken away while a node is on its way": {
			observed().rendered().takes("worker-0", "Draining").with(goesBack).sets(SetNotWanted, SetLeftOver).eachPool(func(p *Pool) { p.Meaning = MeansEarlier }).build(),
			want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, actions: []string{"apply-mirror-sets/" + planDigest}},
		},
		"a node that has them gives them back": {
			observed().rendered().done("worker-0").onTheWayBack().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}},
		},
		"a node that is stuck does not stop it": {
			observed().rendered().done("worker-0").takes("worker-1", "Draining").cordoned("worker-1").onTheWayBack().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}},
		},
		"a node that writes its files does": {
			observed().rendered().done("worker-0").takes("worker-1", "Working").onTheWayBack().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"}},
		},
		"when no other node is left the stuck one is waited for": {
			observed().rendered().takes("worker-1", "Draining").cordoned("worker-1").onTheWayBack().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"no window and no gate holds it": {
			observed().rendered().done("worker-0").onTheWayBack().with(func(o *Observed) {
				o.Rollout.Windows = []Window{{Schedule: "0 3 * * *", Duration: time.Hour}}
				o.Rollout.Stages = []Stage{{Pool: "worker", Approval: true}}
			}).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}},
		},
		"the user still does": {
			observed().rendered().done("worker-0").onTheWayBack().held().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"before anything was applied the pools are given back": {
			observed().paused().with(goesBack).sets(SetNotWanted, SetNotWanted).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"and that is all": {
			observed().with(goesBack).sets(SetNotWanted, SetNotWanted).build(),
			want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"Completed"}},
		},
		"at the end it is said what was done, and why": {
			observed().completed().with(goesBack).build(),
			want{phase: PhaseComplete, reason: v1alpha1.ReasonRolledBack, stalled: true, blockers: []string{"SafeMirrorRollout shop"}, says: []string{"request by-ann asked for it"}},
		},
		"what a new spec wants comes after it": {
			observed().completed().with(goesBack).with(func(o *Observed) { o.Rollout.Spec = "spec-2" }).build(),
			want{phase: PhasePreflight, reason: v1alpha1.ReasonProgressing, facts: []string{"Restarted"}},
		},
		"a deleted rollout is let go": {
			observed().completed().with(goesBack).deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"remove-finalizer"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// Room is made for the stuck node and for the one that is released: with less the MCO would hand out none.
func TestTheRoomBesideAStuckNode(t *testing.T) {
	o := observed().rendered().done("worker-0").takes("worker-1", "Draining").cordoned("worker-1").onTheWayBack().build()
	o.Record = Apply(o.Record, Decide(o).Facts)
	got := action[ReleaseOne](t, Decide(o))
	if got.MaxUnavailable != 2 || got.Ledger.Release.Moving != 1 {
		t.Errorf("room for %d, %d on their way before, want 2 and 1", got.MaxUnavailable, got.Ledger.Release.Moving)
	}
}

// A pool that is open beside a stuck node is closed when one more is on its way, and not before.
func TestAPulseBesideAStuckNode(t *testing.T) {
	p := somePool("worker", 3)
	p.Nodes[1].Desired = "rendered-worker-new"
	p.Ledger = &Ledger{Release: &Pulse{Target: p.Rendered, Updated: 2, Moving: 1, Deadline: now.Add(time.Minute)}}
	if p.PulseOver(now) {
		t.Error("closed at once")
	}
	p.Nodes[0].Current = "rendered-worker-new"
	if !p.PulseOver(now) {
		t.Error("open while a second node is on its way")
	}
}

// I10: a rollback is decided once, whoever asks for what afterwards.
func TestRollbackIsLatched(t *testing.T) {
	first := RollbackBegun{Reason: v1alpha1.RollbackDeleted, Spec: "spec-1", At: now}
	r := Apply(v1alpha1.Record{CompletedGeneration: 1, Release: &v1alpha1.ReleaseRecord{}}, []Fact{first, RollbackBegun{Reason: v1alpha1.RollbackRequested, Request: "b", At: now.Add(time.Hour)}})
	want := v1alpha1.Record{StartedAt: stamp(now), Rollback: &v1alpha1.RollbackRecord{Reason: v1alpha1.RollbackDeleted, SpecHash: "spec-1", DecidedAt: *stamp(now)}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// What the mirror sets were like is remembered from before the first of them was written, not from before the last.
func TestThePreviousSetsAreThoseOfTheBeginning(t *testing.T) {
	r := Apply(v1alpha1.Record{}, []Fact{ApplyIntended{Plan: "a", Previous: &v1alpha1.PreviousMirrorSets{Name: "before"}}, ApplyIntended{Plan: "b", Previous: &v1alpha1.PreviousMirrorSets{Name: "partial"}}})
	if r.Previous.Name != "before" || r.AppliedPlanHash != "b" {
		t.Errorf("record %+v", r)
	}
}
