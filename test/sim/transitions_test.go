package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/test/sim/trace"
)

// Each step that a real Machine Config Operator was seen to take is one that the simulated one
// takes, too. Steps that are reported in one write here and in two there are written differently,
// so this is about the order and the kind of writes, and not about times.
func TestSimulatedMCOCoversRecordedSteps(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "traces", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v; record one with E2E_TRACES=DIR go test -tags lab ./test/e2e -run TestTrace", err)
	}
	taken := Transitions()
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := trace.Read(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			follower, steps := trace.NewStepReader(), map[string]int{}
			for _, e := range entries {
				step, changed := follower.Next(e)
				if !changed {
					continue
				}
				steps[step]++
				if !taken[step] {
					t.Errorf("%s %s at %s: the simulated MCO never takes this step: %s", e.Kind, e.Name,
						e.At.Format(time.TimeOnly), step)
				}
			}
			if len(steps) < 8 {
				t.Errorf("only %d different steps in %d lines: %v", len(steps), len(entries), steps)
			}
		})
	}
}
