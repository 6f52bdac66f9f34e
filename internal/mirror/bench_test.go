package mirror

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/types/ref"
	"golang.org/x/time/rate"
)

// corpus is a set of images that share base images, and its distinct bytes.
type corpus struct {
	names  []string
	images []image
	unique int64
}

// newCorpus makes n images on 5 bases of 5 layers each, with 2 layers and a config of their own.
// Two fifths of the bytes are bases.
func newCorpus(n int, unique int64) corpus {
	random := rand.New(rand.NewPCG(1, 2)) // the same bytes each time
	layer := func(size int64) content {
		raw := make([]byte, size)
		for i := 0; i+8 <= len(raw); i += 8 {
			for k, word := 0, random.Uint64(); k < 8; k++ {
				raw[i+k] = byte(word >> (8 * k))
			}
		}
		return newContent(layerType, raw)
	}
	const bases, depth = 5, 5
	base := make([][]content, bases)
	for b := range base {
		for l := range int64(depth) { // 1:2:3:4:5
			base[b] = append(base[b], layer(unique*2/5/bases*(l+1)/15))
		}
	}
	var c corpus
	seen := map[string]bool{}
	for i := range n {
		own := unique * 3 / 5 / int64(n)
		layers := append(append([]content(nil), base[i%bases]...), layer(own*4/5), layer(own/5))
		img := singleArch(fmt.Sprintf("app%d", i), "amd64", layers...)
		c.names, c.images = append(c.names, fmt.Sprintf("acme/app%d", i)), append(c.images, img)
		for _, b := range img.blobs {
			if !seen[b.digest] {
				seen[b.digest] = true
				c.unique += int64(len(b.raw))
			}
		}
	}
	return c
}

// link is a network between a client and a registry: a round trip for each request, and a rate for
// all bodies together, each way.
type slowLink struct {
	roundTrip          time.Duration
	down, up           *rate.Limiter
	requests, uploaded atomic.Int64
	mu                 sync.Mutex
	byMethod           map[string]int
}

func newSlowLink(roundTrip time.Duration, bytesPerSecond float64) *slowLink {
	limiter := func() *rate.Limiter {
		if bytesPerSecond == 0 {
			return rate.NewLimiter(rate.Inf, 0)
		}
		return rate.NewLimiter(rate.Limit(bytesPerSecond), 1<<20)
	}
	return &slowLink{roundTrip: roundTrip, down: limiter(), up: limiter(), byMethod: map[string]int{}}
}

func (l *slowLink) around(storage http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.requests.Add(1)
		l.mu.Lock()
		l.byMethod[r.Method]++
		l.mu.Unlock()
		time.Sleep(l.roundTrip)
		r.Body = &shapedBody{ReadCloser: r.Body, limit: l.up, count: &l.uploaded}
		storage.ServeHTTP(&shapedWriter{ResponseWriter: w, limit: l.down}, r)
	})
}

type shapedBody struct {
	io.ReadCloser
	limit *rate.Limiter
	count *atomic.Int64
}

func (b *shapedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 64<<10)])
	b.count.Add(int64(n))
	_ = b.limit.WaitN(context.Background(), n)
	return n, err
}

type shapedWriter struct {
	http.ResponseWriter
	limit *rate.Limiter
}

func (w *shapedWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		var n int
		piece := p[:min(len(p), 64<<10)]
		_ = w.limit.WaitN(context.Background(), len(piece))
		n, err = w.ResponseWriter.Write(piece)
		written, p = written+n, p[n:]
	}
	return written, err
}

// since tells what has passed.
func (l *slowLink) since(started time.Time) benchRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	return benchRun{time.Since(started), l.requests.Load(), l.uploaded.Load(), fmt.Sprint(l.byMethod)}
}

// benchRun is one tool's copy of a corpus to an empty registry.
type benchRun struct {
	wall     time.Duration
	requests int64
	uploaded int64
	methods  string
}

func (c corpus) run(b *testing.B, roundTrip time.Duration, bytesPerSecond float64,
	copyAll func(source, target string, link *slowLink) benchRun) benchRun {
	b.Helper()
	source, target := benchRegistry(b), benchRegistry(b)
	for i, img := range c.images {
		source.seedBench(b, c.names[i], img)
	}
	// One link for both: its requests are counted together, and each direction has the whole rate.
	link := newSlowLink(roundTrip, bytesPerSecond)
	source.wrap(link.around)
	target.wrap(link.around)
	return copyAll(source.host, target.host, link)
}

func benchRegistry(b *testing.B) *testRegistry {
	b.Helper()
	g := newUnstartedRegistry(b)
	g.server.Start()
	g.host = strings.TrimPrefix(g.server.URL, "http://")
	return g
}

func (g *testRegistry) seedBench(b *testing.B, repo string, img image) {
	b.Helper()
	for _, blob := range img.blobs {
		g.must(b, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+blob.digest, "application/octet-stream",
			blob.raw)
	}
	g.must(b, http.MethodPut, "/v2/"+repo+"/manifests/v1", img.top.mediaType, img.top.raw)
}

// withEngine copies and proves a corpus with the engine.
func (c corpus) withEngine(b *testing.B, again func(client *Client, jobs []Job)) func(source, target string,
	link *slowLink) benchRun {
	return func(source, target string, link *slowLink) benchRun {
		started := time.Now()
		client := NewClient(Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP()})
		var jobs []Job
		for _, name := range c.names {
			from, to := source+"/"+name+":v1", target+"/"+name+":v1"
			jobs = append(jobs, Job{Reference: "quay.io/" + name + ":v1", Sources: []string{from},
				Targets: []string{to}, PullEndpoints: []string{to}})
		}
		verifyAll(b, client, jobs)
		cold := link.since(started)
		again(client, jobs)
		return cold
	}
}

func verifyAll(b *testing.B, client *Client, jobs []Job) {
	b.Helper()
	e := NewEngine(EngineOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	e.Ensure(client, jobs, time.Time{})
	for range e.Changed() {
		done := 0
		for _, r := range e.Snapshot() {
			switch r.State {
			case Verified:
				done++
			case Failed:
				b.Fatal(r.Err)
			case Queued, Running:
			}
		}
		if done == len(jobs) {
			return
		}
	}
}

// withRegclient copies a corpus with regclient's ImageCopy as it is, 4 images at a time.
func (c corpus) withRegclient(b *testing.B) func(source, target string, link *slowLink) benchRun {
	return func(source, target string, link *slowLink) benchRun {
		started := time.Now()
		rc := regclient.New(regclient.WithConfigHost(
			config.Host{Name: source, TLS: config.TLSDisabled}, config.Host{Name: target, TLS: config.TLSDisabled},
		))
		var workers sync.WaitGroup
		next := make(chan string)
		for range 4 {
			workers.Go(func() {
				for name := range next {
					from, _ := ref.New(source + "/" + name + ":v1")
					to, _ := ref.New(target + "/" + name + ":v1")
					if err := rc.ImageCopy(context.Background(), from, to); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for _, name := range c.names {
			next <- name
		}
		close(next)
		workers.Wait()
		return link.since(started)
	}
}

// BenchmarkCopyCorpus copies and proves 60 images on 5 shared bases, beside regclient's own copy of
// the same images, without a proof, in the same run:
//
//	go test -run - -bench CopyCorpus -benchtime 1x ./internal/mirror
//
// The floor of the wall time is the distinct bytes over the rate of the link.
func BenchmarkCopyCorpus(b *testing.B) {
	for _, tc := range []struct {
		name      string
		unique    int64
		roundTrip time.Duration
		rate      float64
	}{
		{"25MB/loopback", 25e6, 0, 0},
		{"25MB/20ms", 25e6, 20 * time.Millisecond, 0},
		{"250MB/0ms,400Mbit", 250e6, 0, 50e6},
		{"250MB/20ms,400Mbit", 250e6, 20 * time.Millisecond, 50e6},
	} {
		b.Run(tc.name, func(b *testing.B) {
			if testing.Short() && tc.rate > 0 {
				b.Skip("takes 10 s")
			}
			c := newCorpus(60, tc.unique)
			for b.Loop() {
				b.StopTimer()
				theirs := c.run(b, 0, 0, c.withRegclient(b))
				b.StartTimer()
				var again time.Duration
				ours := c.run(b, tc.roundTrip, tc.rate, c.withEngine(b, func(client *Client, jobs []Job) {
					started := time.Now()
					verifyAll(b, client.WithAccesses(Accesses{Source: plainHTTP(), Push: plainHTTP(),
						Node: plainHTTP()}), jobs)
					again = time.Since(started)
				}))
				b.StopTimer()
				b.ReportMetric(again.Seconds(), "warm-wall-s")
				b.ReportMetric(ours.wall.Seconds(), "wall-s")
				b.ReportMetric(theirs.wall.Seconds(), "regclient-wall-s")
				b.ReportMetric(float64(ours.uploaded)/float64(c.unique), "bytes/unique")
				b.ReportMetric(float64(ours.requests)/float64(theirs.requests), "requests/regclient")
				b.ReportMetric(float64(ours.requests)/float64(len(c.images)), "requests/image")
				b.Logf("ours %s, regclient %s", ours.methods, theirs.methods)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkSnapshot takes the snapshot of 10,000 jobs.
func BenchmarkSnapshot(b *testing.B) {
	e := NewEngine(EngineOptions{})
	var jobs []Job
	for i := range 10000 {
		jobs = append(jobs, Job{Reference: fmt.Sprintf("quay.io/acme/app%d:v1", i)})
	}
	e.Ensure(newTestClient(plainHTTP()), jobs, time.Time{})
	for b.Loop() {
		if len(e.Snapshot()) != len(jobs) {
			b.Fatal("not all there")
		}
	}
}

// BenchmarkEnsure wants the same 10,000 jobs again, as every reconcile does.
func BenchmarkEnsure(b *testing.B) {
	e := NewEngine(EngineOptions{})
	var jobs []Job
	for i := range 10000 {
		reference := fmt.Sprintf("quay.io/acme/app%d:v1", i)
		jobs = append(jobs, Job{Reference: reference, Sources: []string{reference},
			Targets: []string{"mirror.example.com/" + reference}})
	}
	c := newTestClient(plainHTTP())
	for b.Loop() {
		e.Ensure(c, jobs, time.Time{})
	}
}
