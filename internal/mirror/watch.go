package mirror

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// commitPatience is how many timeouts a registry may take to answer once a whole upload has been sent: a large layer
// is put together and moved inside the object store before the answer comes.
const commitPatience = 10

// watch cancels one request when the registry stays silent for too long. Its clock runs only while the registry is
// the one to move:
//
//	dialling, waiting for headers, waiting for the next piece of a download    the registry's time
//	the caller digests what it has read; an upload waits for the other registry  not its time, the clock stands still
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
}

func (d download) Read(p []byte) (int, error) {
	d.w.timer.Reset(d.w.limit)
	n, err := d.body.Read(p)
	d.w.timer.Stop()
	if n > 0 {
		d.w.beat()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // Read gives io.EOF itself at the end; a wrapped one is a failure
		err = d.w.why(err)
	}
	return n, err
}

func (d download) Close() error {
	err := d.body.Close()
	d.w.end()
	return err
}

// upload is a request body: the clock stands still while the next piece is fetched from wherever it comes from.
type upload struct {
	w    *watch
	body io.ReadCloser
}

func (u upload) Read(p []byte) (int, error) {
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

func (u upload) Close() error { return u.body.Close() }
