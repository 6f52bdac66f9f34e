//go:build lab

// Package e2e runs the scenarios on the lab: real Machine Config Operator controllers, API server,
// scheduler and registries.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// shared is the lab that all scenarios use, one after another, each from the initial state.
var shared *lab.Lab

// result counts scenarios for the RESULT line.
var result struct{ run, passed int }

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	l, err := lab.Start(ctx, lab.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	shared = l
	code := m.Run()
	l.Stop()
	stop()
	announce(fmt.Sprintf("RESULT scenarios=%d passed=%d\n", result.run, result.passed))
	if code == 0 && result.run != result.passed {
		code = 1
	}
	os.Exit(code)
}

// announce prints the line, and leaves it in the file that E2E_RESULT names: the go command shows
// nothing of a test that passes.
func announce(line string) {
	fmt.Print(line)
	if file := os.Getenv("E2E_RESULT"); file != "" {
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
		}
	}
}

// scenarios are those of this shard: E2E_SHARD is I/N, as in 2/8, and without it all are. Nothing
// is ever skipped: a scenario is in the run, or it is in another shard's.
func scenarios(t *testing.T) []scenario.Scenario {
	t.Helper()
	all := scenario.All()
	i, n := shard(t)
	var out []scenario.Scenario
	for k, s := range all {
		if k%n == i {
			out = append(out, s)
		}
	}
	return out
}

// inShard tells whether a test that is not one of the scenarios belongs to this shard: each has a
// number, so that they are spread.
func inShard(t *testing.T, number int) bool {
	t.Helper()
	i, n := shard(t)
	return number%n == i
}

// shard reads E2E_SHARD.
func shard(t *testing.T) (i, n int) {
	t.Helper()
	text := os.Getenv("E2E_SHARD")
	if text == "" {
		return 0, 1
	}
	first, second, ok := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	if !ok || err1 != nil || err2 != nil || n < 1 || i < 0 || i >= n {
		t.Fatalf("E2E_SHARD is %q; want I/N with 0 <= I < N", text)
	}
	return i, n
}

// resetLab resets the lab and counts the scenario; what it logs on failure is in the lab's
// directory.
func resetLab(t *testing.T) (context.Context, *scenario.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	result.run++
	t.Cleanup(func() {
		if !t.Failed() {
			result.passed++
		}
	})
	if err := shared.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := scenario.NewCluster(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t)
		}
	})
	return ctx, c
}

// operator starts the product and stops it at the end of the test.
func operator(ctx context.Context, t *testing.T) *scenario.Operator {
	t.Helper()
	o, err := scenario.StartOperator(ctx, shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Kill)
	return o
}
