package mirror

import (
	"context"
	"sync"
	"time"
)

type watchdogKey struct{}

// watchdog is the clock of one image: it rings when nothing has happened for too long.
type watchdog struct {
	limit time.Duration
	timer *time.Timer

	mu      sync.Mutex
	holds   int  // how many of the image's requests wait for our own limits
	stopped bool // the image is done; a late beat must not start the clock again
}

// withWatchdog cancels the context it returns, with a *StalledError as cause, when limit passes
// without any sign of progress. Every answer and every piece of a body, up or down, is a sign: a 20
// GB layer that flows is not a stall.
func withWatchdog(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &watchdog{limit: limit}
	s.timer = time.AfterFunc(limit, func() { cancel(&StalledError{After: limit}) })
	return context.WithValue(ctx, watchdogKey{}, s), func() {
		s.stop()
		cancel(nil)
	}
}

func (s *watchdog) reset() { s.update(0, false) }

func (s *watchdog) stop() { s.update(0, true) }

// update notes what happened and sets the clock anew. It stands still while a request waits for our
// own limits: an image that we hold back ourselves does not stall.
func (s *watchdog) update(holds int, stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds += holds
	s.stopped = s.stopped || stopped
	if s.holds > 0 || s.stopped {
		s.timer.Stop()
		return
	}
	s.timer.Reset(s.limit)
}

// progressFunc gives the function to call at each sign of progress; never nil.
func progressFunc(ctx context.Context) func() {
	if s, ok := ctx.Value(watchdogKey{}).(*watchdog); ok {
		return s.reset
	}
	return func() {}
}

// pauseWatchdog stops the image's clock until resume is called, which must happen once.
func pauseWatchdog(ctx context.Context) (resume func()) {
	s, ok := ctx.Value(watchdogKey{}).(*watchdog)
	if !ok {
		return func() {}
	}
	s.update(+1, false)
	return func() { s.update(-1, false) }
}
