package rollout

import (
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A release waits until every node of its pool that may be next can be drained; what nobody can
// tell holds like what is blocked. Other pools, the way back, and a forecast that is only advice
// hold nothing.
func TestForecastHoldsTheRelease(t *testing.T) {
	holds := func(blocker, says string) want {
		return want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainForecast, blockers: []string{blocker},
			says: []string{says}}
	}
	released := want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}
	const budget, text = "PodDisruptionBudget shop/cart",
		"no drain of worker/worker-1 before this is fixed: PDB shop/cart allows 0; it is looked at again within a minute"
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"safe": {observed().rendered().build(), released},
		"one that may be next is blocked": {observed().rendered().forecasts("worker-1", DrainBlocked).build(),
			holds(budget, text)},
		"one that may be next is not known": {observed().rendered().forecasts("worker-1", DrainUnknown).build(),
			holds(budget, text)},
		"one of another pool is blocked": {observed().rendered().forecasts("master-0", DrainBlocked).build(),
			released},
		"nothing of the pool was foreseen": {observed().rendered().with(func(o *Observed) { o.Forecast = Known(Forecast{}) }).build(),
			holds("MachineConfigPool worker", "none of them is in the forecast")},
		"nothing is known": {observed().rendered().with(func(o *Observed) { o.Forecast = Unknown[Forecast]("forbidden") }).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonUnreadable, blockers: []string{"Forecast Forecast"},
				says: []string{"forbidden"}}},
		"it is advice": {observed().rendered().forecasts("worker-1",
			DrainBlocked).with(func(o *Observed) { o.Rollout.ForecastAdvisory = true }).build(), released},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// Between the intent and the unpause window the cluster may change: what is looked at last decides.
func TestForecastHoldsTheUnpauseWindow(t *testing.T) {
	intended := func() *builder {
		return observed().rendered().with(func(o *Observed) {
			o.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", IntendedAt: *apiTime(now.Add(-10 * time.Second)),
				TargetConfig: renderedName("worker", planned)}
		})
	}
	check(t, intended().build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
		actions: []string{"release-one/worker"}})
	check(t, intended().forecasts("worker-2", DrainBlocked).build(),
		want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainForecast,
			blockers: []string{"PodDisruptionBudget shop/cart"}})
	o := intended().forecasts("worker-2", DrainBlocked).with(func(o *Observed) { rollbackOnRecord(o) }).build()
	if d := Decide(o); d.Reason == v1alpha1.ReasonDrainForecast {
		t.Errorf("the way back is held: %s", d.Why)
	}
}

// Before anything is paused the user learns what would hold the first release of any pool. What is
// not known yet does not hold there: images are still to be copied.
func TestForecastBeforeThePause(t *testing.T) {
	check(t, observed().forecasts("master-1", DrainBlocked).build(),
		want{phase: PhasePlan, reason: v1alpha1.ReasonDrainForecast,
			blockers: []string{"PodDisruptionBudget shop/cart"}, says: []string{"no drain of master/master-1"}})
	for name, o := range map[string]Observed{
		"unknown": observed().forecasts("master-1", DrainUnknown).build(),
		"advice": observed().forecasts("master-1",
			DrainBlocked).with(func(o *Observed) { o.Rollout.ForecastAdvisory = true }).build(),
		"it has begun": observed().started().forecasts("master-1", DrainBlocked).build(),
	} {
		if d := Decide(o); d.Phase == PhasePlan {
			t.Errorf("%s: held in phase Plan: %s", name, d.Why)
		}
	}
}
