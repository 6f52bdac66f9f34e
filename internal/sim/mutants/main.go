// Command mutants breaks the safety rules one at a time, those of internal/rollout and those about how it is fed and obeyed, in a copy that only the compiler sees, and tells which test
// notices. A mutant that no test kills is a rule that nothing holds.
//
//	go run ./internal/sim/mutants [-each] [-run WORDS]
//
// It prints a table and a RESULT line, and exits with 1 when a mutant survives or no longer fits the source.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is one change of the source: old is found exactly once in the file, which is one of internal/rollout unless it has a path.
type mutant struct{ file, old, new, about string }

// path is the file's in the repository.
func (m mutant) path() string {
	if strings.Contains(m.file, "/") {
		return m.file
	}
	return filepath.Join("internal", "rollout", m.file)
}

// home is the package whose tests have to notice.
func (m mutant) home() string { return "./" + filepath.Dir(m.path()) }

// verdict is what became of a mutant.
type verdict struct{ home, sim string }

// unbuilt is the verdict on a mutant that proves nothing.
const unbuilt = "does not build"

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func main() {
	each := flag.Bool("each", false, "run the simulator even when a test of internal/rollout has failed already")
	words := flag.String("run", "", "only the mutants whose description contains this")
	flag.Parse()
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		fatal(err)
	}
	for _, home := range homes(*words) {
		if before := judge("", home, true); before != (verdict{}) {
			fatal(fmt.Errorf("the tests fail without any mutant: %s %q, sim %q", home, before.home, before.sim))
		}
	}
	survivors, stale, count := 0, 0, 0
	for _, m := range mutants {
		if !strings.Contains(m.about, *words) {
			continue
		}
		count++
		overlay, err := m.overlay(dir)
		if err != nil {
			stale++
			fmt.Printf("%-75s STALE: %v\n", m.about, err)
			continue
		}
		v := judge(overlay, m.home(), *each)
		switch {
		case v == verdict{}:
			survivors++
			v.home = "SURVIVES"
		case v.home == unbuilt:
			stale++
		}
		fmt.Printf("%-75s %s: %-45s sim: %s\n", m.about, filepath.Base(m.home()), v.home, v.sim)
	}
	if err := os.RemoveAll(dir); err != nil {
		fatal(err)
	}
	fmt.Printf("RESULT mutants=%d killed=%d survivors=%d stale=%d\n", count, count-survivors-stale, survivors, stale)
	if survivors+stale > 0 {
		os.Exit(1)
	}
}

// homes are the packages of the mutants, each once.
func homes(words string) []string {
	var out []string
	for _, m := range mutants {
		if strings.Contains(m.about, words) && !slices.Contains(out, m.home()) {
			out = append(out, m.home())
		}
	}
	return out
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	os.Exit(1)
}

// overlay writes the changed file, and the list by which the compiler takes it for the real one.
func (m mutant) overlay(dir string) (string, error) {
	file, err := filepath.Abs(m.path())
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", fmt.Errorf("%s has it %d times: %q", m.path(), n, m.old)
	}
	copied := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(copied, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: copied}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// only are the tests that matter in a package of which most tests are about something else and take long.
var only = map[string][]string{"./internal/mirror": {"-run", "^TestVerif"}}

// judge names the first test that fails in the mutant's package and, for a rule of the decision, in the simulator. The stories are left out: that a story is told differently is no proof that a
// rule is broken.
func judge(overlay, home string, each bool) verdict {
	v := verdict{home: test(overlay, append([]string{home}, only[home]...)...)}
	if strings.HasSuffix(home, "/rollout") && (v.home == "" || each) {
		v.sim = test(overlay, "./internal/sim", "-run", "Seeds|Stored|Open|EveryFault", "-sim.save=false", "-sim.seeds=150")
	}
	return v
}

func test(overlay string, args ...string) string {
	flags := []string{"test", "-count=1", "-vet=off", "-timeout=10m"}
	if overlay != "" {
		flags = append(flags, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(flags, args...)...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	if m := failed.FindStringSubmatch(string(out)); m != nil {
		return m[1]
	}
	if strings.Contains(string(out), "[build failed]") {
		return unbuilt
	}
	return "fails without a name"
}
