package mirror

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// commitPatience is how many timeouts a registry may take to answer once a whole upload has been sent: a large layer
// is put together and moved inside the object store before the answer comes.
const commitPatience = 10

// sip is how many bytes of a download must arrive within one timeout of the registry's time. Somebody who sends a byte
// every few seconds would otherwise hold a worker for days. 4 KiB in 30 s is slower than any link that pulls images.
const sip = 4 << 10

// watch cancels one request when the registry stays silent for too long. Its clock runs only while the registry is
// the one to move:
//
//	dialling, waiting for headers, waiting for the next 4 KiB of a download       the registry's time
//	the caller digests what it has read; an upload waits for the other registry  not its time, the clock stands still
//	a body waits for our own limit of bytes per second                            the same
type watch struct {
	limit     time.Duration
	timer     *time.Timer
	beat      func()
	connected atomic.Bool
	ctx       context.Context
	cancel    context.CancelCauseFunc
}

func startWatch(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit, beat: progressOf(ctx)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() {
		w.cancel(&NoAnswerError{After: limit, Connected: w.connected.Load()})
	})
	return w
}

// gotConnection restarts the clock: dialling and answering each get the full time.
func (w *watch) gotConnection() {
	w.connected.Store(true)
	w.timer.Reset(w.limit)
}

// gotHeaders stops the clock until somebody reads the body.
func (w *watch) gotHeaders() {
	w.timer.Stop()
	w.beat()
}

// why replaces "context canceled" by the reason for it.
func (w *watch) why(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// download is a response body on the registry's clock.
type download struct {
	w    *watch
	body io.ReadCloser
	left time.Duration // of the time for the next sip
	got  int           // of it
}

func (w *watch) download(body io.ReadCloser) *download {
	return &download{w: w, body: body, left: w.limit}
}

func (d *download) Read(p []byte) (int, error) {
	begun := time.Now()
	d.w.timer.Reset(max(d.left, 0))
	n, err := d.body.Read(p)
	d.w.timer.Stop()
	d.left -= time.Since(begun)
	if d.got += n; d.got >= sip {
		d.got, d.left = 0, d.w.limit
	}
	if n > 0 {
		d.w.beat()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // Read gives io.EOF itself at the end; a wrapped one is a failure
		err = d.w.why(err)
	}
	return n, err
}

func (d *download) Close() error {
	err := d.body.Close()
	d.w.end()
	return err
}

// upload is a request body: the clock stands still while the next piece is fetched from wherever it comes from.
type upload struct {
	w    *watch
	body io.ReadCloser

	mu   sync.Mutex
	over bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return 0, io.ErrClosedPipe
	}
	u.w.timer.Stop()
	n, err := u.body.Read(p)
	if n > 0 {
		u.w.beat()
	}
	limit := u.w.limit
	if err == io.EOF {
		limit *= commitPatience
	}
	u.w.timer.Reset(limit)
	return n, err
}

func (u *upload) Close() error { return u.body.Close() }

// finish waits for a Read under way and lets no other begin. A registry may answer before it has taken the whole body;
// net/http goes on reading it for a moment, while the caller begins to read the same source from its start for the next
// request.
func (u *upload) finish() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	u.w.timer.Stop()
}
