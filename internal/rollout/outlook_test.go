package rollout

import (
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A release waits until every node of its pool that may be next can be drained; what nobody can tell holds like what is blocked. Other
// pools, the way back, and a forecast that is only advice hold nothing.
func TestForecastHoldsTheRelease(t *testing.T) {
	holds := func(blocker, says string) want {
		return want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainForecast, blockers: []string{blocker}, says: []string{says}}
	}
	released := want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}
	const budget, text = "PodDisruptionBudget shop/cart", "no drain of worker/worker-1 before this is mended: PDB shop/cart allows 0; it is looked at again within a minute"
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"safe":                              {observed().rendered().build(), released},
		"one that may be next is blocked":   {observed().rendered().foresees("worker-1", OutlookBlocked).build(), holds(budget, text)},
		"one that may be next is not known": {observed().rendered().foresees("worker-1", OutlookUnknown).build(), holds(budget, text)},
		"one of another pool is blocked":    {observed().rendered().foresees("master-0", OutlookBlocked).build(), released},
		"nothing of the pool was foreseen": {observed().rendered().with(func(o *Observed) { o.Forecast = Seen(Forecast{}) }).build(),
			holds("MachineConfigPool worker", "none of them is in the forecast")},
		"nothing is known": {observed().rendered().with(func(o *Observed) { o.Forecast = Unseen[Forecast]("forbidden") }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonUnreadable, blockers: []string{"Forecast Forecast"}, says: []string{"forbidden"}}},
		"it is advice": {observed().rendered().foresees("worker-1", OutlookBlocked).with(func(o *Observed) { o.Rollout.ForecastAdvisory = true }).build(), released},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// Between the intent and the pulse the cluster may change: what is looked at last decides.
func TestForecastHoldsThePulse(t *testing.T) {
	intended := func() *builder {
		return observed().rendered().with(func(o *Observed) {
			o.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", IntendedAt: *stamp(now.Add(-10 * time.Second)), TargetConfig: renderedName("worker", planned)}
		})
	}
	check(t, intended().build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"release-one/worker"}})
	check(t, intended().foresees("worker-2", OutlookBlocked).build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainForecast, blockers: []string{"PodDisruptionBudget shop/cart"}})
	back := intended().foresees("worker-2", OutlookBlocked).with(func(o *Observed) { goesBack(o) }).build()
	if d := Decide(back); d.Reason == v1alpha1.ReasonDrainForecast {
		t.Errorf("the way back is held: %s", d.Why)
	}
}

// Before anything is paused the user learns what would hold the first release of any pool. What is not known yet does not hold there:
// images are still to be copied.
func TestForecastBeforeThePause(t *testing.T) {
	check(t, observed().foresees("master-1", OutlookBlocked).build(),
		want{phase: PhasePlan, reason: v1alpha1.ReasonDrainForecast, blockers: []string{"PodDisruptionBudget shop/cart"}, says: []string{"no drain of master/master-1"}})
	for name, o := range map[string]Observed{
		"unknown":      observed().foresees("master-1", OutlookUnknown).build(),
		"advice":       observed().foresees("master-1", OutlookBlocked).with(func(o *Observed) { o.Rollout.ForecastAdvisory = true }).build(),
		"it has begun": observed().started().foresees("master-1", OutlookBlocked).build(),
	} {
		if d := Decide(o); d.Phase == PhasePlan {
			t.Errorf("%s: held in phase Plan: %s", name, d.Why)
		}
	}
}
