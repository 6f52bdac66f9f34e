package mirror

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const limit = 30 * time.Second

// TestIdleTimeout runs on synctest's clock: time passes at once, and only when everybody waits.
func TestIdleTimeout(t *testing.T) {
	cases := map[string]struct {
		steps func(w *idleTimeout)
		want  error // nil when the request must still be alive at the end
	}{
		"nobody listens": {
			steps: func(*idleTimeout) { time.Sleep(limit + 1) },
			want:  &NoResponseError{After: limit},
		},
		"accepts and stays silent": {
			steps: func(w *idleTimeout) { w.onConnected(); time.Sleep(limit + 1) },
			want:  &NoResponseError{After: limit, Connected: true},
		},
		"dialling and answering each have the full time": {
			steps: func(w *idleTimeout) { time.Sleep(limit - 1); w.onConnected(); time.Sleep(limit - 1) },
		},
		"the caller may take its time with the body": {
			steps: func(w *idleTimeout) { w.onConnected(); w.onHeaders(); time.Sleep(time.Hour) },
		},
		"between the pieces of a download": {
			steps: func(w *idleTimeout) {
				w.onHeaders()
				_, _ = io.ReadAll(w.downloadBody(slowReadCloser(limit/minDownloadBytes,
					strings.Repeat("a", 2*minDownloadBytes))))
				time.Sleep(time.Hour)
			},
		},
		"a download that trickles": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				w.onHeaders()
				_, _ = io.ReadAll(w.downloadBody(slowReadCloser(limit/8, strings.Repeat("a", minDownloadBytes))))
			},
			want: &NoResponseError{After: limit, Connected: true},
		},
		"a reader that takes its time between the pieces of a slow download": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				w.onHeaders()
				body := w.downloadBody(slowReadCloser(limit/10, "abcdefgh"))
				for range 8 {
					_, _ = body.Read(make([]byte, 1))
					time.Sleep(time.Hour)
				}
			},
		},
		"a download that stops flowing": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				w.onHeaders()
				_, _ = io.ReadAll(w.downloadBody(slowReadCloser(limit+1, "a")))
			},
			want: &NoResponseError{After: limit, Connected: true},
		},
		"an upload that waits for its source": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				_, _ = io.ReadAll(&uploadBody{idle: w, body: slowReadCloser(time.Hour, "ab")})
			},
		},
		"an upload that is not taken": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				_, _ = (&uploadBody{idle: w, body: slowReadCloser(0, "ab")}).Read(make([]byte, 1))
				time.Sleep(limit + 1)
			},
			want: &NoResponseError{After: limit, Connected: true},
		},
		"the commit of an upload may take long": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				_, _ = io.ReadAll(&uploadBody{idle: w, body: slowReadCloser(0, "ab")})
				time.Sleep(commitTimeoutFactor*limit - 1)
			},
		},
		"but not for ever": {
			steps: func(w *idleTimeout) {
				w.onConnected()
				_, _ = io.ReadAll(&uploadBody{idle: w, body: slowReadCloser(0, "ab")})
				time.Sleep(commitTimeoutFactor*limit + 1)
			},
			want: &NoResponseError{After: limit, Connected: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startIdleTimeout(t.Context(), limit)
				defer w.stop()
				tc.steps(w)
				synctest.Wait()
				if diff := cmp.Diff(tc.want, context.Cause(w.ctx)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestFinishedUploadIsNotReadAnyMore: its source may be at the disposal of the next request
// already.
func TestFinishedUploadIsNotReadAnyMore(t *testing.T) {
	w := startIdleTimeout(t.Context(), limit)
	defer w.stop()
	source := strings.NewReader("abc")
	body := &uploadBody{idle: w, body: io.NopCloser(source)}
	if n, err := body.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	body.finish()
	if n, err := body.Read(make([]byte, 1)); n != 0 || err == nil || source.Len() != 2 {
		t.Errorf("read %d, %v; the source has %d bytes left", n, err, source.Len())
	}
}

// slowReadCloser gives one byte of text after each pause.
func slowReadCloser(pause time.Duration, text string) io.ReadCloser {
	return io.NopCloser(&slowReader{pause, text})
}

type slowReader struct {
	pause time.Duration
	text  string
}

func (s *slowReader) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:1], s.text)
	s.text = s.text[n:]
	return n, nil
}

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := withWatchdog(t.Context(), time.Minute)
		defer stop()
		for range 10 {
			time.Sleep(time.Minute - 1)
			progressFunc(ctx)()
		}
		if ctx.Err() != nil {
			t.Fatalf("ended in spite of progress: %v", context.Cause(ctx))
		}
		time.Sleep(time.Minute + 1)
		synctest.Wait()
		var stalled *StalledError
		if !errors.As(context.Cause(ctx), &stalled) || stalled.After != time.Minute {
			t.Errorf("cause %v", context.Cause(ctx))
		}
	})
}

func TestSleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sleep(ctx, time.Hour)
		if took := time.Since(started); took != time.Second {
			t.Errorf("slept %s", took)
		}
	})
}
