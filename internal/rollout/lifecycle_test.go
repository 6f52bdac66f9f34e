package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestCompletion(t *testing.T) {
	o := observed().updated().restored("master", "worker").build()
	d := check(t, o, want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}})
	o.Record = Apply(o.Record, d.Facts)
	if o.Record.CompletedGeneration != 1 || !o.Record.CompletedAt.Time.Equal(now) {
		t.Errorf("record %+v, want generation 1 at %s", o.Record, now)
	}
	d = check(t, o, want{phase: PhaseComplete, reason: v1alpha1.ReasonComplete, complete: true})
	if !d.RecheckAt.IsZero() {
		t.Errorf("looked at again at %s, want never by itself", d.RecheckAt)
	}
	if got, wanted := len(d.PhaseResults), len(PhaseTable()); got != wanted {
		t.Errorf("%d verdicts, want %d", got, wanted)
	}
}

// After the end the rollout watches. It writes nothing, because the MCO would bring it to every
// node at its own pace.
func TestAfterCompletion(t *testing.T) {
	complete := want{phase: PhaseComplete, reason: v1alpha1.ReasonComplete, complete: true}
	drifted := func(blockers ...string) want {
		return want{phase: PhaseComplete, reason: v1alpha1.ReasonDrifted, stalled: true, blockers: blockers,
			says: []string{"not written again"}}
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"as it was": {observed().completed().build(), complete},
		"the mirror set is deleted": {observed().completed().sets(SetNotWanted, SetMissing).build(),
			drifted("ImageTagMirrorSet shop")},
		"both are edited": {observed().completed().sets(SetDiffers, SetDiffers).build(),
			drifted("ImageDigestMirrorSet shop", "ImageTagMirrorSet shop")},
		"the mirror sets cannot be read": {observed().completed().with(func(o *Observed) { o.Sets = Unknown[MirrorSets]("timeout") }).build(), complete},
		"nothing can be read": {observed().completed().with(func(o *Observed) {
			o.Pools,
				o.Cluster = Unknown[[]Pool]("x"), Unknown[Cluster]("x")
		}).build(), complete},
		"the pools are updated for others": {observed().completed().eachPool(func(p *Pool) { p.Rendered = "rendered-x" }).build(), complete},
		"the user has paused a pool": {observed().completed().eachPool(func(p *Pool) { p.Paused = true },
			"worker").build(), complete},
		"held": {observed().completed().held().build(), complete},
		"an old pause record was put back, paused": {observed().completed().eachPool(func(p *Pool) { (&builder{o: observed().started().build()}).pause(p) }, "worker").build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"restore-pool/worker"},
				says: []string{"giving pool worker back"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestNewSpecRestarts(t *testing.T) {
	o := observed().completed().with(func(o *Observed) {
		o.Rollout.Generation, o.Rollout.SpecHash = 2,
			"spec-2"
	}).build()
	d := check(t, o, want{phase: PhasePreflight, reason: v1alpha1.ReasonProgressing,
		facts: []string{"RolloutRestarted"},
		says:  []string{"generation 2, completed was 1"}})
	o.Record = Apply(o.Record, d.Facts)
	if diff := cmp.Diff(v1alpha1.Record{}, o.Record); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutStarted"}})
}

// A spec that changes half way is planned, proven and applied under the same pause.
func TestNewSpecDuringRollout(t *testing.T) {
	o := observed().rendered().done("worker-0").with(func(o *Observed) { o.Rollout.Generation = 2 }).
		plan(func(p *PlanSummary) { p.Digest = "sha256:next" }).transfers(func(tr *Transfers) { tr.PlanDigest = "sha256:next" }).pullChecks(func(p *PullChecks) { p.PlanDigest = "sha256:next" }).
		sets(SetMissing, SetDiffers).build()
	d := check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}})
	o.Record = Apply(o.Record, d.Facts)
	check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing,
		actions: []string{"apply-mirror-sets/sha256:next"}})
}

func TestDeletion(t *testing.T) {
	let := want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"remove-finalizer"}}
	kernel := func(p *Pool) { p.Rendered, p.PendingChanges = "rendered-worker-kernel", []string{"kernelArguments"} }
	restored := func(o *Observed) { poolRecord(o.Record, "master").Restored = true }
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"without a finalizer there is nothing to do": {
			o:    observed().deleting().with(func(o *Observed) { o.Rollout.Finalizer = false }).build(),
			want: want{phase: PhaseComplete, reason: v1alpha1.ReasonComplete, complete: true},
		},
		"nothing was touched": {observed().deleting().build(), let},
		"nothing was touched, and the mirror sets cannot be read": {observed().deleting().with(func(o *Observed) {
			o.Sets = Unknown[MirrorSets]("timeout")
		}).build(), let},
		"nothing was paused":   {observed().copied().deleting().build(), let},
		"there is no MCO here": {observed().paused().deleting().with(func(o *Observed) { o.Cluster = Known(Cluster{Unsupported: "x"}) }).build(), let},
		"it was complete":      {observed().completed().deleting().build(), let},
		"it was complete, and nothing is read any more": {observed().completed().deleting().with(func(o *Observed) {
			o.Pools, o.Plan = Unknown[[]Pool](""), Unknown[PlanSummary]("")
		}).build(), let},
		"it was complete and drifts": {observed().completed().deleting().sets(SetNotWanted, SetMissing).build(), let},
		"the pools were paused: they are restored": {
			o:    observed().paused().deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"one by one": {
			o: observed().paused().deleting().with(restored).build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing,
				actions: []string{"restore-pool/master"}},
		},
		"whatever the preflight says": {
			o: observed().paused().deleting().with(restored).with(func(o *Observed) {
				o.Cluster, o.SpecProblems, o.Plan = Known(Cluster{Upgrading: "4.20.3"}), Unknown[[]Problem]("x"),
					Unknown[PlanSummary]("x")
			}).build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing,
				actions: []string{"restore-pool/master"}},
		},
		"the MCO has to see it": {
			o: observed().paused().restored("master",
				"worker").deleting().eachPool(func(p *Pool) { p.ObservedGeneration-- }, "worker").build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonWaiting,
				blockers: []string{"MachineConfigPool worker"}},
		},
		"all are restored": {observed().paused().restored("master", "worker").deleting().build(), let},
		"only some were paused": {
			o: observed().started().eachPool(func(p *Pool) { (&builder{o: observed().started().build()}).pause(p) },
				"worker").deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored worker"}},
		},
		"the record is lost": {
			o:    observed().paused().recordLost().deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolAdded master"}},
		},
		"a pause record is lost": {
			o:    observed().paused().deleting().eachPool(func(p *Pool) { p.PauseRecord = nil }, "master").build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/master"}},
		},
		"another rollout's pool is none of our business": {
			o: observed().paused().restored("worker").deleting().eachPool(func(p *Pool) {
				// its pauses are signed like ours
				p.PauseRecord, p.ForeignOwner, p.PausedByUs, p.Rendered = nil, "books", true, "x"
			}, "master").build(),
			want: let,
		},
		"a change of somebody else's queued up behind the pause: it is let through": {
			o: observed().paused().restored("master").eachPool(kernel, "worker").deleting().
				with(func(o *Observed) { poolRecord(o.Record, "worker").Restored = true }).build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing,
				actions: []string{"restore-pool/worker"}},
		},
		"one that changes registries.conf is not": {
			o: observed().paused().restored("master").eachPool(kernel, "worker").
				eachPool(func(p *Pool) { p.Registries = MatchesOther }, "worker").deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonWaiting,
				blockers: []string{"MachineConfigPool worker"},
				says:     []string{"3 of its 3 nodes", "pause-record"}},
		},
		"a node was released, the set and the record are gone": {
			o: observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").done("worker-0").restored("master").
				eachPool(func(p *Pool) { p.Rendered, p.Registries = renderedName(p.Name, earlier), MatchesBefore }).
				with(func(o *Observed) { o.Record.Release, o.Record.AppliedPlanHash = nil, "" }).sets(SetNotWanted,
				SetMissing).deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonWaiting,
				blockers: []string{"MachineConfigPool worker"},
				says:     []string{"1 of its 3 nodes"}},
		},
		"about to be applied, and never applied: the pools are restored": {
			o:    observed().intended().deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"applied, taken away again, and no node had it: the pools are restored": {
			o: observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").with(func(o *Observed) { o.Record.Release = nil }).
				eachPool(func(p *Pool) {
					p.Rendered, p.Registries = renderedName(p.Name, earlier),
						MatchesBefore
				}).sets(SetNotWanted, SetMissing).deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"applied, and taken away before any node was released: the MCO has to render it away": {
			o: observed().rendered().sets(SetNotWanted, SetMissing).deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonWaiting,
				blockers: []string{"MachineConfigPool master", "MachineConfigPool worker"},
				says:     []string{"3 of its 3 nodes do not run rendered-worker-planned"}},
		},
		"a change queued up as well": {
			o:    observed().intended().eachPool(kernel, "worker").deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// Once the mirror sets are applied a deleted rollout is carried to its end: they stay, and every
// pool is restored in order.
func TestDeletionAfterApplyCompletes(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"applied": {observed().applied().deleting().build(),
			want{phase: PhaseRender, reason: v1alpha1.ReasonWaiting,
				blockers: []string{"MachineConfigPool master", "MachineConfigPool worker"}}},
		"rendered": {observed().rendered().deleting().build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
		"the mirror set is deleted as well": {observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").done("worker-0").
			with(func(o *Observed) { o.Record.Release = nil }).sets(SetNotWanted, SetMissing).deleting().build(),
			want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing,
				actions: []string{"apply-mirror-sets/" + planDigest}}},
		"updated": {observed().updated().deleting().build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}}},
		"at its end": {observed().updated().restored("master", "worker").deleting().build(),
			want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}}},
		"the record is lost": {observed().rendered().done("worker-0").recordLost().deleting().build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutStarted"}}},
		"the record is lost, and found in part": {observed().rendered().done("worker-0").deleting().with(func(o *Observed) { o.Record.AppliedPlanHash = "" }).build(),
			want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}}},
		"the mirror set is deleted when every node has it": {
			observed().updated().releaseIntended("worker").opened("worker").repaused("worker").with(func(o *Observed) { o.Record.Release = nil }).
				sets(SetNotWanted, SetMissing).deleting().build(),
			want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing,
				actions: []string{"apply-mirror-sets/" + planDigest}},
		},
		"a set is gone, and nodes were released": {
			o: observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").done("worker-0").with(func(o *Observed) { o.Record.Release = nil }).
				eachPool(func(p *Pool) {
					p.Rendered, p.Registries = renderedName(p.Name, earlier),
						MatchesBefore
				}).sets(SetNotWanted, SetMissing).deleting().build(),
			want: want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing,
				actions: []string{"apply-mirror-sets/" + planDigest}},
		},
		"the next generation is not applied yet, the former is everywhere": {
			o: observed().updated().with(func(o *Observed) { o.Record.AppliedPlanHash = "" }).sets(SetNotWanted,
				SetDiffers).deleting().build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// A node disruption policy of a rollout that is gone makes every later change of registries.conf
// reload, and nothing that belongs to a rollout would restore it. So as long as it is unknown
// whether ours is in the cluster, the finalizer stays.
func TestUnreadablePolicyHoldsTheFinalizer(t *testing.T) {
	unreadable := func(o *Observed) { o.NodeDisruptionPolicy = Unknown[NodeDisruptionPolicy]("timeout") }
	restored := func(o *Observed) { o.Record.NodeDisruptionPolicy.Restored = true }
	unreadablePools := func(o *Observed) { o.Pools = Unknown[[]Pool]("timeout") }
	remove := want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"remove-finalizer"}}
	wait := want{phase: PhaseRestore, reason: v1alpha1.ReasonUnreadable,
		blockers: []string{"MachineConfiguration MachineConfiguration"}, says: []string{"timeout"}}
	cases := map[string]struct {
		b    *builder
		want want
	}{
		"complete":                           {observed().completed().policyInstalled().with(restored), wait},
		"complete, pools unreadable as well": {observed().completed().policyInstalled().with(restored).with(unreadablePools), wait},
		"complete, the record of it is lost": {observed().completed().reloads(), wait},
		"installed, and the pools are as they were": {
			observed().paused().policyInstalled().restored("master", "worker"), wait},
		"installed, and the pools are paused": {observed().paused().policyInstalled(), wait},
		// The intent to restore is recorded before the write, which may have failed.
		"about to be restored, and the pools are paused": {observed().paused().policyInstalled().with(restored), wait},
		"about to be restored, and the pools are as they were": {
			observed().paused().policyInstalled().with(restored).restored("master", "worker"), wait},
		"the whole record is lost": {observed().recordLost(), wait},
		"the record says that none was ever written": {
			observed().paused().restored("master", "worker"), remove},
		"complete, without a policy": {observed().completed(), remove},
		"there is no MCO": {observed().paused().policyInstalled().with(func(o *Observed) {
			o.Cluster = Known(Cluster{Unsupported: "x"})
		}), remove},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.b.deleting().with(unreadable).build(), c.want) })
	}
}

// The pools are not restored, and the end is not recorded, while a policy of ours may be left.
func TestUnreadablePolicyHoldsTheEnd(t *testing.T) {
	o := observed().updated().policyInstalled().with(func(o *Observed) {
		o.Rollout.Reload = false // the spec has changed since; with Reload, Preflight waits
		o.Record.NodeDisruptionPolicy.Restored = true
		o.NodeDisruptionPolicy = Unknown[NodeDisruptionPolicy]("timeout")
	}).build()
	d := Decide(o)
	if d.Reason != v1alpha1.ReasonUnreadable || len(d.Actions)+len(d.Facts) > 0 {
		t.Errorf("%s %s: %v %v, want a wait for the policy", d.Phase, d.Reason, keys(d.Actions), factNames(d.Facts))
	}
}
