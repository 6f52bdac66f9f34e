package mirror

import (
	"context"
	"sync"
)

// await waits for done, or for the end of the context. Waiting in line is no stall: whoever is
// ahead is under a watch of its own.
func await(ctx context.Context, done <-chan struct{}) error {
	defer pauseWatchdog(ctx)()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keyedLock lets one of several do what all of them need.
//
//	three images need the same missing layer    the first uploads it, the other two wait and then look again
//	the first fails                             one of the two takes over
type keyedLock[K comparable] struct {
	mu   sync.Mutex
	held map[K]chan struct{}
}

func newKeyedLock[K comparable]() *keyedLock[K] { return &keyedLock[K]{held: map[K]chan struct{}{}} }

// acquireOrWait gives the key to the caller, who must call leave when done. When somebody else has
// it, take waits until that one has left and returns nil: the caller looks whether anything is left
// to do. The error is the end of the context.
func (f *keyedLock[K]) acquireOrWait(ctx context.Context, key K) (release func(), err error) {
	f.mu.Lock()
	if done, taken := f.held[key]; taken {
		f.mu.Unlock()
		return nil, await(ctx, done)
	}
	done := make(chan struct{})
	f.held[key] = done
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		delete(f.held, key)
		f.mu.Unlock()
		close(done)
	}, nil
}
