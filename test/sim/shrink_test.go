package sim

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A failure is reduced to what it needs: here a fault that the simulator does not know, among
// others that have nothing to do with it.
func TestShrink(t *testing.T) {
	s := Scenario{Name: "noisy", Masters: 3, Workers: 4, Infra: 2, MaxUnavailable: "2", Saturated: true,
		Spec: Spec{SoakSeconds: 60, Mirrors: "m1"}, Faults: []Fault{
			{Kind: "tag-moved", At: 10}, {Kind: "no-such-fault", Phase: "Pause", At: 17},
			{Kind: "crash-acted", Phase: "Pause", At: 1},
		}}
	got, seed := Shrink(s, 7, "model", 100)
	want := Scenario{Name: "noisy", Workers: 2, Faults: []Fault{{Kind: "no-such-fault", Phase: "Pause"}}}
	if diff := cmp.Diff(want, got); diff != "" || seed != Fixed {
		t.Errorf("seed %d, scenario (-want +got):\n%s", seed, diff)
	}
}

func TestShrinkKeepsPassingScenario(t *testing.T) {
	s := Scenario{Name: "fine", Workers: 3, Faults: []Fault{{Kind: "tag-moved", At: 10}}}
	got, seed := Shrink(s, 7, "I1", 20)
	if diff := cmp.Diff(s, got); diff != "" || seed != 7 {
		t.Errorf("a scenario that breaks nothing was changed; seed %d (-want +got):\n%s", seed, diff)
	}
}

func TestStoredScenariosReadBack(t *testing.T) {
	want := Stored{Seed: 3, Rule: "I5", Message: "x", Scenario: Generate(3)}
	file := filepath.Join(t.TempDir(), "x.json")
	if err := want.Save(file); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Load(filepath.Join("testdata", "no-such-file")); err == nil {
		t.Error("no error for a file that is not there")
	}
}
