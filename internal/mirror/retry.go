package mirror

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// maxAttempts is how often one operation is tried, maxRateLimitAttempts how often it is when the
// registry only asks for patience: where every second request is turned away, 1 in 256 operations
// fails for it. maxRetryWait is how long a registry may ask to wait in between. What takes longer
// is left to the engine, which has other images to see to meanwhile.
const (
	maxAttempts          = 3
	maxRateLimitAttempts = 8

	initialRetryWait = 250 * time.Millisecond
	maxRetryWait     = 10 * time.Second
)

// sleepFunc waits, or returns early when the context ends.
type sleepFunc func(ctx context.Context, d time.Duration)

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// retry repeats an operation that failed for a reason that may be gone a moment later. A dead host
// is told apart from a hiccup within about a second: 250 ms, then 1 s. Where a host asked for a
// pause, the next request waits for its end by itself, together with everybody else's.
func (r *repository) retry(ctx context.Context, op func(ctx context.Context) *Error) *Error {
	wait := initialRetryWait
	for n := 1; ; n++ {
		failure := op(ctx)
		if failure == nil || ctx.Err() != nil || n >= failure.maxAttempts() || failure.retryAfter() > maxRetryWait {
			return failure
		}
		if failure.Class != RateLimited {
			r.sleep(ctx, wait)
			wait *= 4
		}
	}
}

// maxAttempts is how often an operation that fails like this is tried. Silence is not tried again:
// it has cost the whole timeout already.
func (e *Error) maxAttempts() int {
	var status *StatusError
	answered := errors.As(e, &status)
	switch {
	case e.Class == RateLimited:
		return maxRateLimitAttempts
	case e.retryable, e.Class == Refused:
		return maxAttempts
	case answered && e.Class == Unknown &&
		(status.Status >= http.StatusInternalServerError || status.uploadSessionLost):
		return maxAttempts
	}
	return 1
}

// retryAfter is how long the registry asked to wait before the next try, 0 when it did not.
func (e *Error) retryAfter() time.Duration {
	var status *StatusError
	if errors.As(e, &status) {
		return status.RetryAfter
	}
	var paused *HostBackoffError
	if errors.As(e, &paused) {
		return paused.Wait
	}
	return 0
}
