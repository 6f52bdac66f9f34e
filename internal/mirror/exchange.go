package mirror

import (
	"context"
	"net/http"
	"strings"
	"sync"
)

// exchange remembers how one registry operation goes. regclient reports failures as text once its retries are used up;
// the status, error code and Retry-After of the answer itself are kept here, by the guard that saw it.
type exchange struct {
	mu    sync.Mutex
	last  *StatusError // nil when the last answer was a success, or when there was none
	wrote bool         // something has been sent
	begun bool         // a body is being read
	// renewed: a token was refused and has been replaced, so what needed it may be tried again.
	renewed bool
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

// answered notes an answer, nil for a success, unless it tells nothing about how the operation goes. regclient follows
// the failure of an upload up with more requests, and only the first one says why:
//
//	PUT -> 413, PATCH -> 404, GET (how far did it get) -> 404, DELETE -> 204      the 413 stays
//	PUT -> 413, PATCH -> 202, PUT -> 201                                          all is well
func (x *exchange) answered(method string, status *StatusError) {
	x.mu.Lock()
	defer x.mu.Unlock()
	cleanup := method == http.MethodDelete || method == http.MethodGet && x.wrote
	fallback := method == http.MethodPatch && status != nil && x.last != nil && x.last.Status != http.StatusUnauthorized
	x.wrote = x.wrote || isWrite(method)
	if !cleanup && !fallback {
		x.last = status
	}
}

func (x *exchange) status() *StatusError {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}

func (x *exchange) beginsToRead() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun = true
}

// reading tells whether the operation has begun to read a body before.
func (x *exchange) reading() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.begun
}

func (x *exchange) tokenRenewed() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.renewed = true
}

func (x *exchange) hasNewToken() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.renewed
}

// isUpload tells whether a request sends a blob or a piece of one.
func isUpload(req *http.Request) bool {
	return (req.Method == http.MethodPut || req.Method == http.MethodPatch) && !strings.Contains(req.URL.Path, "/manifests/")
}
