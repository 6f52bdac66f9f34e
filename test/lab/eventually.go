package lab

import (
	"context"
	"fmt"
	"time"
)

const pollEvery = 100 * time.Millisecond

// Eventually asks check every 100 ms until it says done. what and the last why end up in the error,
// so that a test that waits in vain says what it saw last:
//
//	after 30s: the worker pool is not updated: 3 of 4 machines (node worker-2 Working)
//
// An error of check ends the wait at once; something that may pass is a why.
func Eventually(ctx context.Context, timeout time.Duration, what string,
	check func(context.Context) (done bool, why string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begun, last := time.Now(), "never looked"
	for {
		done, why, err := check(ctx)
		switch {
		case done:
			return nil
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("%s: %w", what, err)
		case ctx.Err() == nil:
			last = why // what is seen after the deadline is about the deadline, not about the cluster
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %s: %s", time.Since(begun).Round(pollEvery), what, last)
		case <-time.After(pollEvery):
		}
	}
}
