package rollout

import (
	"encoding/json"
	"math/rand"
	"testing"
	"time"
)

// FuzzDecide decides on whatever can be read as an observation. Some rules are about observations that make sense (a ledger's pool is not
// another rollout's); the ones here hold for all.
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
			deterministic, oneDisruption, factsFirst, knownInputs, applyRule, finalizerRule, stillSafe, verdictsInOrder,
		} {
			if why := rule(o, d); why != "" {
				t.Error(why)
			}
		}
		if !d.Complete && d.RecheckAt.Sub(o.Now) > maxIdle {
			t.Errorf("I7: looked at again at %s, now is %s", d.RecheckAt, o.Now)
		}
	})
}
