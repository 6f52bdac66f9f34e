package rollout

import (
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

var previousSets = &v1alpha1.PreviousMirrorSets{Name: "shop-1", DataHash: "1"}

// unrestorable: the ControllerRevision that the record names is gone.
func (b *builder) unrestorable() *builder {
	return b.with(func(o *Observed) {
		o.Record.Previous = previousSets
		sets, _ := o.Sets.Get()
		sets.Previous, sets.PreviousProblem = previousSets, &Problem{
			Reason: v1alpha1.ReasonRollbackImpossible, Kind: "ControllerRevision", Namespace: "operators",
			Name: "shop-1", Message: "ControllerRevision operators/shop-1 does not exist",
		}
		o.Sets = Known(sets)
	})
}

// replaces: there are mirror sets of ours already, which the rollout is about to change.
func (b *builder) replaces(saved bool) *builder {
	return b.with(func(o *Observed) {
		sets, _ := o.Sets.Get()
		sets.ITMS, sets.Previous, sets.PreviousSaved = SetDiffers, previousSets, saved
		o.Sets = Known(sets)
	})
}

// The ControllerRevision exists before the record names it, and the record names it before the
// first write.
func TestThePreviousSetsAreSavedFirst(t *testing.T) {
	save := []string{"save-previous/shop-1"}
	check(t, observed().paused().replaces(false).build(),
		want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, actions: save})
	saved := observed().paused().replaces(true).build()
	check(t, saved, want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}})
	if r := Apply(saved.Record, Decide(saved).Facts); r.Previous == nil || *r.Previous != *previousSets {
		t.Errorf("record %+v", r.Previous)
	}
	unread := observed().paused().replaces(false).unrestorable().build()
	sets, _ := unread.Sets.Get()
	sets.PreviousProblem.Transient = true
	if d := Decide(unread); len(d.Facts)+len(d.Actions) > 0 && d.Phase == PhaseApply {
		t.Errorf("it is not known what there was before, and the decision is %+v", d)
	}
}

// A rollback that could not be completed is refused before it begins, by a reason of its own.
func TestARollbackWithoutItsRevisionIsRefused(t *testing.T) {
	asks := func(b *builder) *builder {
		return b.with(func(o *Observed) {
			o.Rollout.Requests = []Request{{ID: "back",
				Verb: v1alpha1.RequestRollback}}
		})
	}
	d := Decide(asks(observed().rendered().unrestorable()).build())
	if d.Reason != v1alpha1.ReasonRollbackImpossible || !d.Stalled || len(d.Facts) > 0 || len(d.Blockers) == 0 ||
		d.Blockers[0].Kind != "ControllerRevision" {
		t.Errorf("decision %+v", d)
	}
	deleted := observed().rendered().unrestorable().deleting()
	deleted.o.Rollout.RollbackOnDelete = true
	if d := Decide(deleted.build()); d.Reason != v1alpha1.ReasonRollbackImpossible || len(d.Facts) > 0 {
		t.Errorf("decision on deletion %+v", d)
	}
	unknown := asks(observed().rendered().unrestorable())
	unknown.o.Sets = Unknown[MirrorSets]("timeout")
	if d := Decide(unknown.build()); d.Reason != v1alpha1.ReasonUnreadable || len(d.Facts) > 0 {
		t.Errorf("decision while the mirror sets are unknown %+v", d)
	}
	readable := asks(observed().rendered())
	if d := Decide(readable.build()); len(d.Facts) != 1 {
		t.Errorf("without previous sets there is nothing to read, and the decision is %+v", d)
	}
}
