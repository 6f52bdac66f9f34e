package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	seeds = flag.Int("sim.seeds", 100,
		"how many random scenarios to run, and as many seeds, spread over the scenarios that are stories")
	timeLimit = flag.Duration("sim.budget", 0, "for how long to run them at most; 0 means as long as it takes")
	save      = flag.Bool("sim.save", true, "store each failure, shrunk, in testdata/scenarios")
	update    = flag.Bool("update", false, "write the stories anew")
)

// total is how much the simulator has done, for the RESULT line.
var total struct{ seeds, steps, faults, violations, known atomic.Int64 }

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(800) // a run makes much garbage and keeps little; collecting it would be a third of the time
	if raceDetector && *seeds == 100 {
		*seeds = 10 // each costs ten times as much
	}
	code := m.Run()
	line := fmt.Sprintf("RESULT seeds=%d steps=%d faults=%d known=%d violations=%d\n",
		total.seeds.Load(), total.steps.Load(), total.faults.Load(), total.known.Load(), total.violations.Load())
	if file := os.Getenv("SIM_RESULT"); file != "" {
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "sim:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// The stories are the scenarios in a fixed order, and once more with seed 0.
func TestGoldenRuns(t *testing.T) {
	for _, s := range Scenarios() {
		for suffix, seed := range map[string]int64{"": Fixed, ".seed0": 0} {
			t.Run(s.Name+suffix, func(t *testing.T) {
				r := run(t, s, seed)
				text := "# " + s.About + "\n" + strings.Join(r.Log, "\n") + "\n" + outcomeLine(r) + "\n"
				compareGolden(t, filepath.Join("testdata", "stories", s.Name+suffix+".txt"), text)
			})
		}
	}
}

func outcomeLine(r Result) string {
	switch {
	case r.Finished:
		return "# settled"
	case r.BlockedBy != "":
		return "# not settled: " + r.BlockedBy
	default:
		return "# not settled"
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the story has changed; if that is meant, run go test ./test/sim -update (-want +got):\n%s", diff)
	}
}

// TestSeeds runs random scenarios, and each of the stories with other delays and ties. A failure is
// shrunk and stored.
func TestSeeds(t *testing.T) {
	stories := Scenarios()
	var stop time.Time
	if *timeLimit > 0 {
		stop = time.Now().Add(*timeLimit)
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for j := range jobs {
				j.run(t)
			}
		})
	}
	for i := range *seeds {
		if !stop.IsZero() && time.Now().After(stop) {
			break
		}
		jobs <- job{Generate(int64(i)), int64(i)}
		jobs <- job{stories[i%len(stories)], int64(1 + i/len(stories))}
	}
	close(jobs)
	workers.Wait()
	if total.seeds.Load() == 0 {
		t.Error("nothing was run")
	}
}

type job struct {
	scenario Scenario
	seed     int64
}

func (j job) run(t *testing.T) {
	r := Run(j.scenario, j.seed)
	count(r)
	if len(r.Violations) == 0 {
		return
	}
	v := r.Violations[0]
	if isKnown(j.scenario, v) {
		total.known.Add(1)
		return
	}
	total.violations.Add(1)
	if !*save {
		t.Errorf("%s\n%s: %s", Describe(j.scenario, j.seed), v.Rule, v.Message)
		return
	}
	smaller, seed := Shrink(j.scenario, j.seed, v.Rule, 200)
	again := Run(smaller, seed)
	file := filepath.Join("testdata", "scenarios",
		fmt.Sprintf("found-%s-%s-%d.json", strings.ToLower(v.Rule), j.scenario.Name, j.seed))
	stored := Stored{Seed: seed, Rule: v.Rule, Message: v.Message, Scenario: smaller}
	if err := stored.Save(file); err != nil {
		t.Error(err)
	}
	t.Errorf("%s\n%s: %s\nshrunk to %s, stored as %s:\n%s", Describe(j.scenario, j.seed), v.Rule, v.Message,
		Describe(smaller, seed), file, strings.Join(last(again.Log, 25), "\n"))
}

func count(r Result) {
	total.seeds.Add(1)
	total.steps.Add(int64(r.Steps))
	for _, n := range r.Faults {
		total.faults.Add(int64(n))
	}
}

func last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

// run is a run that has to keep the rules.
func run(t *testing.T, s Scenario, seed int64) Result {
	t.Helper()
	r := Run(s, seed)
	count(r)
	for _, v := range r.Violations {
		if isKnown(s, v) {
			total.known.Add(1)
			continue
		}
		total.violations.Add(1)
		t.Errorf("%s: %s: %s", Describe(s, seed), v.Rule, v.Message)
	}
	return r
}

// Every scenario that has once broken a rule, and does not any more.
func TestStoredScenarios(t *testing.T) {
	for file, s := range loadStored(t, "scenarios") {
		t.Run(file, func(t *testing.T) { run(t, s.Scenario, s.Seed) })
	}
}

// Every scenario that is known to break a rule still does. Once one does not, it belongs to the
// others.
func TestOpenScenarios(t *testing.T) {
	for file, s := range loadStored(t, "open") {
		t.Run(file, func(t *testing.T) {
			r := Run(s.Scenario, s.Seed)
			if len(r.Violations) == 0 || r.Violations[0].Rule != s.Rule ||
				!strings.Contains(r.Violations[0].Message, s.Message) {
				t.Errorf("breaks %v, and not %s (%s) any more: move it from testdata/open to testdata/scenarios",
					r.Violations, s.Rule, s.Message)
			}
		})
	}
}

func loadStored(t *testing.T, dir string) map[string]Stored {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Stored{}
	for _, file := range files {
		s, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = s
	}
	return out
}

// openScenarios are the known violations.
var openScenarios = sync.OnceValue(func() []Stored {
	files, err := filepath.Glob(filepath.Join("testdata", "open", "*.json"))
	if err != nil {
		panic(err)
	}
	var out []Stored
	for _, file := range files {
		s, err := Load(file)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", file, err)) // a file that cannot be read would hide a known violation
		}
		out = append(out, s)
	}
	return out
})

// isKnown tells whether the violation is one of the open ones: the same rule and words, in a
// scenario that has at least its faults.
func isKnown(in Scenario, v Violation) bool {
	return slices.ContainsFunc(openScenarios(), func(s Stored) bool {
		missing := func(f Fault) bool {
			return !slices.ContainsFunc(in.Faults, func(g Fault) bool { return f.Kind == g.Kind })
		}
		return s.Rule == v.Rule && strings.Contains(v.Message, s.Message) &&
			!slices.ContainsFunc(s.Scenario.Faults, missing)
	})
}

// A run is a function of its scenario and its seed.
func TestRunsRepeat(t *testing.T) {
	for seed := range int64(5) {
		s := Generate(seed)
		a, b := Run(s, seed), Run(s, seed)
		if diff := cmp.Diff(a.Log, b.Log); diff != "" {
			t.Errorf("%s differs the second time:\n%s", Describe(s, seed), diff)
		}
	}
}

// Every kind of fault has to come up: one that never does shows nothing.
func TestEveryFaultHappens(t *testing.T) {
	hit := map[string]bool{}
	for i, kind := range FaultKinds() {
		s := Scenario{Name: "one-fault", Masters: 1, Workers: 3, Replicas: 2,
			Faults: []Fault{{Kind: kind, Phase: "Release", At: 5, For: 30, Target: target(kind, i)}}}
		for name := range run(t, s, int64(i)).Faults {
			hit[name] = true
		}
	}
	for _, kind := range FaultKinds() {
		if !hit[kind] {
			t.Errorf("fault %s has not happened", kind)
		}
	}
}

func target(kind string, n int) string {
	k := faultKinds[kind]
	if k.target == nil {
		return ""
	}
	return k.target(Scenario{Masters: 1, Workers: 3}, func(m int) int { return n % m })
}

func TestUnknownFaults(t *testing.T) {
	r := Run(Scenario{Name: "typo", Workers: 2, Faults: []Fault{{Kind: "no-such-fault", At: 1}}}, Fixed)
	if len(r.Violations) != 1 || r.Violations[0].Rule != "model" {
		t.Errorf("violations %v, want the model's", r.Violations)
	}
}
