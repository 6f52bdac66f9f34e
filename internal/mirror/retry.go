package mirror

import (
	"context"
	"errors"
	"time"
)

// attempts is how often one operation is tried; longestWait how long a registry may ask to wait in between. What takes
// longer is left to the engine, which has other images to see to meanwhile.
const (
	attempts    = 3
	firstWait   = 250 * time.Millisecond
	longestWait = 10 * time.Second
)

// pause waits, or returns early when the context ends.
type pause func(ctx context.Context, d time.Duration)

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// retry repeats an operation that failed for a reason that may be gone a moment later. A dead host is told apart from
// a hiccup within about a second: 250 ms, then 1 s.
func (r *repository) retry(ctx context.Context, op func(ctx context.Context) *Error) *Error {
	wait := firstWait
	for n := 1; ; n++ {
		failure := op(ctx)
		if failure == nil || n == attempts || !passing(failure) || ctx.Err() != nil {
			return failure
		}
		asked := failure.retryAfter()
		if asked > longestWait {
			return failure
		}
		r.pause(ctx, max(wait, asked))
		wait *= 4
	}
}

// passing tells whether it is worth trying again at once. Silence is not: it has cost the whole timeout already.
func passing(e *Error) bool {
	var status *StatusError
	if errors.As(e, &status) {
		return e.Class == RateLimited || status.Status >= 500 && e.Class != ReadOnly
	}
	return e.Class == Refused
}

// retryAfter is how long the registry asked to wait before the next try, 0 when it did not.
func (e *Error) retryAfter() time.Duration {
	var status *StatusError
	if errors.As(e, &status) {
		return status.RetryAfter
	}
	return 0
}
