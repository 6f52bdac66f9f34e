package mirror

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// maxParallelPerImage is how many parts of one image are in progress at once. How much of that a
// registry sees at the same time is bounded by its slots, see schedule: parts that wait for one
// cost nothing.
const maxParallelPerImage = 64

// parallel calls do for 0..n-1, several at a time, and returns the failure with the lowest index.
// After a failure no further calls are started; those before it have all been started by then, so
// the answer does not depend on timing.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) *Error) *Error {
	failures := make([]*Error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range min(n, maxParallelPerImage) {
		workers.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if failures[i] = withRecover(func() *Error { return do(ctx, i) }); failures[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	for _, failure := range failures {
		if failure != nil {
			return failure
		}
	}
	return nil
}

// withRecover turns a panic into a failure: one odd manifest must not end the process that looks
// after a rollout.
func withRecover(do func() *Error) (failure *Error) {
	defer func() {
		if value := recover(); value != nil {
			failure = &Error{Class: Unknown, noFallback: true,
				Err: &PanicError{Value: value, Stack: string(debug.Stack())}}
		}
	}()
	return do()
}
