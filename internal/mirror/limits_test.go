package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/test/faultregistry"
)

// newTestTraffic is on a clock that whoever waits turns on: time passes at once.
func newTestTraffic() (*traffic, *clock) {
	c := newClock()
	t := newTraffic()
	t.now = c.Now
	t.sleep = func(_ context.Context, d time.Duration) { c.advance(d) }
	return t, c
}

// TestRequestRate runs on synctest's clock, as do the others here: time passes at once, and only
// when everybody waits.
func TestRequestRate(t *testing.T) {
	cases := map[string]struct {
		perSecond float64
		requests  int
		want      time.Duration // from the first to the last one
	}{
		"no limit":           {0, 1000, 0},
		"ten a second":       {10, 31, 3 * time.Second},
		"one in ten seconds": {0.1, 4, 30 * time.Second},
		"forty a second":     {40, 41, time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTraffic().forHost("quay.io", Limits{Requests: tc.perSecond})
				started := time.Now()
				for range tc.requests {
					leave, err := h.acquire(t.Context(), requestKind{})
					if err != nil {
						t.Fatal(err)
					}
					leave()
				}
				if took := time.Since(started).Round(time.Millisecond); took != tc.want {
					t.Errorf("took %s, want %s", took, tc.want)
				}
				if waited := h.stats().Waited.Round(time.Millisecond); waited != tc.want {
					t.Errorf("counted %s of waiting", waited)
				}
			})
		})
	}
}

func TestConcurrent(t *testing.T) {
	cases := map[string]struct {
		limit            int
		reads, writes    int
		wantNow, wantAll int
	}{
		"reads":                       {limit: 3, reads: 5, wantNow: 3, wantAll: 5},
		"writes count for themselves": {limit: 3, reads: 3, writes: 2, wantNow: 5, wantAll: 5},
		"the usual": {reads: defaultConcurrent + 1, wantNow: defaultConcurrent,
			wantAll: defaultConcurrent + 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTraffic().forHost("quay.io", Limits{Concurrent: tc.limit})
				var inside atomic.Int64
				release := make(chan struct{})
				for i := range tc.reads + tc.writes {
					go func() {
						leave, err := h.acquire(t.Context(), requestKind{write: i >= tc.reads})
						if err != nil {
							t.Error(err)
							return
						}
						inside.Add(1)
						<-release
						leave()
						leave() // once more does no harm
					}()
				}
				synctest.Wait()
				if got, waiting := int(inside.Load()), h.stats().Waiting; got != tc.wantNow ||
					waiting != tc.wantAll-tc.wantNow {
					t.Errorf("%d in progress and %d waiting, want %d of %d", got, waiting, tc.wantNow, tc.wantAll)
				}
				close(release)
				synctest.Wait()
				if got := int(inside.Load()); got != tc.wantAll {
					t.Errorf("%d got in after all, want %d", got, tc.wantAll)
				}
			})
		})
	}
}

// TestResumedDownloadsDoNotQueue: an upload holds its place while its download is resumed. Would
// the download queue, all of them could wait for one another.
func TestResumedDownloadsDoNotQueue(t *testing.T) {
	h := newTraffic().forHost("quay.io", Limits{Concurrent: 1})
	if _, err := h.acquire(t.Context(), requestKind{}); err != nil {
		t.Fatal(err)
	}
	leave, err := h.acquire(t.Context(), requestKind{resumed: true})
	if err != nil {
		t.Fatal(err)
	}
	leave()
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	stopped := errors.New("stopped")
	cases := map[string]func(h *hostTraffic){
		"for a place": func(h *hostTraffic) { _, _ = h.acquire(context.Background(), requestKind{}) },
		"for the rate": func(h *hostTraffic) {
			leave,
				_ := h.acquire(context.Background(), requestKind{})
			leave()
		},
		"for a pause's end": func(h *hostTraffic) { h.recordResponse(true, maxRetryWait) },
	}
	for name, occupy := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTraffic().forHost("quay.io", Limits{Concurrent: 1, Requests: 0.001})
				occupy(h)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stopped) })
				started := time.Now()
				if _, err := h.acquire(ctx, requestKind{}); !errors.Is(err, stopped) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(started); took != time.Second {
					t.Errorf("waited %s", took)
				}
				if waiting := h.stats().Waiting; waiting != 0 {
					t.Errorf("%d still wait", waiting)
				}
			})
		})
	}
}

// oneAtATime is a client with one place to read and one to write per host.
func oneAtATime() (*Client, *traffic) {
	all, _ := newTestTraffic()
	access := plainHTTP()
	one := func(string) Limits { return Limits{Concurrent: 1} }
	return newSplitClient(Accesses{Source: access, Push: access, Node: access, Limits: one, traffic: all}), all
}

// TestRedirectedDownloadsCount: most registries send a download on to an object store, and it is
// still one of theirs.
func TestRedirectedDownloadsCount(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	c, all := oneAtATime()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if places := all.hosts[source.host].readSlots; places.TryAcquire(1) {
			places.Release(1)
			t.Error("the download holds no place")
		}
		source.storage.ServeHTTP(w, r)
	}))
	t.Cleanup(store.Close)
	proxy := source.withFaults([]faultregistry.Fault{{Method: "GET", Path: "/blobs/",
		Respond: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, store.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}}})
	if _, err := c.Copy(t.Context(), []string{source.host + "/app:v1"}, target.host+"/app:v1",
		img.top.digest); err != nil {
		t.Fatal(err)
	}
	if count, _ := img.bytes(); proxy.Hits()[0] != count {
		t.Errorf("%d downloads, want %d", proxy.Hits()[0], count)
	}
}

// TestOneSlotIsEnough: with one request at a time, from a registry to itself and without mounts,
// every upload gets the download that it needs.
func TestOneSlotIsEnough(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	g.seed(t, "here/app", "v1", img)
	proxy := g.withFaults([]faultregistry.Fault{
		{Method: "POST", Query: "from=here", Respond: faultregistry.Error(405, "UNSUPPORTED", "no mounts")},
		{Method: "GET", Path: "^/v2/here/app/blobs/", Times: 2, Respond: faultregistry.CloseAfter(3)},
	})
	c, _ := oneAtATime()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if _, err := c.Copy(ctx, []string{g.host + "/here/app:v1"}, g.host+"/there/app:v1", img.top.digest); err != nil {
		t.Fatal(err)
	}
	if lacking := g.wrongContent("there/app", "v1", img); len(lacking) > 0 {
		t.Errorf("lacks %v", lacking)
	}
	if struck := proxy.Hits(); slices.Contains(struck, 0) {
		t.Errorf("faults that never struck: %v", struck)
	}
}

// TestResumedDownloadsDoNotQueueBehindOthers: its upload holds a place among the writers. Would it
// queue behind other downloads, they could wait for its upload's place and it for theirs, for ever.
func TestResumedDownloadsDoNotQueueBehindOthers(t *testing.T) {
	g := newTestRegistry(t)
	layer := layerOf("app")
	g.seed(t, "app", "v1", singleArch("app", "amd64", layer))
	all, _ := newTestTraffic()
	h := all.forHost(g.host, Limits{Concurrent: 1})
	client := &http.Client{Transport: &authTransport{next: http.DefaultTransport, timeout: testTimeout, host: h}}
	get := func(ctx context.Context) *http.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.host+"/v2/app/blobs/"+layer.digest, nil)
		if err != nil {
			t.Error(err)
			return nil
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return nil
		}
		return resp
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	one, _ := withOperationRecord(ctx)
	first := get(one)
	other := make(chan *http.Response)
	go func() {
		two, _ := withOperationRecord(ctx)
		other <- get(two)
	}()
	for h.stats().Waiting == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	_ = first.Body.Close()
	second := <-other // has the place, and keeps it
	rest := get(one)
	for _, resp := range []*http.Response{second, rest} {
		if resp != nil {
			_ = resp.Body.Close()
		}
	}
}

// TestBytesPerSecond: 10 KiB at 1 KiB a second pass evenly in 10 seconds.
func TestBytesPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTraffic().forHost("quay.io", Limits{Bytes: 1 << 10})
		body := h.limitBody(t.Context(), io.NopCloser(strings.NewReader(strings.Repeat("x", 10<<10))), h.downloadRate,
			&h.received)
		started := time.Now()
		var arrivals []time.Duration
		buffer := make([]byte, 32<<10)
		for {
			n, err := body.Read(buffer)
			if n > 0 {
				arrivals = append(arrivals, time.Since(started).Round(10*time.Millisecond))
			}
			if err != nil {
				break
			}
		}
		var want []time.Duration
		for i := range 10 {
			want = append(want, time.Duration(i+1)*time.Second)
		}
		if diff := cmp.Diff(want, arrivals); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := h.stats(); got.Received != 10<<10 || got.Sent != 0 {
			t.Errorf("counted %d received and %d sent", got.Received, got.Sent)
		}
	})
}

// TestLimitsChange: what the user sets applies to a host that is known already.
func TestLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newTraffic()
		admit := func(h *hostTraffic, times int) time.Duration {
			started := time.Now()
			for range times {
				leave, err := h.acquire(t.Context(), requestKind{})
				if err != nil {
					t.Fatal(err)
				}
				leave()
			}
			return time.Since(started).Round(time.Millisecond)
		}
		if took := admit(all.forHost("quay.io", Limits{}), 5); took != 0 {
			t.Errorf("without limits it took %s", took)
		}
		if took := admit(all.forHost("quay.io", Limits{Requests: 1}), 5); took < 4*time.Second {
			t.Errorf("with one request a second it took %s", took)
		}
		if took := admit(all.forHost("quay.io", Limits{}), 5); took != 0 {
			t.Errorf("without limits again it took %s", took)
		}
	})
}

// TestHostBackoff: what hosts say, and for how long nobody asks them then.
func TestHostBackoff(t *testing.T) {
	type word struct {
		limited bool
		asked   time.Duration
	}
	refusal := word{limited: true}
	cases := map[string]struct {
		words []word // each after the pause of the one before
		want  time.Duration
	}{
		"well":                        {[]word{{}}, 0},
		"a pause of its own":          {[]word{{true, 3 * time.Second}}, 3 * time.Second},
		"a success with nothing left": {[]word{{false, 3 * time.Second}}, 3 * time.Second},
		"the first refusal":           {[]word{refusal}, initialHostBackoff},
		"the third in a row":          {[]word{refusal, refusal, refusal}, 4 * initialHostBackoff},
		"the tenth in a row": {[]word{refusal, refusal, refusal, refusal, refusal, refusal, refusal,
			refusal, refusal, refusal}, maxGuessedBackoff},
		"a refusal after a success":       {[]word{refusal, refusal, {}, refusal}, initialHostBackoff},
		"longer than anybody should wait": {[]word{{true, 1000 * time.Hour}}, maxHostBackoff},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			all, clock := newTestTraffic()
			h := all.forHost("quay.io", Limits{})
			for i, w := range tc.words {
				h.recordResponse(w.limited, w.asked)
				if _, left := h.backoffLeft(); i < len(tc.words)-1 {
					clock.advance(max(left, 0))
				}
			}
			if _, left := h.backoffLeft(); max(left, 0) != tc.want {
				t.Errorf("paused for %s, want %s", left, tc.want)
			}
		})
	}
}

// TestRefusalsAtTheSameTime count as one: sixteen requests that were in progress together say the
// same thing.
func TestRefusalsAtTheSameTime(t *testing.T) {
	all, _ := newTestTraffic()
	h := all.forHost("quay.io", Limits{})
	for range 16 {
		h.recordResponse(true, 0)
	}
	if _, left := h.backoffLeft(); left != initialHostBackoff {
		t.Errorf("paused for %s, want %s", left, initialHostBackoff)
	}
	h.recordResponse(true, time.Second)
	h.recordResponse(true, 2*initialHostBackoff-1)
	if _, left := h.backoffLeft(); left != time.Second {
		t.Errorf("paused for %s, want the longest that was asked for", left)
	}
}

// TestWatchdogPausesWhileWaiting: an image that we hold back ourselves does not stall, for however
// long that takes.
func TestWatchdogPausesWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := withWatchdog(t.Context(), time.Minute)
		defer stop()
		h := newTraffic().forHost("quay.io", Limits{Requests: 0.001})
		for range 3 { // the second and the third wait for 1000 s each
			leave, err := h.acquire(ctx, requestKind{})
			if err != nil {
				t.Fatal(err)
			}
			leave()
		}
		time.Sleep(time.Minute + 1)
		synctest.Wait()
		if context.Cause(ctx) == nil {
			t.Error("the clock has not begun to run again")
		}
	})
}
