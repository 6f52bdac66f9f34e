package mirror

import (
	"context"
	"sync"
	"time"
)

type progressKey struct{}

// stall is the clock of one image: it rings when nothing has happened for too long.
type stall struct {
	limit time.Duration
	timer *time.Timer

	mu   sync.Mutex
	held int  // how many of the image's requests wait for our own limits
	over bool // the image is done; a late beat must not start the clock again
}

// watchStall cancels the context it returns, with a *StalledError as cause, when limit passes without any sign of
// progress. Every answer and every piece of a body, up or down, is a sign: a 20 GB layer that flows is not a stall.
func watchStall(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stall{limit: limit}
	s.timer = time.AfterFunc(limit, func() { cancel(&StalledError{After: limit}) })
	return context.WithValue(ctx, progressKey{}, s), func() {
		s.end()
		cancel(nil)
	}
}

func (s *stall) beat() { s.change(0, false) }

func (s *stall) end() { s.change(0, true) }

// change notes what happened and sets the clock anew. It stands still while a request waits for our own limits: an image
// that we hold back ourselves does not stall.
func (s *stall) change(held int, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held += held
	s.over = s.over || over
	if s.held > 0 || s.over {
		s.timer.Stop()
		return
	}
	s.timer.Reset(s.limit)
}

// progressOf gives the function to call at each sign of progress; never nil.
func progressOf(ctx context.Context) func() {
	if s, ok := ctx.Value(progressKey{}).(*stall); ok {
		return s.beat
	}
	return func() {}
}

// holdStall stops the image's clock until resume is called, which must happen once.
func holdStall(ctx context.Context) (resume func()) {
	s, ok := ctx.Value(progressKey{}).(*stall)
	if !ok {
		return func() {}
	}
	s.change(+1, false)
	return func() { s.change(-1, false) }
}
