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

// requestKind is what a request wants to be let in as.
type requestKind struct {
	write bool
	// again: the operation has been let in before and has begun to read; it does not queue a second
	// time. An upload whose download breaks holds its place among the writers while it asks for the
	// rest.
	resumed bool
	// onward: a redirect leads on to another server, which the registry's request rate is not
	// about.
	redirected bool
}

// acquire waits until a request may be sent: for a place among those in progress, for the request
// rate, and for the end of the pause that the host asked for. The error is a *HostBackoffError when
// that pause is longer than an image should wait, or the cause of the context's end. leave must be
// called when the request is over, body included; more than once is fine.
//
// The time spent here is our own doing: no registry is called silent for it, and no image stalled.
func (h *hostTraffic) acquire(ctx context.Context, a requestKind) (release func(), err error) {
	queue := &queuedRequest{h: h, ctx: ctx}
	defer queue.endWait()
	release = func() {}
	if !a.resumed {
		slots := h.slotsFor(a.write)
		if !slots.TryAcquire(1) {
			queue.startWait()
			if err := slots.Acquire(ctx, 1); err != nil {
				return nil, context.Cause(ctx)
			}
		}
		var once sync.Once
		release = func() { once.Do(func() { slots.Release(1) }) }
	}
	if !a.redirected {
		err = queue.waitForReservation(h.requestRate.ReserveN(h.now(), 1))
	}
	if err == nil {
		err = queue.waitForBackoff()
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (h *hostTraffic) slotsFor(write bool) *semaphore.Weighted {
	h.mu.Lock()
	defer h.mu.Unlock()
	if write {
		return h.writeSlots
	}
	return h.readSlots
}

// queuedRequest is one request's way through admit. It notes how long it waited once it has to wait
// at all.
type queuedRequest struct {
	h              *hostTraffic
	ctx            context.Context
	waitStart      time.Time
	resumeWatchdog func()
}

func (q *queuedRequest) startWait() {
	if q.resumeWatchdog != nil {
		return
	}
	q.waitStart, q.resumeWatchdog = q.h.now(), pauseWatchdog(q.ctx)
	q.h.mu.Lock()
	defer q.h.mu.Unlock()
	q.h.waiting++
}

func (q *queuedRequest) endWait() {
	if q.resumeWatchdog == nil {
		return
	}
	q.resumeWatchdog()
	q.h.mu.Lock()
	defer q.h.mu.Unlock()
	q.h.waiting--
	q.h.waited += q.h.now().Sub(q.waitStart)
}

// waitForReservation waits for a reservation, and gives it back when the context ends first.
func (q *queuedRequest) waitForReservation(r *rate.Reservation) error {
	if d := r.DelayFrom(q.h.now()); r.OK() && d > 0 { // it is not when the limit was lowered this very moment
		q.startWait()
		q.h.sleep(q.ctx, d)
	}
	if q.ctx.Err() != nil {
		r.CancelAt(q.h.now())
		return context.Cause(q.ctx)
	}
	return nil
}

// waitForBackoff waits as long as the host wants to be left alone. It looks again afterwards:
// others may have been refused meanwhile.
func (q *queuedRequest) waitForBackoff() error {
	for {
		until, left := q.h.backoffLeft()
		switch {
		case left <= 0:
			return nil
		case left > maxRetryWait:
			return &HostBackoffError{Host: q.h.name, Until: until, Wait: left}
		}
		q.startWait()
		q.h.sleep(q.ctx, left)
		if q.ctx.Err() != nil {
			return context.Cause(q.ctx)
		}
	}
}

// limitedBody lets the bytes of a body pass no faster than the limit, and counts them. It reads in
// small pieces, so that the other side sees an even flow and not a burst each second.
type limitedBody struct {
	io.ReadCloser
	ctx     context.Context
	h       *hostTraffic
	limiter *rate.Limiter
	count   *atomic.Int64
}

func (h *hostTraffic) limitBody(ctx context.Context, body io.ReadCloser, limiter *rate.Limiter,
	count *atomic.Int64) io.ReadCloser {
	return limitedBody{ReadCloser: body, ctx: ctx, h: h, limiter: limiter, count: count}
}

func (m limitedBody) Read(p []byte) (int, error) {
	limited := m.limiter.Limit() != rate.Inf
	if limited {
		p = p[:min(len(p), m.limiter.Burst())]
	}
	n, err := m.ReadCloser.Read(p)
	m.count.Add(int64(n))
	if limited && n > 0 {
		queue := queuedRequest{h: m.h, ctx: m.ctx}
		defer queue.endWait()
		if ended := queue.waitForReservation(m.limiter.ReserveN(m.h.now(), n)); ended != nil {
			return n, ended
		}
	}
	return n, err
}

func isWrite(method string) bool {
	return method != http.MethodGet && method != http.MethodHead
}
