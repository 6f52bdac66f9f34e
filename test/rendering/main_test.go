//go:build lab

// Package rendering holds internal/registriesconf against the Machine Config Controller itself: for
// each of many random unions of mirror sets, what Render predicts must be what the controller
// writes, byte for byte, and what Validate finds fault with must be what the controller refuses.
package rendering

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// shared is the cluster of all tests here. No test resets it: a union replaces the one before,
// whatever that was.
var shared *cluster

// result counts unions for the RESULT line.
var result struct{ sets, equal, refused int }

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// No nodes: a rollout would only take time from the controller. The small scale is for its
	// limit on API requests.
	l, err := lab.Start(ctx, lab.Options{Workers: -1, Masters: -1, Scale: 0.01})
	if err != nil {
		fmt.Fprintln(os.Stderr, "rendering:", err)
		os.Exit(1)
	}
	code := 1
	if shared, err = connect(ctx, l); err != nil {
		fmt.Fprintln(os.Stderr, "rendering:", err)
	} else {
		code = m.Run()
	}
	l.Stop()
	stop()
	fmt.Printf("RESULT sets=%d equal=%d refused=%d\n", result.sets, result.equal, result.refused)
	os.Exit(code)
}

// sets is how many unions to try: $RENDERING_SETS, or as many as fit into make test. Their seeds
// are 1, 2, 3 and so on.
func sets(t *testing.T) int {
	t.Helper()
	text := os.Getenv("RENDERING_SETS")
	if text == "" {
		return 60
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("RENDERING_SETS is %q; want a positive number", text)
	}
	return n
}
