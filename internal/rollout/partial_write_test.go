package rollout

import (
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Whatever else is the matter, sets that are half written are finished first (I13).
func TestPartialWritesAreFinishedFirst(t *testing.T) {
	finish := want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, actions: []string{"finish-mirror-sets"},
		says: []string{"half written"}}
	half := func() *builder { return observed().intended().partiallyWritten() }
	cases := map[string]*builder{
		"after a restart":   half(),
		"held":              half().held(),
		"images are lost":   half().plan(func(p *PlanSummary) { p.Lost = 3 }),
		"nothing is proven": half().transfers(func(t *Transfers) { t.Verified, t.Failed = 0, 4 }),
		"nothing is known": half().with(func(o *Observed) {
			o.Pools, o.Plan = Unknown[[]Pool]("x"),
				Unknown[PlanSummary]("x")
		}),
		"another plan":       half().with(func(o *Observed) { o.Record.AppliedPlanHash = "sha256:former" }),
		"being deleted":      half().deleting(),
		"an abort":           half().requests(v1alpha1.RequestAbort),
		"outside any window": half().with(func(o *Observed) { o.Rollout.Windows = []MaintenanceWindow{{Schedule: "0 3 * * *", Duration: 1}} }),
		"the cluster is being upgraded": half().with(func(o *Observed) {
			o.Cluster = Known(Cluster{Upgrading: "4.21"})
		}),
		"the tag mirrors came first": half().with(func(o *Observed) {
			o.Sets = Known(MirrorSets{IDMS: SetLeftOver, ITMS: SetEqual, PresentIDMSHash: "old", PresentITMSHash: "new",
				DesiredHash: "new+new"})
		}),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) { check(t, b.build(), finish) })
	}
}

// What only looks like it is not: sets that nobody has begun to write are the user's to change, and
// are written when all is proven.
func TestNotPartiallyWritten(t *testing.T) {
	half := func() *builder { return observed().intended().partiallyWritten() }
	sets := func(s MirrorSets) func(*Observed) {
		s.DesiredHash = "new+new"
		return func(o *Observed) { o.Sets = Known(s) }
	}
	cases := map[string]*builder{
		"nothing was written": half().with(sets(MirrorSets{IDMS: SetDiffers, ITMS: SetDiffers, PresentIDMSHash: "old",
			PresentITMSHash: "old"})),
		"somebody has deleted one": half().with(sets(MirrorSets{
			IDMS: SetDiffers, ITMS: SetMissing, PresentIDMSHash: "old"})),
		"somebody has edited one": half().with(sets(MirrorSets{IDMS: SetDiffers, ITMS: SetDiffers,
			PresentIDMSHash: "old", PresentITMSHash: "his"})),
		"all is written": half().with(sets(MirrorSets{IDMS: SetEqual, ITMS: SetEqual, PresentIDMSHash: "new",
			PresentITMSHash: "new"})),
		"the spec is another": half().with(func(o *Observed) {
			o.Sets = Known(MirrorSets{IDMS: SetEqual, ITMS: SetMissing, PresentIDMSHash: "new",
				DesiredHash: "newer+new"})
		}),
		"nothing on record": half().with(func(o *Observed) { o.Record.PendingWrite = nil }),
		"a set of somebody else's clashes": half().with(sets(MirrorSets{
			IDMS: SetEqual, ITMS: SetMissing, PresentIDMSHash: "new",
			Conflict: "ImageTagMirrorSet books: another policy"})),
		"one of them is somebody else's": half().with(sets(MirrorSets{IDMS: SetEqual, ITMS: SetForeign,
			PresentIDMSHash: "new"})),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			for _, a := range Decide(b.held().build()).Actions {
				if a.Disruptive() {
					t.Errorf("held, and does %s", a.Key())
				}
			}
		})
	}
	t.Run("what is not known is waited for", func(t *testing.T) {
		o := half().with(func(o *Observed) { o.Sets = Unknown[MirrorSets]("timeout") }).build()
		check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonUnreadable,
			blockers: []string{"ImageTagMirrorSet ImageTagMirrorSet"}})
	})
}

func TestIntentToWriteBothSets(t *testing.T) {
	both := MirrorSets{IDMS: SetDiffers, ITMS: SetDiffers, PresentIDMSHash: "old", PresentITMSHash: "older",
		DesiredHash: "new+new"}
	t.Run("says what they are and is to be", func(t *testing.T) {
		d := Decide(observed().paused().with(func(o *Observed) { o.Sets = Known(both) }).build())
		if w := fact[ApplyIntended](t, d).Writing; w == nil ||
			*w != (v1alpha1.PendingWriteRecord{DigestMirrorsHash: "old", TagMirrorsHash: "older",
				TargetHash: "new+new"}) {
			t.Errorf("writing %+v", w)
		}
	})
	t.Run("also when they were written before and are lost", func(t *testing.T) {
		o := observed().rendered().with(func(o *Observed) { o.Sets = Known(both) }).build()
		check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}})
	})
	t.Run("one set takes one write", func(t *testing.T) {
		d := Decide(observed().paused().build())
		if w := fact[ApplyIntended](t, d).Writing; w != nil {
			t.Errorf("writing %+v", w)
		}
	})
	t.Run("is forgotten when they are written", func(t *testing.T) {
		o := observed().applied().with(func(o *Observed) { o.Record.PendingWrite = &v1alpha1.PendingWriteRecord{TargetHash: "x"} }).build()
		check(t, o, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"MirrorSetsWritten"}})
	})
}
