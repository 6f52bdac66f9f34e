package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestApply(t *testing.T) {
	const apply = "apply-mirror-sets/" + planDigest
	release := want{phase: PhaseRender, reason: v1alpha1.ReasonWaiting,
		blockers: []string{"MachineConfigPool master", "MachineConfigPool worker"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the intent comes first (I4)": {
			o:    observed().paused().build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}},
		},
		"then the sets": {
			o:    observed().intended().build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{apply}},
		},
		"an edited set": {
			o:    observed().rendered().sets(SetNotWanted, SetDiffers).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{apply}},
		},
		"a set that is no longer wanted": {
			o:    observed().rendered().sets(SetLeftOver, SetEqual).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{apply}},
		},
		"a deleted set, half way (I6)": {
			o:    observed().rendered().done("worker-0").sets(SetNotWanted, SetMissing).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{apply}},
		},
		"the intent is about another plan": {
			o:    observed().rendered().with(func(o *Observed) { o.Record.AppliedPlanHash = "sha256:former" }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}},
		},
		"a set of that name is somebody else's": {
			o: observed().intended().sets(SetForeign, SetMissing).build(),
			want: want{reason: v1alpha1.ReasonManagedElsewhere, stalled: true,
				blockers: []string{"ImageDigestMirrorSet shop"}},
		},
		"held": {
			o:    observed().held().intended().build(),
			want: want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"a node is on its way": {
			o:    observed().rendered().startsUpdate("worker-0", "Draining").sets(SetNotWanted, SetMissing).build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}, says: []string{"Draining"}},
		},
		"a pool is open": {
			o: observed().rendered().releaseIntended("worker").opened("worker").sets(SetNotWanted, SetMissing).build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"is not paused", "3 of its 3 nodes"}},
		},
		"a pool is closed, and the MCO has not seen it": {
			o: observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").sets(SetNotWanted,
				SetMissing).
				eachPool(func(p *Pool) { p.ObservedGeneration-- }, "worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"}},
		},
		"other changes have queued up": {
			o: observed().paused().eachPool(func(p *Pool) {
				p.Rendered, p.PendingChanges = "rendered-worker-kernel", []string{"kernelArguments: +nosmt"}
			}, "worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"+nosmt", "delete this SafeMirrorRollout"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseApply
			check(t, c.o, c.want)
		})
	}
	t.Run("as declared", func(t *testing.T) { check(t, observed().applied().build(), release) })
	t.Run("held, as declared", func(t *testing.T) { check(t, observed().held().applied().build(), release) })
}

// The mirror sets are never written while a pool is the MCO's own: one that was restored already
// is taken again first, and what it is restored the second time is what its user has made of it
// meanwhile.
func TestApplyAgainReclaimsPools(t *testing.T) {
	b := func() *builder {
		return observed().cordoned("master-2").rendered().done("master-0", "master-1", "master-2").restored("master").
			eachPool(func(p *Pool) { p.MaxUnavailable = "2" }, "master")
	}
	t.Run("not while the sets are as declared", func(t *testing.T) {
		check(t, b().build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"ReleaseIntended worker"}})
	})
	o := b().sets(SetNotWanted, SetMissing).build()
	t.Run("recorded", func(t *testing.T) {
		d := check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolReclaimed master"}})
		wanted := v1alpha1.PoolRecord{Name: "master", MaxUnavailable: "2", Unavailable: []string{"master-2"}}
		if diff := cmp.Diff(wanted, fact[PoolReclaimed](t, d).Pool); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
		o.Record = Apply(o.Record, d.Facts)
	})
	t.Run("paused", func(t *testing.T) {
		check(t, o, want{phase: PhasePause, reason: v1alpha1.ReasonProgressing, actions: []string{"pause-pool/master"}})
	})
	t.Run("one that its user has paused meanwhile stays as it is", func(t *testing.T) {
		o := b().sets(SetNotWanted, SetMissing).eachPool(func(p *Pool) {
			p.Paused, p.PausedBy, p.PausedByUs = true,
				"kubectl", false
		}, "master").build()
		o.Record = Apply(o.Record, Decide(o).Facts)
		check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing,
			actions: []string{"apply-mirror-sets/" + planDigest}})
	})
	t.Run("not while it cannot be told", func(t *testing.T) {
		o := b().with(func(o *Observed) { o.Sets = Unknown[MirrorSets]("timeout") }).build()
		check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonUnreadable,
			blockers: []string{"ImageTagMirrorSet ImageTagMirrorSet"}})
	})
}

func TestRender(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"not rendered yet": {
			o: observed().rendered().eachPool(func(p *Pool) {
				p.Rendered,
					p.Registries = renderedName("worker", earlier), MatchesBefore
			}, "worker").build(),
			want: want{blockers: []string{"MachineConfigPool worker"},
				says: []string{"rendered-worker-earlier still has", "machine-config-controller log"}},
		},
		"something else is rendered": {
			o: observed().rendered().eachPool(func(p *Pool) {
				p.Registries, p.Difference = MatchesOther,
					[]string{"quay.io/acme: another mirror"}
			}, "worker").build(),
			want: want{blockers: []string{"MachineConfigPool worker"},
				says: []string{"quay.io/acme: another mirror", "no node is released"}},
		},
		"what it means is not known": {
			o:    observed().rendered().eachPool(func(p *Pool) { p.Registries = "" }, "worker").build(),
			want: want{blockers: []string{"MachineConfigPool worker"}, says: []string{"no detail"}},
		},
		"it drains or reboots for something else, too": {
			o:    observed().rendered().eachPool(func(p *Pool) { p.PendingChanges = []string{"kernelArguments: +nosmt"} }, "worker").build(),
			want: want{blockers: []string{"MachineConfigPool worker"}, says: []string{"+nosmt", "withdraw them"}},
		},
		"every pool is named": {
			o:    observed().applied().build(),
			want: want{blockers: []string{"MachineConfigPool master", "MachineConfigPool worker"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase, c.want.reason = PhaseRender, v1alpha1.ReasonWaiting
			d := check(t, c.o, c.want)
			if got, wanted := d.RecheckAt, now.Add(renderRecheckInterval); !got.Equal(wanted) {
				t.Errorf("looked at again at %s, want %s", got, wanted)
			}
		})
	}
	t.Run("what rode along is on every node already", func(t *testing.T) {
		o := observed().updated().eachPool(func(p *Pool) { p.PendingChanges = []string{"kernelArguments: +nosmt"} },
			"worker").build()
		check(t, o, want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolRestored master"}})
	})
}
