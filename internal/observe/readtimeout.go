package observe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cacheReadTimeout is how long a cache may take to be filled. One that never can be (a right is
// missing, the kind has gone) would be waited for without end, and a look that hangs reports
// nothing.
const cacheReadTimeout = 15 * time.Second

// timeoutReader gives up on a cache after its patience, in seconds of the wall clock. The cache
// goes on filling, so a large one is there at a later look.
type timeoutReader struct {
	client.Reader
	timeout time.Duration
}

func (r timeoutReader) Get(ctx context.Context, key client.ObjectKey, obj client.Object,
	opts ...client.GetOption) error {
	return r.withTimeout(ctx, func(ctx context.Context) error { return r.Reader.Get(ctx, key, obj, opts...) })
}

func (r timeoutReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return r.withTimeout(ctx, func(ctx context.Context) error { return r.Reader.List(ctx, list, opts...) })
}

func (r timeoutReader) withTimeout(ctx context.Context, read func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := read(limited)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s; the operator's log names the cache that cannot be filled, often for want of the rights to list and watch: %w", r.timeout, err)
	}
	return err
}

// cached reads from the manager's caches.
func (observer *Observer) cached() client.Reader {
	return timeoutReader{observer.Client, cacheReadTimeout}
}
