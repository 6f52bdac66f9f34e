package mirror

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// admission is what a request wants to be let in as.
type admission struct {
	write bool
	// again: the operation has been let in before and has begun to read; it does not queue a second time. An upload whose
	// download breaks holds its place among the writers while it asks for the rest.
	again bool
	// onward: a redirect leads on to another server, which the registry's request rate is not about.
	onward bool
}

// admit waits until a request may be sent: for a place among those under way, for the request rate, and for the end of
// the pause that the host asked for. The error is a *PausedError when that pause is longer than an image should wait, or
// the cause of the context's end. leave must be called when the request is over, body included; more than once is fine.
//
// The time spent here is our own doing: no registry is called silent for it, and no image stalled.
func (h *host) admit(ctx context.Context, a admission) (leave func(), err error) {
	queue := &queueing{h: h, ctx: ctx}
	defer queue.end()
	leave = func() {}
	if !a.again {
		places := h.places(a.write)
		if !places.TryAcquire(1) {
			queue.begin()
			if err := places.Acquire(ctx, 1); err != nil {
				return nil, context.Cause(ctx)
			}
		}
		var once sync.Once
		leave = func() { once.Do(func() { places.Release(1) }) }
	}
	if !a.onward {
		err = queue.until(h.requests.ReserveN(h.now(), 1))
	}
	if err == nil {
		err = queue.pause()
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (h *host) places(write bool) *semaphore.Weighted {
	h.mu.Lock()
	defer h.mu.Unlock()
	if write {
		return h.writes
	}
	return h.reads
}

// queueing is one request's way through admit. It notes how long it waited once it has to wait at all.
type queueing struct {
	h      *host
	ctx    context.Context
	begun  time.Time
	resume func()
}

func (q *queueing) begin() {
	if q.resume != nil {
		return
	}
	q.begun, q.resume = q.h.now(), holdStall(q.ctx)
	q.h.mu.Lock()
	defer q.h.mu.Unlock()
	q.h.waiting++
}

func (q *queueing) end() {
	if q.resume == nil {
		return
	}
	q.resume()
	q.h.mu.Lock()
	defer q.h.mu.Unlock()
	q.h.waiting--
	q.h.waited += q.h.now().Sub(q.begun)
}

// until waits for a reservation, and gives it back when the context ends first.
func (q *queueing) until(r *rate.Reservation) error {
	if d := r.DelayFrom(q.h.now()); r.OK() && d > 0 { // it is not when the limit was lowered this very moment
		q.begin()
		q.h.sleep(q.ctx, d)
	}
	if q.ctx.Err() != nil {
		r.CancelAt(q.h.now())
		return context.Cause(q.ctx)
	}
	return nil
}

// pause waits as long as the host wants to be left alone. It looks again afterwards: others may have been refused
// meanwhile.
func (q *queueing) pause() error {
	for {
		until, left := q.h.closedFor()
		switch {
		case left <= 0:
			return nil
		case left > longestWait:
			return &PausedError{Host: q.h.name, Until: until, Wait: left}
		}
		q.begin()
		q.h.sleep(q.ctx, left)
		if q.ctx.Err() != nil {
			return context.Cause(q.ctx)
		}
	}
}

// metered lets the bytes of a body pass no faster than the limit, and counts them. It reads in small pieces, so that the
// other side sees an even flow and not a burst each second.
type metered struct {
	io.ReadCloser
	ctx   context.Context
	h     *host
	way   *rate.Limiter
	count *atomic.Int64
}

func (h *host) metered(ctx context.Context, body io.ReadCloser, way *rate.Limiter, count *atomic.Int64) io.ReadCloser {
	return metered{ReadCloser: body, ctx: ctx, h: h, way: way, count: count}
}

func (m metered) Read(p []byte) (int, error) {
	limited := m.way.Limit() != rate.Inf
	if limited {
		p = p[:min(len(p), m.way.Burst())]
	}
	n, err := m.ReadCloser.Read(p)
	m.count.Add(int64(n))
	if limited && n > 0 {
		queue := queueing{h: m.h, ctx: m.ctx}
		defer queue.end()
		if ended := queue.until(m.way.ReserveN(m.h.now(), n)); ended != nil {
			return n, ended
		}
	}
	return n, err
}

func isWrite(method string) bool {
	return method != http.MethodGet && method != http.MethodHead
}
