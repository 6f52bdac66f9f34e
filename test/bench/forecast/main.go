// Command forecast measures the forecast of drains of a big cluster: 1,000 nodes, 20,000 pods, 500
// PodDisruptionBudgets, every node.
//
// The forecast runs in a process of its own, and so does its floor: matching every pod with the
// selector of every budget, which the API server does as well for each eviction, within the
// namespace. It ends with
//
//	RESULT forecast_s=… peak_mib=…
//
// where the peak is that of the whole process, the cluster's objects included, and fails when one
// of them is over its target.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
)

// The targets.
const (
	maxTime = 5 * time.Second
	maxMiB  = 300
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-forecast:", err)
		os.Exit(1)
	}
}

func start() error {
	size := flag.Float64("size", 1, "the part of the cluster to measure, for a quick look")
	runs := flag.Int("runs", 3, "how often each is run; the fastest counts")
	child := flag.String("child", "", "what to run in this process: forecast, next or floor")
	flag.Parse()
	if *child == "" {
		return run(*size, *runs)
	}
	s := newCluster(*size)
	started, used := time.Now(), cpu()
	var text string
	switch *child {
	case "forecast":
		text = describe(forecast.ForecastAll(s))
	case "next":
		text = describe(forecast.ForecastNext(s))
	case "floor":
		text = fmt.Sprintf("%d pods are protected", matches(s))
	default:
		return fmt.Errorf("there is no child %q", *child)
	}
	fmt.Printf("%s %s %s\n", time.Since(started), cpu()-used, text)
	return nil
}

func describe(r forecast.Report) string {
	f := r.Summary()
	reasons := 0
	for _, n := range r.Nodes {
		reasons += len(n.Problems)
	}
	return fmt.Sprintf("%d nodes safe, %d blocked, %d unknown, %d reasons", f.Safe, f.Blocked, f.Unknown, reasons)
}

// matches is the floor.
func matches(s drain.Snapshot) int {
	n := 0
	for _, b := range s.Budgets {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			continue
		}
		for _, p := range s.Pods {
			if p.Namespace == b.Namespace && selector.Matches(labels.Set(p.Labels)) {
				n++
			}
		}
	}
	return n
}

// cpu is the processor time that this process has had.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured is one child's run: the time of what it measures, the processor time of it, and the peak
// of the whole process.
type measured struct {
	wall, cpu time.Duration
	mib       float64
	text      string
}

func measure(child string, size float64) (measured, error) {
	self, err := os.Executable()
	if err != nil {
		return measured{}, err
	}
	cmd := exec.Command(self, "-child", child, "-size", strconv.FormatFloat(size, 'g', -1, 64))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return measured{}, fmt.Errorf("%s: %w", child, err)
	}
	var m measured
	f := strings.SplitN(strings.TrimSpace(string(out)), " ", 3)
	if m.wall, err = time.ParseDuration(f[0]); err != nil {
		return m, err
	}
	if m.cpu, err = time.ParseDuration(f[1]); err != nil {
		return m, err
	}
	m.text = f[2]
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.mib = float64(usage.Maxrss) / 1024
	}
	return m, nil
}

func best(child string, size float64, runs int) (measured, error) {
	var out measured
	for i := range runs {
		m, err := measure(child, size)
		if err != nil {
			return m, err
		}
		if i == 0 || m.wall < out.wall {
			out = m
		}
	}
	fmt.Printf("%s: %.2f s, %.2f s of a processor, %.0f MiB: %s\n", child, out.wall.Seconds(), out.cpu.Seconds(),
		out.mib, out.text)
	return out, nil
}

func run(size float64, runs int) error {
	s := newCluster(size)
	fmt.Printf("%d nodes, %d pods, %d budgets\n", len(s.Nodes), len(s.Pods), len(s.Budgets))
	all, err := best("forecast", size, runs)
	if err != nil {
		return err
	}
	if _, err := best("next", size, runs); err != nil {
		return err
	}
	floor, err := best("floor", size, runs)
	if err != nil {
		return err
	}
	fmt.Printf("ratio to the floor: %.1f of its time, %.2f of its memory\n",
		all.wall.Seconds()/max(floor.wall.Seconds(), 1e-6), all.mib/floor.mib)
	fmt.Printf("RESULT forecast_s=%.2f peak_mib=%.0f\n", all.wall.Seconds(), all.mib)
	if all.wall > maxTime || all.mib > maxMiB {
		return fmt.Errorf("over the target of %s and %d MiB", maxTime, maxMiB)
	}
	return nil
}
