package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func approval(gate, plan string) func(*Observed) {
	return func(o *Observed) {
		o.Rollout.Requests = append(o.Rollout.Requests,
			Request{ID: "by-ann", Verb: v1alpha1.RequestApprove, Gate: gate, PlanDigest: plan})
	}
}

func approvalOnRecord(gate, plan string) func(*Observed) {
	return func(o *Observed) {
		o.Record.Approvals = append(o.Record.Approvals,
			v1alpha1.ApprovalRecord{Gate: gate, PlanHash: plan, RequestID: "by-ann"})
	}
}

func applyNeedsApproval(o *Observed) { o.Rollout.ApplyApproval = true }

func workersNeedApproval(o *Observed) {
	o.Rollout.Stages = []Stage{{Pool: "worker", Nodes: 1}, {Name: "all", Pool: "worker", Approval: true}}
}

func TestApprovals(t *testing.T) {
	waits := func(phase Phase, says ...string) want {
		return want{phase: phase, reason: v1alpha1.ReasonApprovalRequired, blockers: []string{"SafeMirrorRollout shop"},
			says: says}
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"nothing is paused before the gate is open": {observed().copied().with(applyNeedsApproval).build(),
			waits(PhasePause, "gate: apply", `planHash: "`+planDigest+`"`)},
		"an approval opens it": {observed().copied().with(applyNeedsApproval).with(approval("apply",
			planDigest)).build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, facts: []string{"GateApproved"},
				says: []string{"request by-ann"}}},
		"an approval of another plan does not": {observed().copied().with(applyNeedsApproval).with(approval("apply",
			"sha256:former")).build(),
			waits(PhasePause, "request by-ann approves another plan (sha256:former)")},
		"an open gate stays open, whatever becomes of the request": {observed().copied().with(applyNeedsApproval).with(approvalOnRecord("apply", planDigest)).build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, actions: []string{"ensure-finalizer"}}},
		"a plan that changes before it is applied needs an approval of its own": {observed().paused().with(applyNeedsApproval).with(approvalOnRecord("apply", "sha256:former")).build(),
			waits(PhaseApply)},
		"a stage waits for its gate": {observed().rendered().done("worker-0").with(workersNeedApproval).build(),
			waits(PhaseRelease, "gate: all")},
		"the stage before it does not": {observed().rendered().with(workersNeedApproval).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
		"a stage begins when its gate opens": {observed().rendered().done("worker-0").with(workersNeedApproval).with(approvalOnRecord("all", planDigest)).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
		"the approval of one gate opens no other": {observed().rendered().done("worker-0").with(workersNeedApproval).with(approval("apply", planDigest)).build(),
			waits(PhaseRelease)},
		"a stage without a name is called after its pool": {observed().rendered().with(func(o *Observed) {
			o.Rollout.Stages = []Stage{{Pool: "worker", Approval: true}}
		}).build(), waits(PhaseRelease, "gate: worker-1")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestSoaking(t *testing.T) {
	soaks := func(o *Observed) {
		o.Rollout.Stages = []Stage{{Name: "canary", Pool: "worker", Nodes: 1, Soak: 10 * time.Minute},
			{Name: "rest", Pool: "worker"}}
	}
	since := func(d time.Duration) func(*Observed) {
		return func(o *Observed) {
			o.Record.Stages = []v1alpha1.StageRecord{{Name: "canary", ReachedAt: metav1.NewTime(now.Add(-d))}}
		}
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"a stage that is not reached is not watched": {observed().rendered().with(soaks).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
		"the time begins on record": {observed().rendered().done("worker-0").with(soaks).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"StageReached"}}},
		"the next stage waits": {observed().rendered().done("worker-0").with(soaks).with(since(9 * time.Minute)).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonSoaking, blockers: []string{"MachineConfigPool worker"},
				says: []string{"until 2026-03-01T12:01:00Z; stage rest"}}},
		"and begins on time": {observed().rendered().done("worker-0").with(soaks).with(since(10 * time.Minute)).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
		"a node later than that starts no other": {observed().rendered().done("worker-0",
			"worker-1").with(soaks).with(since(11 * time.Minute)).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := check(t, c.o, c.want)
			if c.want.reason == v1alpha1.ReasonSoaking && !d.RecheckAt.Equal(now.Add(time.Minute)) {
				t.Errorf("looks again at %s", d.RecheckAt)
			}
		})
	}
}

func TestWindows(t *testing.T) {
	at := func(clock string) time.Time {
		parsed, err := time.Parse(time.RFC3339, clock)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	nights := MaintenanceWindow{Schedule: "0 22 * * 1-5", Duration: 4 * time.Hour, TimeZone: "Europe/Berlin"}
	cases := map[string]struct {
		windows []MaintenanceWindow
		now     time.Time
		open    bool
		says    string
	}{
		"none is always open":             {nil, at("2026-03-01T12:00:00Z"), true, ""},
		"in the evening, in its own zone": {[]MaintenanceWindow{nights}, at("2026-03-02T21:00:00Z"), true, ""},
		"not a minute before": {[]MaintenanceWindow{nights}, at("2026-03-02T20:59:00Z"), false,
			"opens at 2026-03-02T21:00:00Z"},
		"past midnight": {[]MaintenanceWindow{nights}, at("2026-03-03T00:59:59Z"), true, ""},
		"closed at its end": {[]MaintenanceWindow{nights}, at("2026-03-03T01:00:00Z"), false,
			"opens at 2026-03-03T21:00:00Z"},
		"on Saturday, from Friday": {[]MaintenanceWindow{nights}, at("2026-03-07T00:30:00Z"), true, ""},
		"not on a Saturday evening": {[]MaintenanceWindow{nights}, at("2026-03-07T22:00:00Z"), false,
			"opens at 2026-03-09T21:00:00Z"},
		"an hour earlier in summer": {[]MaintenanceWindow{nights}, at("2026-07-01T20:00:00Z"), true, ""},
		"another one is open": {[]MaintenanceWindow{nights,
			{Schedule: "0 12 * * *", Duration: time.Hour}}, at("2026-03-01T12:30:00Z"), true, ""},
		"one that nobody can read is closed": {[]MaintenanceWindow{{Schedule: "now", Duration: time.Hour}},
			at("2026-03-01T12:00:00Z"), false, "none can be read"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed().copied().with(func(o *Observed) { o.Rollout.Windows, o.Now = c.windows, c.now }).
				transfers(func(tr *Transfers) { tr.OldestProof = c.now }).build()
			_, closed := outsideWindows(o)
			if closed == c.open {
				t.Fatalf("closed %t", closed)
			}
			if !c.open {
				check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonOutsideWindow,
					blockers: []string{"SafeMirrorRollout shop"}, says: []string{c.says}})
			}
		})
	}
}

// A window that closes is a hold: a pool that is open and has not given its node yet is closed, and
// an updating node finishes.
func TestClosedWindowRepauses(t *testing.T) {
	closed := func(o *Observed) {
		o.Rollout.Windows = []MaintenanceWindow{{Schedule: "0 3 * * *", Duration: time.Hour}}
	}
	d := Decide(observed().rendered().releaseIntended("worker").opened("worker").with(closed).build())
	if diff := cmp.Diff([]string{"pause-pool/worker"}, keys(d.Actions)); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestInvalidWindows(t *testing.T) {
	cases := map[string]struct {
		w    MaintenanceWindow
		want string
	}{
		"a good one": {MaintenanceWindow{Schedule: "0 22 * * 1-5", TimeZone: "Europe/Berlin"}, ""},
		"six fields": {MaintenanceWindow{Schedule: "0 0 22 * * 1-5"},
			`schedule: "0 0 22 * * 1-5" is not a cron schedule of five fields such as "0 22 * * 1-5": `},
		"a day that never": {MaintenanceWindow{Schedule: "0 0 31 2 *"}, `schedule: "0 0 31 2 *" never comes up`},
		"no such zone": {MaintenanceWindow{Schedule: "0 0 * * *", TimeZone: "Mars/Base"},
			`timeZone: "Mars/Base" is not the name of a time zone such as Europe/Berlin`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := c.w.Check(); err != nil {
				got = err.Error()
			}
			if len(got) < len(c.want) || got[:len(c.want)] != c.want || (c.want == "") != (got == "") {
				t.Errorf("says %q, want %q", got, c.want)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	asks := func(ids ...string) func(*Observed) {
		return func(o *Observed) {
			for _, id := range ids {
				o.Rollout.Requests = append(o.Rollout.Requests, Request{ID: id, Verb: v1alpha1.RequestRetry})
			}
		}
	}
	carriedOut := func(ids ...string) func(*Observed) { return func(o *Observed) { o.Record.HandledRequests = ids } }
	failing := func() *builder {
		return observed().copied().transfers(func(tr *Transfers) { tr.Verified, tr.Failed = 3, 1 })
	}
	cases := map[string]struct {
		o       Observed
		actions []string
		facts   []Fact
	}{
		"nobody asks": {failing().build(), []string{copyAll}, nil},
		"a request": {failing().with(asks("a")).build(), []string{copyAll, "try-again/a"},
			[]Fact{Retried{IDs: []string{"a"}}}},
		"two requests are one": {failing().with(asks("a", "b")).build(), []string{copyAll, "try-again/b"},
			[]Fact{Retried{IDs: []string{"a", "b"}}}},
		"one that was carried out": {failing().with(asks("a")).with(carriedOut("a")).build(),
			[]string{copyAll}, nil},
		"one more": {failing().with(asks("a", "b")).with(carriedOut("a")).build(),
			[]string{copyAll, "try-again/b"}, []Fact{Retried{IDs: []string{"b"}}}},
		"never together with a disruption": {observed().rendered().releaseIntended("worker").with(asks("a")).build(),
			[]string{"release-one/worker"}, nil},
		"not after the end": {observed().completed().with(asks("a")).build(), nil, nil},
		"another one than before": {failing().with(asks("b")).with(carriedOut("a")).build(),
			[]string{copyAll, "try-again/b"}, []Fact{Retried{IDs: []string{"b"}}}},
		"not on the way out of the rollout.": {observed().paused().with(asks("a")).deleting().build(), nil, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := Decide(c.o)
			var retried []Fact
			for _, f := range d.Facts {
				if r, ok := f.(Retried); ok {
					retried = append(retried, r)
				}
			}
			if diff := cmp.Diff(c.facts, retried); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			for _, a := range d.Actions {
				if _, ok := a.(RetryFailed); ok != (len(c.facts) > 0) && ok {
					t.Errorf("actions %v", keys(d.Actions))
				}
			}
			if len(c.actions) > 0 {
				if diff := cmp.Diff(c.actions, keys(d.Actions)); diff != "" {
					t.Errorf("actions (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDrainTimeout(t *testing.T) {
	moving := func(since, limit time.Duration) Observed {
		return observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").startsUpdate("worker-0", "Draining").followed("worker-0").with(func(o *Observed) {
			o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-since)}
			o.Rollout.DrainTimeout = limit
		}).build()
	}
	waits := want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}}
	check(t, moving(59*time.Minute, 0), waits)
	check(t, moving(89*time.Minute, 90*time.Minute), waits)
	check(t, moving(time.Hour, 0), want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainTimedOut, stalled: true,
		blockers: []string{"Node worker-0"},
		says:     []string{"not done after 1h0m0s", "is updating from"}})
}

// What is remembered of approvals and stages is bounded, and taken once.
func TestRecordOfGates(t *testing.T) {
	var r v1alpha1.Record
	for i := range maxApprovals + 5 {
		r = Apply(r, []Fact{GateApproved{Gate: "apply", PlanDigest: string(rune('a' + i)), At: now}})
	}
	r = Apply(r, []Fact{GateApproved{Gate: "apply", PlanDigest: string(rune('a' + 68)), At: now},
		StageReached{Name: "canary", At: now}, StageReached{Name: "canary", At: now.Add(time.Hour)}})
	if len(r.Approvals) != maxApprovals || len(r.Stages) != 1 || !r.Stages[0].ReachedAt.Equal(apiTime(now)) {
		t.Errorf("%d approvals, stages %v", len(r.Approvals), r.Stages)
	}
}

// A gate is approved by the name of its stage, so no two stages have one name: the approval of one
// would open the other, and a stage would count as watched when the other one was.
func TestStageNamesAreUnique(t *testing.T) {
	cases := map[string]struct {
		stages []Stage
		want   []string // the names, up to the last of these stages
	}{
		"the user's name comes second": {
			[]Stage{{Pool: "worker", Approval: true}, {Name: "worker-1", Pool: "worker", Approval: true}},
			[]string{"worker-2", "worker-1"}},
		"the user's name comes first": {
			[]Stage{{Name: "worker-2", Pool: "worker", Nodes: 1, Approval: true}, {Pool: "worker", Approval: true}},
			[]string{"worker-2", "worker-3"}},
		"of another pool": {
			[]Stage{{Name: "worker-1", Pool: "master", Approval: true}, {Pool: "worker", Approval: true}},
			[]string{"worker-1", "worker-2"}},
		"several are taken": {
			[]Stage{{Pool: "worker"}, {Name: "worker-1", Pool: "worker"}, {Name: "worker-2", Pool: "worker"}},
			[]string{"worker-3", "worker-1", "worker-2"}},
		"none is taken": {[]Stage{{Pool: "worker", Nodes: 1}, {Pool: "worker"}}, []string{"worker-1", "worker-2"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed().rendered().with(func(o *Observed) { o.Rollout.Stages = c.stages }).build()
			pools, _ := o.Pools.Get()
			seen := map[string]bool{}
			for i, s := range effectiveStages(o, pools) {
				if i < len(c.want) && s.Name != c.want[i] {
					t.Errorf("stage %d is named %q, want %q", i, s.Name, c.want[i])
				}
				if seen[s.Name] {
					t.Errorf("two stages are named %q", s.Name)
				}
				seen[s.Name] = true
			}
		})
	}
	t.Run("the approval of a named stage does not open an unnamed one", func(t *testing.T) {
		o := observed().rendered().with(func(o *Observed) {
			o.Rollout.Stages = cases["of another pool"].stages
		}).done("master-0", "master-1", "master-2").with(approval("worker-1", planDigest)).build()
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonApprovalRequired,
			blockers: []string{"SafeMirrorRollout shop"}, says: []string{"gate: worker-2"}})
	})
}
