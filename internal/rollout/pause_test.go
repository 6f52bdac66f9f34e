package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestPause(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the finalizer comes first": {
			o:    observed().copied().build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"ensure-finalizer"}},
		},
		"then what the pools are like": {
			o: observed().copied().with(func(o *Observed) { o.Rollout.Finalizer = true }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutStarted"},
				says: []string{"2 pools"}},
		},
		"then every pool at once": {
			o: observed().started().build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/master", "pause-pool/worker"},
				says: []string{"2 of 2 pools"}},
		},
		"one that is missing": {
			o: observed().paused().eachPool(func(p *Pool) { p.PauseRecord, p.Paused, p.PausedByUs = nil, false, false },
				"worker").build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/worker"},
				says: []string{"1 of 2 pools"}},
		},
		"the MCO has not seen a pause yet": {
			o: observed().paused().eachPool(func(p *Pool) { p.ObservedGeneration = 1 }, "worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"generation 2, observed 1"}},
		},
		"held, nothing begins": {
			o:    observed().held().copied().build(),
			want: want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"held after the start, the pools are held all the same": {
			o:    observed().held().started().build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/master", "pause-pool/worker"}},
		},
		"a pool that is new is recorded": {
			o:    observed().rendered().addPool(somePool("infra", 2)).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PoolAdded infra"}},
		},
		"and paused": {
			o: observed().rendered().addPool(somePool("infra", 2)).with(func(o *Observed) {
				o.Record.Pools = append(o.Record.Pools, v1alpha1.PoolRecord{Name: "infra"})
			}).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/infra"}},
		},
		"a pause record that somebody took off is written again": {
			o:    observed().rendered().eachPool(func(p *Pool) { p.PauseRecord = nil }, "worker").build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/worker"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhasePause
			check(t, c.o, c.want)
		})
	}
}

func TestStartRecordsPools(t *testing.T) {
	o := observed().copied().
		eachPool(func(p *Pool) { p.MaxUnavailable = "10%" }, "worker").
		cordoned("worker-2").down("worker-0").
		with(func(o *Observed) { o.Rollout.Finalizer = true }).build()
	got := fact[RolloutStarted](t, Decide(o))
	want := RolloutStarted{At: now, Pools: []v1alpha1.PoolRecord{
		{Name: "master"},
		{Name: "worker", MaxUnavailable: "10%", Unavailable: []string{"worker-0", "worker-2"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
}

func TestBaselineIsBounded(t *testing.T) {
	p := somePool("worker", maxBaseline+10)
	for i := range p.Nodes {
		p.Nodes[i].Ready = false
	}
	if got := len(poolBaseline(p).Unavailable); got != maxBaseline {
		t.Errorf("%d nodes on record, want %d", got, maxBaseline)
	}
}

// A pool that is paused carries all it takes to give it back.
func TestPauseRecordHoldsPriorValues(t *testing.T) {
	o := observed().
		eachPool(func(p *Pool) { p.MaxUnavailable = "10%" }, "worker").
		cordoned("worker-2").started().build()
	var got PauseRecord
	for _, a := range Decide(o).Actions {
		if p, ok := a.(PausePool); ok && p.Pool == "worker" {
			got = p.Record
		}
	}
	want := PauseRecord{
		Rollout: "shop", UID: "uid-shop", Since: began, PriorMaxUnavailable: "10%", Unavailable: []string{"worker-2"},
		Undo: `once every node runs the pool's spec.configuration: oc patch mcp worker --type=merge -p ` +
			`'{"metadata":{"annotations":{"safemirror.io/pause-record":null}},"spec":{"paused":false,"maxUnavailable":"10%"}}'`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pause record (-want +got):\n%s", diff)
	}
}

func TestUndoCommandFitsAShell(t *testing.T) {
	cases := map[string]struct{ prior, want string }{
		"not set":   {"", `"maxUnavailable":null}`},
		"a number":  {"3", `"maxUnavailable":3}`},
		"a percent": {"10%", `"maxUnavailable":"10%"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := undoCommand(v1alpha1.PoolRecord{Name: "worker", MaxUnavailable: c.prior}); !strings.Contains(got,
				c.want) {
				t.Errorf("%q has no %s", got, c.want)
			}
		})
	}
}

// Losing the status loses nothing: what the pools were like is read from their pause records, the
// time of the start with it.
func TestAdoptionFromPauseRecords(t *testing.T) {
	b := observed().eachPool(func(p *Pool) { p.MaxUnavailable = "2" }, "worker").cordoned("worker-2").rendered()
	wanted := b.o.Record.Pools
	o := b.recordLost().
		eachPool(func(p *Pool) { p.MaxUnavailable = "1" }, "worker"). // as an unpause window leaves it
		down("worker-1").build()
	d := check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutStarted"}})
	got := fact[RolloutStarted](t, d)
	if diff := cmp.Diff(RolloutStarted{At: began, Pools: wanted}, got); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}

	t.Run("it goes on where it was", func(t *testing.T) {
		o.Record = Apply(o.Record, d.Facts)
		check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}})
		o.Record.AppliedPlanHash = planDigest
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"}})
	})
	t.Run("another pool is recorded as it is", func(t *testing.T) {
		o := observed().rendered().recordLost().addPool(somePool("infra", 1)).build()
		started := fact[RolloutStarted](t, Decide(o))
		if got, want := len(started.Pools), 3; got != want {
			t.Errorf("%d pools on record, want %d", got, want)
		}
	})
}

// A pool that its user paused before it was ours, or while nobody looked, is never taken over (I5).
func TestPoolPausedByUser(t *testing.T) {
	theirs := func(p *Pool) { p.PauseRecord, p.Paused, p.PausedBy, p.PausedByUs = nil, true, "kubectl-patch", false }
	t.Run("paused between the look and the pause", func(t *testing.T) {
		check(t, observed().started().eachPool(theirs, "worker").build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/master"}})
	})
	t.Run("a new pool that comes paused", func(t *testing.T) {
		infra := somePool("infra", 2)
		theirs(&infra)
		d := check(t, observed().rendered().addPool(infra).build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolAdded infra"}})
		if got := fact[PoolAdded](t, d).Pool; !got.Paused {
			t.Errorf("recorded as %+v, want it paused", got)
		}
	})
	t.Run("paused on record, whoever wrote it last", func(t *testing.T) {
		o := observed().rendered().eachPool(theirs, "worker").eachPool(func(p *Pool) { p.PausedByUs = true },
			"worker").build()
		poolRecord(o.Record, "worker").Paused = true
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"ReleaseIntended master"}})
	})
	t.Run("the other pools go on", func(t *testing.T) {
		check(t, observed().rendered().eachPool(theirs, "worker").build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended master"}})
	})
	t.Run("the pools that are whole are restored", func(t *testing.T) {
		check(t, observed().rendered().done("master-0", "master-1", "master-2").eachPool(theirs, "worker").build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}})
	})
	t.Run("then it is waited for by name", func(t *testing.T) {
		check(t, observed().rendered().done("master-0", "master-1", "master-2").restored("master").eachPool(theirs,
			"worker").build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonPoolNotReady,
				blockers: []string{"MachineConfigPool worker"},
				says:     []string{`paused by "kubectl-patch"`, "3 of its 3 nodes", "unpause it"}})
	})
	t.Run("unpaused, it is taken in", func(t *testing.T) {
		check(t, observed().rendered().done("master-0", "master-1", "master-2").restored("master").eachPool(theirs,
			"worker").
			eachPool(func(p *Pool) { p.Paused = false }, "worker").build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/worker"}})
	})
}

// Somebody else who unpauses a pool is paused over once, and never in a war (R2).
func TestUnpausedByOthers(t *testing.T) {
	unpaused := func(times int) func(*Pool) {
		return func(p *Pool) {
			ledger := *p.PauseRecord
			ledger.Repaused = times
			p.PauseRecord, p.Paused, p.PausedBy, p.PausedByUs = &ledger, false, "sriov-network-operator", false
			p.Generation, p.ObservedGeneration = 3, 3
		}
	}
	t.Run("once", func(t *testing.T) {
		d := Decide(observed().rendered().eachPool(unpaused(0), "worker").build())
		if diff := cmp.Diff([]string{"pause-pool/worker"}, keys(d.Actions)); diff != "" {
			t.Fatalf("actions (-want +got):\n%s", diff)
		}
		if got := action[PausePool](t, d).Record.Repaused; got != 1 {
			t.Errorf("the pause record counts %d, want 1", got)
		}
	})
	t.Run("twice", func(t *testing.T) {
		check(t, observed().rendered().eachPool(unpaused(1), "worker").build(),
			want{phase: PhasePause, reason: v1alpha1.ReasonPauseConflict, stalled: true,
				blockers: []string{"MachineConfigPool worker"},
				says:     []string{"sriov-network-operator", "unpaused twice"}})
	})
	t.Run("twice, and paused again by hand", func(t *testing.T) {
		check(t, observed().rendered().eachPool(unpaused(1), "worker").eachPool(func(p *Pool) { p.Paused = true },
			"worker").build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}})
	})
	t.Run("in every phase, while everything else is unknown", func(t *testing.T) {
		o := observed().rendered().eachPool(unpaused(0), "worker").with(func(o *Observed) {
			o.Cluster, o.Plan, o.Sets = Unknown[Cluster]("x"), Unknown[PlanSummary]("x"), Unknown[MirrorSets]("x")
		}).build()
		if diff := cmp.Diff([]string{"pause-pool/worker"}, keys(Decide(o).Actions)); diff != "" {
			t.Errorf("actions (-want +got):\n%s", diff)
		}
	})
	t.Run("after the pool was restored it is nobody's business", func(t *testing.T) {
		o := observed().updated().restored("worker").build()
		if got := keys(Decide(o).Actions); len(got) > 0 {
			t.Errorf("actions %v, want none", got)
		}
	})
	t.Run("with one of another rollout's it is nobody's business", func(t *testing.T) {
		o := observed().eachPool(func(p *Pool) { p.ForeignOwner = "books" }, "worker").build()
		if got := keys(Decide(o).Actions); len(got) > 0 {
			t.Errorf("actions %v, want none", got)
		}
	})
}

// Whoever calls it, another rollout's pool is not paused over.
func TestPoolOfAnotherRollout(t *testing.T) {
	o := observed().started().eachPool(func(p *Pool) { p.ForeignOwner = "books" }, "worker").build()
	pools, _ := o.Pools.Get()
	open, lost := toPause(o, pools)
	if diff := cmp.Diff([]string{"pause-pool/master"}, keys(open)); diff != "" || len(lost) > 0 {
		t.Errorf("to pause (-want +got):\n%s\nlost %v", diff, lost)
	}
}

// Two pauses that are due are both in one decision, and what is disruptive waits for the next.
func TestRepauseComesFirst(t *testing.T) {
	o := observed().intended().eachPool(func(p *Pool) { p.Paused = false }).build()
	check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonWaiting,
		actions:  []string{"pause-pool/master", "pause-pool/worker"},
		blockers: []string{"MachineConfigPool master", "MachineConfigPool worker"}})

	d := repauseFirst(Decision{Complete: true,
		Actions: []Action{ReleaseNodes{Pool: "worker"}, EnsureTransfers{PlanDigest: "p"}, PausePool{Pool: "worker"}}},
		[]Action{PausePool{Pool: "worker"}})
	if diff := cmp.Diff([]string{"pause-pool/worker", "ensure-transfers/p (look only)"}, keys(d.Actions)); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if d.Complete {
		t.Error("complete while a pool has to be closed")
	}
}

// A record whose pools are all there is not written again, and one pool's record is never replaced.
func TestPoolsAreRecordedOnce(t *testing.T) {
	r := Apply(v1alpha1.Record{}, []Fact{
		RolloutStarted{At: began, Pools: []v1alpha1.PoolRecord{{Name: "worker", MaxUnavailable: "10%"}}},
		PoolAdded{Pool: v1alpha1.PoolRecord{Name: "worker", MaxUnavailable: "1"}},
		PoolAdded{Pool: v1alpha1.PoolRecord{Name: "infra"}},
		RolloutStarted{At: now},
	})
	want := v1alpha1.Record{
		StartedAt: &metav1.Time{Time: began},
		Pools:     []v1alpha1.PoolRecord{{Name: "infra"}, {Name: "worker", MaxUnavailable: "10%"}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestManyPools(t *testing.T) {
	o := observed().with(func(o *Observed) {
		var pools []Pool
		for i := range maxPools {
			pools = append(pools, somePool(fmt.Sprintf("pool-%02d", i), 1))
		}
		o.Pools = Known(pools)
	}).started().build()
	if got := len(Decide(o).Actions); got != maxPools {
		t.Errorf("%d pools paused, want %d", got, maxPools)
	}
}

// The start of an adopted rollout is the oldest of its pause records' and never later than now.
func TestAdoptionUsesOldestStart(t *testing.T) {
	o := observed().rendered().recordLost().eachPool(func(p *Pool) {
		ledger := *p.PauseRecord
		ledger.Since = now.Add(-time.Hour)
		p.PauseRecord = &ledger
	}, "master").build()
	if got, want := fact[RolloutStarted](t, Decide(o)).At, now.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("started at %s, want %s", got, want)
	}
}
