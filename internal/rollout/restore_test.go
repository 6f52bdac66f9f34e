package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestRestore(t *testing.T) {
	restored := func(names ...string) func(*Observed) {
		return func(o *Observed) {
			for _, name := range names {
				poolRecord(o.Record, name).Restored = true
			}
		}
	}
	tainted := func(p *Pool) { p.Nodes[1].Tainted = true }
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the fact comes first (I4)": {
			o:    observed().updated().build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
		"then the pool": {
			o: observed().updated().with(restored("master")).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"restore-pool/master"},
				says: []string{"3 of 3 nodes run rendered-master-planned"}},
		},
		"one after another": {
			o:    observed().updated().restored("master").build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored worker"}},
		},
		"the MCO has not seen it": {
			o: observed().updated().restored("master", "worker").eachPool(func(p *Pool) { p.ObservedGeneration-- },
				"worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"is restored"}},
		},
		"the MCO's taints are still there": {
			o: observed().updated().restored("master", "worker").eachPool(tainted, "worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"},
				says: []string{"UpdateInProgress"}},
		},
		"taints of a pool that is not restored do not matter yet": {
			o:    observed().updated().eachPool(tainted).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored master"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRestore
			check(t, c.o, c.want)
		})
	}
	finish := want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}}
	t.Run("all is restored", func(t *testing.T) {
		check(t, observed().updated().restored("master", "worker").build(), finish)
	})
	t.Run("a pool that somebody paused after that is theirs", func(t *testing.T) {
		check(t, observed().updated().restored("master", "worker").
			eachPool(func(p *Pool) {
				p.Paused, p.PausedBy, p.PausedByUs, p.Nodes[0].Tainted = true, "kubectl", false,
					true
			}, "worker").build(), finish)
	})
	t.Run("a pool that lost its pause record in the moment before it was restored is still ours to restore",
		func(t *testing.T) {
			check(t, observed().updated().restored("master").with(restored("worker")).eachPool(func(p *Pool) { p.PauseRecord = nil }, "worker").build(),
				want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/worker"},
					says: []string{"has lost its pause record"}})
		})
	t.Run("a pool that is updated for something else after that has its taints by right", func(t *testing.T) {
		check(t, observed().updated().restored("master", "worker").
			eachPool(func(p *Pool) { p.Rendered, p.Nodes[0].Tainted = "rendered-worker-kernel", true },
				"worker").build(), finish)
	})
	t.Run("held, it is restored all the same", func(t *testing.T) {
		check(t, observed().held().updated().with(restored("master")).build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"restore-pool/master"}})
	})
}

// What a pool is restored is what it had, not what an unpause window has left on it.
func TestRestorePriorValues(t *testing.T) {
	o := observed().eachPool(func(p *Pool) { p.MaxUnavailable = "10%" }, "worker").updated().
		eachPool(func(p *Pool) { p.MaxUnavailable = "1" }, "worker").restored("master").
		with(func(o *Observed) { poolRecord(o.Record, "worker").Restored = true }).build()
	want := RestorePool{Pool: "worker", MaxUnavailable: "10%"}
	if diff := cmp.Diff(want, action[RestorePool](t, Decide(o))); diff != "" {
		t.Errorf("restore (-want +got):\n%s", diff)
	}
}

// A pool is restored only when every node runs what it would get (I5). Nodes that cannot be
// released keep their own pool paused, and no other.
func TestNodesThatCannotBeReleased(t *testing.T) {
	b := func() *builder {
		return observed().cordoned("worker-2").rendered().done("master-0", "master-1", "master-2", "worker-0",
			"worker-1")
	}
	t.Run("the other pools are restored", func(t *testing.T) {
		check(t, b().build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolRestored master"}})
	})
	t.Run("then they are waited for by name", func(t *testing.T) {
		check(t, b().restored("master").build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-2"},
				says: []string{"runs rendered-worker-earlier, not rendered-worker-planned",
					"is cordoned since before the rollout", "MachineConfigPool worker stays paused"}})
	})
	t.Run("back again, it is released like the others", func(t *testing.T) {
		check(t, b().restored("master").node("worker-2", func(n *Node) { n.Unschedulable = false }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}})
	})
	t.Run("deleted, it holds nothing", func(t *testing.T) {
		check(t, b().restored("master").without("worker-2").build(),
			want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, facts: []string{"PoolRestored worker"}})
	})
	t.Run("what went down later is named, too", func(t *testing.T) {
		check(t, b().down("worker-2").restored("master").with(func(o *Observed) {
			poolRecord(o.Record,
				"worker").Unavailable = nil
		}).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-2"},
				says: []string{"is NotReady and cordoned; MachineConfigPool"}})
	})
}

// A pool whose record was lost after the releases is recorded from its pause record before it is
// given back.
func TestRestoreFromPauseRecord(t *testing.T) {
	o := observed().eachPool(func(p *Pool) { p.MaxUnavailable = "10%" }, "worker").updated().build()
	o.Record.Pools = nil
	step, ok := restorePools(o).(Do)
	if !ok {
		t.Fatalf("step %T, want Do", restorePools(o))
	}
	if diff := cmp.Diff([]string{"PoolAdded master"}, factNames(step.Facts)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestUntouchedPoolsAreNotRestored(t *testing.T) {
	if step, ok := restorePools(observed().build()).(Done); !ok {
		t.Errorf("step %#v, want Done", step)
	}
}
