package lab

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// step is one stage of a start or a reset.
type step struct {
	name string
	do   func(context.Context) error
}

// runSteps does the steps one after the other. A part that ends meanwhile ends them: waiting three
// minutes for an API server that is dead helps nobody.
func (l *Lab) runSteps(ctx context.Context, steps []step) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var dead atomic.Pointer[Process]
	go func() {
		select {
		case p := <-l.deaths:
			dead.Store(p)
			cancel()
		case <-ctx.Done():
		}
	}()
	for _, s := range steps {
		begun := time.Now()
		err := s.do(ctx)
		if p := dead.Load(); err != nil && p != nil {
			err = p.failure() // says more than the waiting that it ended
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		l.logf("%-22s %5.1fs", s.name, time.Since(begun).Seconds())
	}
	return nil
}

func (l *Lab) logf(format string, args ...any) {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	fmt.Fprintf(l.options.Log, "lab: "+format+"\n", args...)
}
