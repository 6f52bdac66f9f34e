package mirror

import (
	"context"
	"sync"
)

// exchange remembers the last answer of one registry operation. regclient reports failures as text once its retries
// are used up; the status, error code and Retry-After of the answer itself are kept here, by the guard that saw it.
type exchange struct {
	mu   sync.Mutex
	last *StatusError // nil when the last answer was a success, or when there was none
}

type exchangeKey struct{}

func withExchange(ctx context.Context) (context.Context, *exchange) {
	x := &exchange{}
	return context.WithValue(ctx, exchangeKey{}, x), x
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (x *exchange) answered(status *StatusError) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = status
}

func (x *exchange) status() *StatusError {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}
