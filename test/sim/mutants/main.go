// Command mutants breaks the safety rules one at a time, those of internal/rollout and those about
// how it is fed and obeyed, in a copy that only the compiler sees, and tells which test notices. A
// mutant that no test kills is a rule that nothing holds. Each package lists its own in
// mutants_test.go.
//
//	go run ./test/sim/mutants [-each] [-run REGEXP]
//
// It prints a table and a RESULT line, and exits with 1 when a mutant survives or no longer fits
// the source.
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

// outcome is what became of a mutant.
type outcome struct{ pkg, sim string }

// buildFailed is the verdict on a mutant that proves nothing.
const buildFailed = "does not build"

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func main() {
	each := flag.Bool("each", false, "run the simulator even when a test of internal/rollout has failed already")
	match := flag.String("run", "", "only the mutants whose description fits this regular expression")
	flag.Parse()
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		fatal(err)
	}
	wanted, err := regexp.Compile(*match)
	if err != nil {
		fatal(err)
	}
	rules, err := all(".", wanted)
	if err != nil {
		fatal(err)
	}
	for _, home := range testPackages(rules) {
		if before := runTests("", home, true); before != (outcome{}) {
			fatal(fmt.Errorf("the tests fail without any mutant: %s %q, sim %q", home, before.pkg, before.sim))
		}
	}
	survivors, stale := 0, 0
	for _, r := range rules {
		v := outcome{pkg: buildFailed}
		c, err := r.resolve()
		if err == nil {
			v, err = c.judge(dir, *each)
		}
		switch {
		case err != nil:
			stale++
			fmt.Printf("%-75s STALE: %v\n", r.about, err)
			continue
		case v == outcome{}:
			survivors++
			v.pkg = "SURVIVES"
		case v.pkg == buildFailed:
			stale++
		}
		fmt.Printf("%-75s %s: %-45s sim: %s\n", r.about, filepath.Base(r.home), v.pkg, v.sim)
	}
	if err := os.RemoveAll(dir); err != nil {
		fatal(err)
	}
	fmt.Printf("RESULT mutants=%d killed=%d survivors=%d stale=%d\n", len(rules), len(rules)-survivors-stale,
		survivors, stale)
	if survivors+stale > 0 {
		os.Exit(1)
	}
}

// all are the rules of all lists whose description fits.
func all(root string, wanted *regexp.Regexp) ([]rule, error) {
	sources, err := lists(root)
	if err != nil {
		return nil, err
	}
	var out []rule
	for _, s := range sources {
		rules, err := s.rules()
		if err != nil {
			return nil, err
		}
		out = append(out, slices.DeleteFunc(rules, func(r rule) bool { return !wanted.MatchString(r.about) })...)
	}
	return out, nil
}

// testPackages are the packages of the rules, each once.
func testPackages(rules []rule) []string {
	var out []string
	for _, r := range rules {
		if !slices.Contains(out, r.home) {
			out = append(out, r.home)
		}
	}
	return out
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	os.Exit(1)
}

// judge runs the tests with the change.
func (c change) judge(dir string, each bool) (outcome, error) {
	copied := filepath.Join(dir, filepath.Base(c.path))
	if err := os.WriteFile(copied, c.text, 0o600); err != nil {
		return outcome{}, err
	}
	// The list by which the compiler takes the copy for the real one.
	list, err := json.Marshal(map[string]map[string]string{"Replace": {c.path: copied}})
	if err != nil {
		return outcome{}, err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return outcome{}, err
	}
	return runTests(overlay, c.home, each), nil
}

// testFilters are the tests that matter in a package of which most tests are about something else
// and take long.
var testFilters = map[string][]string{"./internal/mirror": {"-run", "^TestVerif"}}

// runTests names the first test that fails in the mutant's package and, for a rule of the decision,
// in the simulator. The golden runs are left out: a different log of a run does not prove that
// a rule is broken.
func runTests(overlay, home string, each bool) outcome {
	v := outcome{pkg: test(overlay, append([]string{home}, testFilters[home]...)...)}
	if strings.HasSuffix(home, "/rollout") && (v.pkg == "" || each) {
		v.sim = test(overlay, "./test/sim", "-run", "Seeds|Stored|Open|EveryFault", "-sim.save=false", "-sim.seeds=150")
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
	if m := failedTest.FindStringSubmatch(string(out)); m != nil {
		return m[1]
	}
	if strings.Contains(string(out), "[build failed]") {
		return buildFailed
	}
	return "fails without a name"
}
