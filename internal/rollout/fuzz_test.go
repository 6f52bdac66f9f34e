package rollout

import (
	"encoding/json"
	"math/rand"
	"testing"
	"time"
)

// FuzzDecide decides on whatever can be read as an observation. Some rules are about observations
// that make sense (a pause record's pool is not another rollout's); the ones here hold for all.
func FuzzDecide(f *testing.F) {
	g := generator{rand.New(rand.NewSource(1))}
	for range 50 {
		text, err := json.Marshal(g.observed())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var o Observed
		if err := json.Unmarshal(text, &o); err != nil || o.Now.Year() > 2200 || o.Now.Before(time.Unix(0, 0)) {
			t.Skip()
		}
		d := Decide(o)
		for _, rule := range []func(Observed, Decision) string{
			deterministic, oneDisruption, factsFirst, factsOnce, knownInputs, applyRule, finalizerRule, stillSafe,
			phaseResultsInOrder,
		} {
			if why := rule(o, d); why != "" {
				t.Error(why)
			}
		}
		if !d.Complete && (d.RecheckAt.Sub(o.Now) > maxRecheckInterval || d.RecheckAt.Before(o.Now)) {
			t.Errorf("I7: looked at again at %s, now is %s", d.RecheckAt, o.Now)
		}
		if !d.Complete && len(d.Actions)+len(d.Facts)+len(d.Blockers) == 0 {
			t.Errorf("I7: neither progress nor a blocker in %s", d.Phase)
		}
		if d.Complete && len(d.Actions)+len(d.Facts)+len(d.Blockers) > 0 && !d.Stalled {
			t.Errorf("I7: complete, and %d actions, %d facts and %d blockers", len(d.Actions), len(d.Facts),
				len(d.Blockers))
		}
	})
}
