package mirror

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// commitTimeoutFactor is how many timeouts a registry may take to answer once a whole upload has
// been sent: a large layer is put together and moved inside the object store before the answer
// comes.
const commitTimeoutFactor = 10

// minDownloadBytes is how many bytes of a download must arrive within one timeout of the registry's
// time. Somebody who sends a byte every few seconds would otherwise hold a worker for days. 4 KiB
// in 30 s is slower than any link that pulls images.
const minDownloadBytes = 4 << 10

// idleTimeout cancels one request when the registry stays silent for too long. Its clock runs only
// while the registry is the one to move:
//
//	dialling, waiting for headers, waiting for the next 4 KiB of a download       the registry's time
//	the caller digests what it has read; an upload waits for the other registry  not its time, the clock stands still
//	a body waits for our own limit of bytes per second                            the same
type idleTimeout struct {
	timeout    time.Duration
	timer      *time.Timer
	onProgress func()
	connected  atomic.Bool
	ctx        context.Context
	cancel     context.CancelCauseFunc
}

func startIdleTimeout(ctx context.Context, limit time.Duration) *idleTimeout {
	w := &idleTimeout{timeout: limit, onProgress: progressFunc(ctx)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() {
		w.cancel(&NoResponseError{After: limit, Connected: w.connected.Load()})
	})
	return w
}

// onConnected restarts the clock: dialling and answering each get the full time.
func (w *idleTimeout) onConnected() {
	w.connected.Store(true)
	w.timer.Reset(w.timeout)
}

// onHeaders stops the clock until somebody reads the body.
func (w *idleTimeout) onHeaders() {
	w.timer.Stop()
	w.onProgress()
}

// causeOf replaces "context canceled" by the reason for it.
func (w *idleTimeout) causeOf(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

func (w *idleTimeout) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// downloadBody is a response body on the registry's clock.
type downloadBody struct {
	idle      *idleTimeout
	body      io.ReadCloser
	remaining time.Duration // of the time for the next sip
	received  int           // of it
}

func (w *idleTimeout) downloadBody(body io.ReadCloser) *downloadBody {
	return &downloadBody{idle: w, body: body, remaining: w.timeout}
}

func (d *downloadBody) Read(p []byte) (int, error) {
	started := time.Now()
	d.idle.timer.Reset(max(d.remaining, 0))
	n, err := d.body.Read(p)
	d.idle.timer.Stop()
	d.remaining -= time.Since(started)
	if d.received += n; d.received >= minDownloadBytes {
		d.received, d.remaining = 0, d.idle.timeout
	}
	if n > 0 {
		d.idle.onProgress()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // Read gives io.EOF itself at the end; a wrapped one is a failure
		err = d.idle.causeOf(err)
	}
	return n, err
}

func (d *downloadBody) Close() error {
	err := d.body.Close()
	d.idle.stop()
	return err
}

// uploadBody is a request body: the clock stands still while the next piece is fetched from
// wherever it comes from.
type uploadBody struct {
	idle *idleTimeout
	body io.ReadCloser

	mu       sync.Mutex
	finished bool
}

func (u *uploadBody) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.finished {
		return 0, io.ErrClosedPipe
	}
	u.idle.timer.Stop()
	n, err := u.body.Read(p)
	if n > 0 {
		u.idle.onProgress()
	}
	limit := u.idle.timeout
	if err == io.EOF {
		limit *= commitTimeoutFactor
	}
	u.idle.timer.Reset(limit)
	return n, err
}

func (u *uploadBody) Close() error { return u.body.Close() }

// finish waits for a Read in progress and lets no other begin. A registry may answer before it has
// taken the whole body; net/http goes on reading it for a moment, while the caller begins to read
// the same source from its start for the next request.
func (u *uploadBody) finish() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.finished = true
	u.idle.timer.Stop()
}
