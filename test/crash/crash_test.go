//go:build lab

package crash

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

var (
	all = flag.Bool("crash.all", false,
		"make every run that is not in the table of outcomes yet, instead of a sample")
	budget = flag.Duration("crash.budget", 0, "for how long to begin runs at most; 0 means as long as it takes")
	keep   = flag.String("crash.keep", "", "the file that outcomes are appended to")
	faults = flag.String("crash.faults", "", "these faults only, separated by commas")
	shard  = flag.String("crash.shard", "0/1", "I/N: which sample of the runs, one for each I")
	update = flag.Bool("update", false, "write the recording anew")
)

// TestRecording is the run without a fault: what it writes, and the rights that it makes use of,
// are what is on record. How often a status or a report is written depends on what the watches
// bring together, so it is the objects that count here, not the ordinals.
func TestRecording(t *testing.T) {
	out := runAndCleanUp(env.ctx, t, FaultRun{})
	for _, w := range out.Failures {
		t.Error(w)
	}
	var writes, rights []string
	for _, w := range env.proxy.Writes() {
		writes = append(writes, w.String())
	}
	for _, r := range env.proxy.Used() {
		rights = append(rights, r.String())
	}
	if *update {
		save(t, "testdata/writes.txt", writes)
		save(t, "testdata/rights.txt", rights)
		return
	}
	if diff := cmp.Diff(objects(Recorded()), objects(writes)); diff != "" {
		t.Errorf("the operator writes otherwise; if that is meant, run hack/crash.sh --record (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Permissions(), rights); diff != "" {
		t.Errorf("the operator makes use of other rights; if that is meant, run hack/crash.sh --record (-want +got):\n%s", diff)
	}
}

func save(t *testing.T, file string, lines []string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// objects are what is written, without how often.
func objects(writes []string) []string {
	var out []string
	for _, w := range writes {
		object, _, _ := strings.Cut(w, " #")
		out = append(out, object)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sampleSize is how many runs `make test` makes, beside the recording.
const sampleSize = 2

// TestCrash makes a sample of the runs, or all of them.
func TestCrash(t *testing.T) {
	kept, err := ReadOutcomes(*keep)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for _, tr := range selectedRuns(t) {
		if _, done := kept[tr]; done {
			continue
		}
		if err := env.ctx.Err(); err != nil {
			t.Fatalf("stopped before %q; the next call goes on from there", tr)
		}
		if *budget > 0 && time.Since(begun) > *budget {
			t.Fatalf("out of time before %q; the next call goes on from there", tr)
		}
		t.Run(tr.String(), func(t *testing.T) {
			out := runAndCleanUp(env.ctx, t, tr)
			for _, w := range out.Failures {
				t.Error(w)
			}
			kept[tr] = out
			if *keep != "" {
				if err := out.Append(*keep); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	announce(Summary(kept))
}

func selectedRuns(t *testing.T) []FaultRun {
	t.Helper()
	which := Faults()
	if *faults != "" {
		which = nil
		for _, name := range strings.Split(*faults, ",") {
			if !slices.Contains(Faults(), Fault(name)) {
				t.Fatalf("no such fault: %q; there are %q", name, Faults())
			}
			which = append(which, Fault(name))
		}
	}
	if *all {
		return FaultRuns(which...)
	}
	var i, n int
	if _, err := fmt.Sscanf(*shard, "%d/%d", &i, &n); err != nil || n < 1 || i < 0 || i >= n {
		t.Fatalf("-crash.shard is %q; want I/N with 0 <= I < N", *shard)
	}
	return Sample(FaultRuns(which...), sampleSize, i, n)
}

// announce prints the line, and leaves it in the file that CRASH_RESULT names: the go command shows
// nothing of a test that passes.
func announce(line string) {
	fmt.Println(line)
	if file := os.Getenv("CRASH_RESULT"); file != "" {
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "crash:", err)
		}
	}
}

// runAndCleanUp is a run, and the way back to what was staged. A run after which that does not
// work, or in which anything was wrong, is followed by a Reset.
func runAndCleanUp(ctx context.Context, t *testing.T, tr FaultRun) Outcome {
	t.Helper()
	begun := time.Now()
	out, err := run(ctx, tr)
	if err != nil {
		out.Failures = append(out.Failures, err.Error())
	}
	ran := time.Now()
	if len(out.Failures) > 0 {
		err = env.lab.Reset(ctx)
	} else if err = cleanUp(ctx); err != nil {
		t.Logf("the cluster is started anew: %v", err)
		err = env.lab.Reset(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f s, struck %d; %.1f s to clean up", ran.Sub(begun).Seconds(), out.Injected, time.Since(ran).Seconds())
	return out
}

func cleanUp(ctx context.Context) error {
	c, err := scenario.NewCluster(env.lab)
	if err != nil {
		return err
	}
	return resetCluster(ctx, c, env.rendered)
}
