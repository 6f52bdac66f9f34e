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

// TestWatchClock runs on synctest's clock: time passes at once, and only when everybody waits.
func TestWatchClock(t *testing.T) {
	cases := map[string]struct {
		story func(w *watch)
		want  error // nil when the request must still be alive at the end
	}{
		"nobody listens": {
			story: func(*watch) { time.Sleep(limit + 1) },
			want:  &NoAnswerError{After: limit},
		},
		"accepts and stays silent": {
			story: func(w *watch) { w.gotConnection(); time.Sleep(limit + 1) },
			want:  &NoAnswerError{After: limit, Connected: true},
		},
		"dialling and answering each have the full time": {
			story: func(w *watch) { time.Sleep(limit - 1); w.gotConnection(); time.Sleep(limit - 1) },
		},
		"the caller may take its time with the body": {
			story: func(w *watch) { w.gotConnection(); w.gotHeaders(); time.Sleep(time.Hour) },
		},
		"between the pieces of a download": {
			story: func(w *watch) {
				w.gotHeaders()
				_, _ = io.ReadAll(w.download(slowly(limit/sip, strings.Repeat("a", 2*sip))))
				time.Sleep(time.Hour)
			},
		},
		"a download that trickles": {
			story: func(w *watch) {
				w.gotConnection()
				w.gotHeaders()
				_, _ = io.ReadAll(w.download(slowly(limit/8, strings.Repeat("a", sip))))
			},
			want: &NoAnswerError{After: limit, Connected: true},
		},
		"a reader that takes its time between the pieces of a slow download": {
			story: func(w *watch) {
				w.gotConnection()
				w.gotHeaders()
				body := w.download(slowly(limit/10, "abcdefgh"))
				for range 8 {
					_, _ = body.Read(make([]byte, 1))
					time.Sleep(time.Hour)
				}
			},
		},
		"a download that stops flowing": {
			story: func(w *watch) {
				w.gotConnection()
				w.gotHeaders()
				_, _ = io.ReadAll(w.download(slowly(limit+1, "a")))
			},
			want: &NoAnswerError{After: limit, Connected: true},
		},
		"an upload that waits for its source": {
			story: func(w *watch) { w.gotConnection(); _, _ = io.ReadAll(&upload{w: w, body: slowly(time.Hour, "ab")}) },
		},
		"an upload that is not taken": {
			story: func(w *watch) {
				w.gotConnection()
				_, _ = (&upload{w: w, body: slowly(0, "ab")}).Read(make([]byte, 1))
				time.Sleep(limit + 1)
			},
			want: &NoAnswerError{After: limit, Connected: true},
		},
		"the commit of an upload may take long": {
			story: func(w *watch) {
				w.gotConnection()
				_, _ = io.ReadAll(&upload{w: w, body: slowly(0, "ab")})
				time.Sleep(commitPatience*limit - 1)
			},
		},
		"but not for ever": {
			story: func(w *watch) {
				w.gotConnection()
				_, _ = io.ReadAll(&upload{w: w, body: slowly(0, "ab")})
				time.Sleep(commitPatience*limit + 1)
			},
			want: &NoAnswerError{After: limit, Connected: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startWatch(t.Context(), limit)
				defer w.end()
				tc.story(w)
				synctest.Wait()
				if diff := cmp.Diff(tc.want, context.Cause(w.ctx)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestFinishedUploadIsNotReadAnyMore: its source may be at the disposal of the next request already.
func TestFinishedUploadIsNotReadAnyMore(t *testing.T) {
	w := startWatch(t.Context(), limit)
	defer w.end()
	source := strings.NewReader("abc")
	body := &upload{w: w, body: io.NopCloser(source)}
	if n, err := body.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	body.finish()
	if n, err := body.Read(make([]byte, 1)); n != 0 || err == nil || source.Len() != 2 {
		t.Errorf("read %d, %v; the source has %d bytes left", n, err, source.Len())
	}
}

// slowly gives one byte of text after each pause.
func slowly(pause time.Duration, text string) io.ReadCloser {
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

func TestWatchStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := watchStall(t.Context(), time.Minute)
		defer stop()
		for range 10 {
			time.Sleep(time.Minute - 1)
			progressOf(ctx)()
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
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sleep(ctx, time.Hour)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("slept %s", took)
		}
	})
}
