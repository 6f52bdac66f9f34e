package mirror

import (
	"context"
	"time"
)

type progressKey struct{}

// watchStall cancels the context it returns, with a *StalledError as cause, when limit passes without any sign of
// progress. Every answer and every piece of a body, up or down, is a sign: a 20 GB layer that flows is not a stall.
func watchStall(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(&StalledError{After: limit}) })
	beat := func() { timer.Reset(limit) }
	return context.WithValue(ctx, progressKey{}, beat), func() {
		timer.Stop()
		cancel(nil)
	}
}

// progressOf gives the function to call at each sign of progress; never nil.
func progressOf(ctx context.Context) func() {
	if beat, ok := ctx.Value(progressKey{}).(func()); ok {
		return beat
	}
	return func() {}
}
