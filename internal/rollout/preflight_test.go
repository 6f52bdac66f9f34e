package rollout

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func problem(reason v1alpha1.ConditionReason, name string, passing bool) Problem {
	return Problem{Reason: reason, Kind: "ImageTagMirrorSet", Name: name, Message: name + " is wrong",
		Transient: passing}
}

func TestPreflightFailsBeforeStart(t *testing.T) {
	layered := func(p *Pool) { p.Layered = true }
	degraded := func(p *Pool) { p.Degraded = "Node worker-1 is reporting: no space left on device" }
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"no MCO here": {
			o: observed().with(func(o *Observed) { o.Cluster = Known(Cluster{Unsupported: "HyperShift"}) }).build(),
			want: want{reason: v1alpha1.ReasonUnsupportedTopology, blockers: []string{"Cluster cluster"},
				says: []string{"HyperShift"}, stalled: true},
		},
		"a mistake in the spec": {
			o: observed().with(func(o *Observed) {
				o.SpecProblems = Known([]Problem{problem(v1alpha1.ReasonInvalidMirrorSets, "shop", false)})
			}).build(),
			want: want{reason: v1alpha1.ReasonInvalidMirrorSets, blockers: []string{"ImageTagMirrorSet shop"},
				stalled: true},
		},
		"a problem that passes": {
			o: observed().with(func(o *Observed) {
				o.SpecProblems = Known([]Problem{problem(v1alpha1.ReasonSecretInvalid, "shop", true)})
			}).build(),
			want: want{reason: v1alpha1.ReasonSecretInvalid, blockers: []string{"ImageTagMirrorSet shop"}},
		},
		"a stage for a pool that does not exist": {
			o: observed().with(func(o *Observed) {
				o.Rollout.Stages = []Stage{{Pool: "worker"},
					{Pool: "infra", Nodes: 1}}
			}).build(),
			want: want{reason: v1alpha1.ReasonPoolNotFound, blockers: []string{"MachineConfigPool infra"},
				stalled: true,
				says:    []string{"spec.release.stages[1].pool", "master, worker"}},
		},
		"an upgrade": {
			o: observed().with(func(o *Observed) { o.Cluster = Known(Cluster{Upgrading: "4.20.3"}) }).done("worker-0").build(),
			want: want{reason: v1alpha1.ReasonUpgrading, blockers: []string{"ClusterVersion version"},
				says: []string{"4.20.3"}},
		},
		"an upgrade explains pools that are not at rest": {
			o: observed().with(func(o *Observed) { o.Cluster = Known(Cluster{Upgrading: "4.20.3"}) }).
				eachPool(func(p *Pool) { p.Rendered = "rendered-worker-4.20.3" }, "worker").build(),
			want: want{reason: v1alpha1.ReasonUpgrading, blockers: []string{"ClusterVersion version"}},
		},
		"a layered pool": {
			o: observed().eachPool(layered, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				stalled: true,
				says:    []string{"MachineOSConfig"}},
		},
		"a degraded pool": {
			o: observed().eachPool(degraded, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				stalled: true,
				says:    []string{"no space left on device"}},
		},
		"a pool that another rollout holds": {
			o: observed().eachPool(func(p *Pool) { p.ForeignOwner, p.Paused = "books, UID 7", true }, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				stalled: true,
				says:    []string{"books, UID 7", "safemirror.io/pause-record"}},
		},
		"every unfit pool is named": {
			o: observed().eachPool(layered, "worker").eachPool(degraded, "master").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady,
				blockers: []string{"MachineConfigPool master", "MachineConfigPool worker"}, stalled: true},
		},
		"a pool that its user has paused": {
			o: observed().eachPool(func(p *Pool) { p.Paused, p.PausedBy = true, "kubectl-patch" }, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				stalled: true,
				says:    []string{`paused by "kubectl-patch"`, "never unpauses"}},
		},
		"a MachineConfig that overrides registries.conf": {
			o: observed().eachPool(func(p *Pool) {
				p.Registries, p.Difference = MatchesOther,
					[]string{"quay.io: blocked"}
			}, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				stalled: true,
				says:    []string{"99-worker-generated-registries", "quay.io: blocked"}},
		},
		"a pool that is still updating": {
			o: observed().eachPool(func(p *Pool) { p.Rendered = "rendered-worker-other" },
				"worker").done("worker-1").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				says: []string{"1 of 3 nodes run rendered-worker-other"}},
		},
		"a pool that is updating is not told of while another is paused by its user": {
			o: observed().eachPool(func(p *Pool) { p.Rendered = "rendered-worker-other" }, "worker").
				eachPool(func(p *Pool) { p.Paused = true }, "master").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool master"},
				stalled: true},
		},
		"more pools than the record has room for": {
			o: observed().with(func(o *Observed) {
				var pools []Pool
				for i := range maxPools + 1 {
					pools = append(pools, somePool(fmt.Sprintf("pool-%02d", i), 1))
				}
				o.Pools = Known(pools)
			}).build(),
			want: want{reason: v1alpha1.ReasonUnsupportedTopology, blockers: []string{"MachineConfigPool pool-32"},
				stalled: true,
				says:    []string{"33 MachineConfigPools", "at most 32"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhasePreflight
			check(t, c.o, c.want)
		})
	}
}

// What refuses a rollout before the start holds it afterwards: what is half done is not improved by
// giving up.
func TestPreflightWaitsAfterStart(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"a mistake in the spec": {
			o: observed().rendered().with(func(o *Observed) {
				o.SpecProblems = Known([]Problem{problem(v1alpha1.ReasonInvalidMirrorSets, "shop", false)})
			}).build(),
			want: want{reason: v1alpha1.ReasonInvalidMirrorSets, blockers: []string{"ImageTagMirrorSet shop"}},
		},
		"a stage for a pool that was deleted": {
			o:    observed().rendered().with(func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "infra"}} }).build(),
			want: want{reason: v1alpha1.ReasonPoolNotFound, blockers: []string{"MachineConfigPool infra"}},
		},
		"a degraded pool": {
			o: observed().rendered().eachPool(func(p *Pool) { p.Degraded = "drain" }, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				says: []string{"goes on by itself"}},
		},
		"a pool that became layered": {
			o:    observed().rendered().eachPool(func(p *Pool) { p.Layered = true }, "worker").build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"}},
		},
		"an upgrade": {
			o:    observed().rendered().with(func(o *Observed) { o.Cluster = Known(Cluster{Upgrading: "4.20.3"}) }).build(),
			want: want{reason: v1alpha1.ReasonUpgrading, blockers: []string{"ClusterVersion version"}},
		},
		"others that cannot be read": {
			o:    observed().rendered().with(func(o *Observed) { o.OtherRollouts = Unknown[[]OtherRollout]("timeout") }).build(),
			want: want{reason: v1alpha1.ReasonUnreadable, blockers: []string{"SafeMirrorRollout SafeMirrorRollout"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhasePreflight
			check(t, c.o, c.want)
		})
	}
}

func TestPreflightPassesAfterStart(t *testing.T) {
	cases := map[string]Observed{
		"our own pauses":                          observed().rendered().build(),
		"another rollout that is older":           observed().rendered().with(func(o *Observed) { o.OtherRollouts = Known([]OtherRollout{{Name: "a", Waiting: true}}) }).build(),
		"nodes half way":                          observed().rendered().done("worker-0").build(),
		"our pause records, with the record lost": observed().rendered().recordLost().build(),
		"our pause records, with the record lost, and an older one that waits": observed().rendered().recordLost().with(func(o *Observed) {
			o.OtherRollouts = Known([]OtherRollout{{Name: "a", Waiting: true}})
		}).build(),
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			if d := Decide(o); d.Phase == PhasePreflight {
				t.Errorf("held in %s: %s", d.Phase, d.Why)
			}
		})
	}
}

func TestOnlyOneRolloutAtATime(t *testing.T) {
	older, younger := now.Add(-2*time.Hour), now.Add(-time.Minute) // this one is an hour old
	wait := want{phase: PhasePreflight, reason: v1alpha1.ReasonOtherRollout,
		blockers: []string{"SafeMirrorRollout books"}}
	goOn := want{phase: PhaseMirror, reason: v1alpha1.ReasonProgressing,
		actions: []string{"ensure-transfers/" + planDigest}}
	cases := map[string]struct {
		other OtherRollout
		want  want
	}{
		"an older one that waits comes first": {OtherRollout{Name: "books", Created: older,
			Waiting: true}, wait},
		"a younger one that waits does not": {OtherRollout{Name: "books", Created: younger,
			Waiting: true}, goOn},
		"one that has started comes first at any age": {OtherRollout{Name: "books", Created: younger, ActiveSince: now,
			Waiting: true}, wait},
		"an older one that cannot begin does not": {OtherRollout{Name: "books", Created: older}, goOn},
		"one that has completed does not":         {OtherRollout{Name: "books", Created: older}, goOn},
		"of the same age the name decides": {OtherRollout{Name: "books", Created: now.Add(-time.Hour),
			Waiting: true}, wait},
		"of the same age the name decides, for us too": {OtherRollout{Name: "zoo", Created: now.Add(-time.Hour),
			Waiting: true}, goOn},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			check(t, observed().with(func(o *Observed) { o.OtherRollouts = Known([]OtherRollout{c.other}) }).build(), c.want)
		})
	}
}

// A rollout whose spec is wrong says so while another one is in progress, not when its turn comes.
func TestSpecProblemsAreReportedAtOnce(t *testing.T) {
	books := OtherRollout{Name: "books", ActiveSince: now.Add(-time.Hour), Waiting: true}
	o := observed().with(func(o *Observed) {
		o.OtherRollouts = Known([]OtherRollout{books})
		o.SpecProblems = Known([]Problem{{Reason: v1alpha1.ReasonInvalidSpec, Kind: "SafeMirrorRollout", Name: "shop",
			Message: "spec.release.windows[0].schedule: no"}})
	}).build()
	check(t, o, want{phase: PhasePreflight, reason: v1alpha1.ReasonInvalidSpec, stalled: true,
		blockers: []string{"SafeMirrorRollout shop"}, says: []string{"windows[0]"}})
}

// Of the rollouts that have not begun, those stand before younger ones that could begin now.
func TestWaitsToBegin(t *testing.T) {
	ready := func(reason v1alpha1.ConditionReason) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: string(reason),
			ObservedGeneration: 3}
	}
	stalled := metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue,
		Reason: string(v1alpha1.ReasonInvalidSpec), ObservedGeneration: 3}
	notStalled, before := stalled, stalled
	notStalled.Status, before.ObservedGeneration = metav1.ConditionFalse, 2
	cases := map[string]struct {
		spec       Spec
		record     v1alpha1.Record
		conditions []metav1.Condition
		want       bool
	}{
		"new":                             {Spec{}, v1alpha1.Record{}, nil, true},
		"complete":                        {Spec{}, v1alpha1.Record{CompletedGeneration: 1, CompletedSpecHash: "spec"}, nil, false},
		"complete, and the spec is new":   {Spec{}, v1alpha1.Record{CompletedGeneration: 1, CompletedSpecHash: "old"}, nil, true},
		"held":                            {Spec{Held: true}, v1alpha1.Record{}, nil, false},
		"stalled":                         {Spec{}, v1alpha1.Record{}, []metav1.Condition{stalled}, false},
		"not stalled":                     {Spec{}, v1alpha1.Record{}, []metav1.Condition{notStalled}, true},
		"the spec before this was wrong":  {Spec{}, v1alpha1.Record{}, []metav1.Condition{before}, true},
		"waits for an approval":           {Spec{}, v1alpha1.Record{}, []metav1.Condition{ready(v1alpha1.ReasonApprovalRequired)}, false},
		"outside its maintenance windows": {Spec{}, v1alpha1.Record{}, []metav1.Condition{ready(v1alpha1.ReasonOutsideWindow)}, false},
		"waits for another one":           {Spec{}, v1alpha1.Record{}, []metav1.Condition{ready(v1alpha1.ReasonOtherRollout)}, true},
		"copies images":                   {Spec{}, v1alpha1.Record{}, []metav1.Condition{ready(v1alpha1.ReasonProgressing)}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.spec.Generation, c.spec.SpecHash = 3, "spec"
			status := v1alpha1.SafeMirrorRolloutStatus{Record: c.record, Conditions: c.conditions}
			if got := WaitsToBegin(c.spec, status); got != c.want {
				t.Errorf("waits to begin: %t, want %t", got, c.want)
			}
		})
	}
}

// TestTwoActiveRollouts: a complete rollout is asked to roll back while another one is in progress.
// Whoever looks, the same one comes first.
func TestTwoActiveRollouts(t *testing.T) {
	shop := v1alpha1.Record{StartedAt: apiTime(now.Add(-24 * time.Hour)), CompletedGeneration: 1,
		CompletedSpecHash: "spec-1", AppliedPlanHash: planDigest}
	shop = Apply(shop, []Fact{RollbackStarted{Reason: v1alpha1.RollbackDeleted, SpecHash: "spec-1", At: now}})
	books := v1alpha1.Record{StartedAt: apiTime(began)}
	cases := map[string]struct {
		record v1alpha1.Record
		other  OtherRollout
		waits  bool
	}{
		"the one that rolls back, beside one in progress": {shop,
			OtherRollout{Name: "books", ActiveSince: ActiveSince(books), Waiting: true}, true},
		"the one in progress, beside one that rolls back": {books,
			OtherRollout{Name: "books", ActiveSince: ActiveSince(shop), Waiting: true}, false},
		"begun in the same second, and older": {books,
			OtherRollout{Name: "books", Created: now.Add(-2 * time.Hour), ActiveSince: began, Waiting: true}, true},
		"beside one that waits and is older": {books,
			OtherRollout{Name: "books", Created: now.Add(-2 * time.Hour), Waiting: true}, false},
		"the one that rolls back, beside one that has not begun": {shop,
			OtherRollout{Name: "books", Created: now.Add(-2 * time.Hour), Waiting: true}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := Decide(observed().with(func(o *Observed) {
				o.Record, o.OtherRollouts = c.record,
					Known([]OtherRollout{c.other})
			}).build())
			if waits := d.Reason == v1alpha1.ReasonOtherRollout; waits != c.waits {
				t.Errorf("waits %t, want %t: %s: %s", waits, c.waits, d.Phase, d.Why)
			}
		})
	}
}

// Unknown is not zero (I3). Whatever cannot be read, the phase that needs it says so, changes
// nothing, and looks again.
func TestUnknownInputsHold(t *testing.T) {
	unreadable := func(phase Phase, kind string) want {
		return want{phase: phase, reason: v1alpha1.ReasonUnreadable, blockers: []string{kind + " " + kind},
			says: []string{"connection refused"}}
	}
	const why = "connection refused"
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the cluster": {observed().with(func(o *Observed) { o.Cluster = Unknown[Cluster](why) }).build(),
			unreadable(PhasePreflight, "ClusterVersion")},
		"other rollouts": {observed().with(func(o *Observed) { o.OtherRollouts = Unknown[[]OtherRollout](why) }).build(), unreadable(PhasePreflight, "SafeMirrorRollout")},
		"the spec": {observed().with(func(o *Observed) { o.SpecProblems = Unknown[[]Problem](why) }).build(),
			unreadable(PhasePreflight, "SafeMirrorRollout")},
		"the pools": {observed().with(func(o *Observed) { o.Pools = Unknown[[]Pool](why) }).build(),
			unreadable(PhasePreflight, "MachineConfigPool")},
		"the plan": {observed().with(func(o *Observed) { o.Plan = Unknown[PlanSummary](why) }).build(),
			unreadable(PhasePlan, "Plan")},
		"the transfers": {observed().with(func(o *Observed) { o.Transfers = Unknown[Transfers](why) }).build(),
			unreadable(PhaseMirror, "Transfers")},
		"the transfers, later": {observed().rendered().with(func(o *Observed) { o.Transfers = Unknown[Transfers](why) }).build(), unreadable(PhaseVerify, "Transfers")},
		"the probes":           {observed().copied().with(func(o *Observed) { o.PullChecks = Unknown[PullChecks](why) }).build(), unreadable(PhaseProve, "Probes")},
		"the mirror sets":      {observed().rendered().with(func(o *Observed) { o.Sets = Unknown[MirrorSets](why) }).build(), unreadable(PhaseApply, "ImageTagMirrorSet")},
		"the workloads, before a release": {observed().rendered().with(func(o *Observed) { o.Workloads = Unknown[[]Workload](why) }).build(),
			unreadable(PhaseRelease, "Workloads")},
		"the workloads, after a release": {observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").done("worker-0").followed("worker-0").
			with(func(o *Observed) { o.Workloads = Unknown[[]Workload](why) }).build(),
			unreadable(PhaseRelease, "Workloads")},
		"the pools of a deleted rollout": {observed().paused().deleting().with(func(o *Observed) { o.Pools = Unknown[[]Pool](why) }).build(),
			unreadable(PhaseRestore, "MachineConfigPool")},
		"the mirror sets of a deleted rollout": {observed().paused().deleting().with(func(o *Observed) { o.Sets = Unknown[MirrorSets](why) }).build(),
			unreadable(PhaseRestore, "ImageTagMirrorSet")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := check(t, c.o, c.want)
			if got, wanted := d.RecheckAt, now.Add(time.Minute); !got.Equal(wanted) {
				t.Errorf("looked at again at %s, want %s", got, wanted)
			}
		})
	}
}

// Each phase by itself holds when nothing is known, whatever those before it let through.
func TestEachPhaseWaitsOnUnknown(t *testing.T) {
	nothing := Observed{Now: now, Rollout: observed().build().Rollout}
	onlyPlan := nothing
	onlyPlan.Plan = Known(PlanSummary{Digest: planDigest})
	sets := onlyPlan
	sets.Sets = Known(MirrorSets{ITMS: SetMissing})
	for _, p := range rolloutPhases {
		if p.name == PhaseFinish {
			continue // it looks at nothing: that it is reached is the condition
		}
		for name, o := range map[string]Observed{"nothing": nothing, "only the plan": onlyPlan,
			"only plan and sets": sets} {
			switch step := p.evaluate(o).(type) {
			case Wait:
				if len(step.Blockers) == 0 {
					t.Errorf("%s knows %s and waits for nobody", p.name, name)
				}
			case Done:
				// The policy of a rollout that drains is nobody's business, and one that is not
				// staged has one pass.
				if p.name != PhasePlan && p.name != PhaseEnforce {
					t.Errorf("%s knows %s and is done", p.name, name)
				}
			case Do, Fail:
				t.Errorf("%s knows %s and does %#v", p.name, name, step)
			}
		}
	}
}

func TestUnknownHasAReason(t *testing.T) {
	if got, want := (Value[int]{}).Why(), "not read yet"; got != want {
		t.Errorf("the zero Known says %q, want %q", got, want)
	}
}
