//go:build lab

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestStock runs the first scenario once more on the unmodified Machine Config Controller with all
// its own delays: plainly and by a SafeMirrorRollout. Both end as they do on the lab's quick one.
func TestStock(t *testing.T) {
	if !inShard(t, 4) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	// Nodes at a real pace would take half an hour; at this one they are still slower than the
	// controller's own 5 s.
	stock, err := lab.Start(ctx, lab.Options{Stock: true, Masters: 1, Scale: 0.4})
	if err != nil {
		t.Fatal(err)
	}
	quick := shared
	shared = stock
	defer func() { shared = quick; stock.Stop() }()
	s := scenario.All()[0]
	t.Run("raw", func(t *testing.T) {
		ctx, c := resetLab(t)
		stage(ctx, t, c, s, scenario.Raw)
		d := deadlock(ctx, t, c, s)
		t.Log(d)
		checkDeadlock(t, s, d)
	})
	t.Run("safe", func(t *testing.T) {
		ctx, c := resetLab(t)
		stage(ctx, t, c, s, scenario.Safe)
		operator(ctx, t)
		rollOut(ctx, t, c, s)
	})
}
