// Command plan measures an offline plan of a big cluster: 2,000 nodes, 50,000 pods, 5,000 images,
// 200 rules.
//
// It writes the cluster to a directory as oc get would, as JSON and as YAML, plans a rollout over
// it in a process of its own, and reads the same files with encoding/json into typed lists in
// another, as a floor. It ends with
//
//	RESULT eval_ms=… plan_seconds=… plan_mib=…
//
// which are those of the plan over the JSON files, and fails when one of them is over its target.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli"
)

// The targets.
const (
	maxEval = 100 * time.Millisecond
	maxPlan = 5 * time.Second
	maxMiB  = 300
)

func main() {
	if len(os.Args) > 1 {
		if child, ok := children[os.Args[1]]; ok {
			if err := child(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "bench-plan "+os.Args[1]+":", err)
				os.Exit(1)
			}
			return
		}
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-plan:", err)
		os.Exit(1)
	}
}

// children are what runs in a process of its own, so that its memory is its own.
var children = map[string]func(args []string) error{"plan": plan, "floor": floor, "eval": eval}

func plan(args []string) error {
	cmd := cli.Plan()
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(context.Background())
	var end *cli.ExitError
	if errors.As(err, &end) && end.Code != 1 {
		return nil // a verdict
	}
	return err
}

// measured is one child's run.
type measured struct {
	wall time.Duration
	mib  float64
	out  string
}

// measure runs a child of this program. The peak is that of its resident memory.
func measure(args ...string) (measured, error) {
	self, err := os.Executable()
	if err != nil {
		return measured{}, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	started := time.Now()
	out, err := cmd.Output()
	m := measured{wall: time.Since(started), out: string(out)}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.mib = float64(usage.Maxrss) / 1024
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", args[0], err)
	}
	return m, nil
}

// best is the fastest of a few runs: what else the machine does can only make them slower.
func best(runs int, args ...string) (measured, error) {
	var out measured
	for i := range runs {
		m, err := measure(args...)
		if err != nil {
			return m, err
		}
		if i == 0 || m.wall < out.wall {
			out = m
		}
	}
	return out, nil
}

func run() error {
	dir := flag.String("dir", "", "where the cluster is written; kept when given")
	size := flag.Float64("size", 1, "the part of the cluster to measure, for a quick look")
	runs := flag.Int("runs", 3, "how often each is run; the fastest counts")
	flag.Parse()
	if *dir == "" {
		made, err := os.MkdirTemp("", "bench-plan-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		*dir = made
	}
	cluster := newCluster(*size)
	fmt.Printf("writing %d nodes, %d pods, %d images, %d rules\n", cluster.nodes, cluster.pods, cluster.images, rules)
	if err := cluster.write(*dir); err != nil {
		return err
	}
	evaluated, err := best(*runs, "eval")
	if err != nil {
		return err
	}
	var evalTime time.Duration
	if evalTime, err = time.ParseDuration(strings.TrimSpace(evaluated.out)); err != nil {
		return err
	}
	fmt.Printf("eval: %d references x %d rules in %s (target %s)\n", evalReferences, rules,
		evalTime.Round(100*time.Microsecond), maxEval)
	var json measured
	for _, format := range []string{"json", "yaml"} {
		m, err := best(*runs, "plan", "-f", filepath.Join(*dir, "rollout.yaml"), "--from", filepath.Join(*dir, format))
		if err != nil {
			return err
		}
		fmt.Printf("plan over %s: %.2f s, %.0f MiB, %s\n", format, m.wall.Seconds(), m.mib, firstLine(m.out))
		if format == "json" {
			json = m
		}
	}
	bottom, err := best(*runs, "floor", filepath.Join(*dir, "json"))
	if err != nil {
		return err
	}
	fmt.Printf("floor, encoding/json into typed lists: %.2f s, %.0f MiB (%s)\n", bottom.wall.Seconds(), bottom.mib,
		strings.TrimSpace(bottom.out))
	fmt.Printf("ratio to the floor: %.2f of its time, %.2f of its memory\n", json.wall.Seconds()/bottom.wall.Seconds(),
		json.mib/bottom.mib)
	fmt.Printf("RESULT eval_ms=%.1f plan_seconds=%.2f plan_mib=%.0f\n", float64(evalTime.Microseconds())/1000,
		json.wall.Seconds(), json.mib)
	if evalTime > maxEval || json.wall > maxPlan || json.mib > maxMiB {
		return fmt.Errorf("over the target of %s, %s and %d MiB", maxEval, maxPlan, maxMiB)
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 160)]
}
