package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// testTimeout bounds how long a test waits for something that is certain to come.
const testTimeout = 20 * time.Second

type runningEngine struct {
	*Engine
	t     *testing.T
	clock *clock
	stop  func() // ends Start and waits for it
}

func startEngine(t *testing.T, opts EngineOptions) *runningEngine {
	t.Helper()
	c := newClock()
	opts.Now, opts.After = c.Now, c.After
	e := NewEngine(opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Start(ctx) }()
	stopped := false
	r := &runningEngine{Engine: e, t: t, clock: c, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
	}}
	t.Cleanup(r.stop)
	return r
}

// until waits for the results to satisfy a condition, driven by Changed alone.
func (r *runningEngine) until(what string, condition func(map[string]Result) bool) map[string]Result {
	r.t.Helper()
	timeout := time.After(testTimeout)
	for {
		results := r.Snapshot()
		if condition(results) {
			return results
		}
		select {
		case <-r.Changed():
		case <-timeout:
			r.t.Fatalf("never %s: %+v", what, results)
		}
	}
}

func (r *runningEngine) untilState(reference string, state State) Result {
	r.t.Helper()
	return r.until(reference+" "+string(state), func(results map[string]Result) bool {
		return results[reference].State == state
	})[reference]
}

// jobFor copies source/name:v1 to target/name:v1 and walks the target and then the source.
func jobFor(source, target *testRegistry, name string) Job {
	from, to := source.host+"/"+name+":v1", target.host+"/"+name+":v1"
	return Job{Reference: "quay.io/acme/" + name + ":v1", Sources: []string{from}, Targets: []string{to},
		PullEndpoints: []string{to, from}}
}

func TestEngineFillsAndProves(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	_, size := img.bytes()
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	job.RequiredPlatforms = []string{"linux/amd64"}
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	got := e.untilState(job.Reference, Verified)
	want := Result{
		Reference: job.Reference, Key: job.Key(), State: Verified, Digest: img.top.digest, Attempts: 1,
		At:           e.clock.Now(),
		SourceDigest: img.top.digest, NeededBytes: size, UploadedBytes: size,
		Proof: Proof{
			Endpoint: job.PullEndpoints[0], Digest: img.top.digest, Digests: img.digests(), MediaType: indexType,
			At: e.clock.Now(),
		},
		Copies: []CopyResult{{From: job.Sources[0], To: job.Targets[0], Digest: img.top.digest, Bytes: size,
			Pushed: true}},
	}
	if diff := cmp.Diff(want, got,
		cmpopts.IgnoreFields(Proof{}, "Platforms", "Blobs", "Bytes", "SlowestResponse")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEngineDoesNotCopyWhatIsProven(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	target.seed(t, "app", "v1", img)
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	got := e.untilState(job.Reference, Verified)
	if len(got.Copies) != 0 || len(target.requests("POST ")) != 0 || len(source.requests("/blobs/")) != 0 {
		t.Errorf("copied %v, wrote %v, read %v", got.Copies, target.requests("POST "), source.requests("/blobs/"))
	}
}

func TestEngineRepairsADamagedMirror(t *testing.T) {
	img := multiArch("app")
	for name, tc := range damages(img) {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			target.seed(t, "app", "v1", img)
			tc.damage(t, target, "app")
			e := startEngine(t, EngineOptions{})
			job := jobFor(source, target, "app")
			e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
			if got := e.untilState(job.Reference, Verified); got.Proof.Endpoint != job.PullEndpoints[0] {
				t.Errorf("proven at %s", got.Proof.Endpoint)
			}
		})
	}
}

func TestEngineAsksADeadMirrorOnce(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	target.respondWith("", "/manifests/", 500, "")
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	got := e.untilState(job.Reference, Failed)
	assertError(t, got.Err, wantError{Unknown, job.Targets[0], "manifest"})
	if asked := target.requests("/manifests/"); len(asked) != maxAttempts {
		t.Errorf("asked %v", asked)
	}
}

func TestEngineVerifyOnlyReportsAndDoesNotWrite(t *testing.T) {
	img := multiArch("app")
	for name, tc := range damages(img) {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			target.seed(t, "app", "v1", img)
			tc.damage(t, target, "app")
			e := startEngine(t, EngineOptions{})
			job := jobFor(source, target, "app")
			job.Targets = nil
			e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
			got := e.untilState(job.Reference, Failed)
			assertError(t, got.Err, wantError{tc.class, job.PullEndpoints[0], tc.part})
			if wrote := append(target.requests("PUT "), target.requests("POST ")...); len(wrote) > 0 {
				t.Errorf("wrote %v", wrote)
			}
		})
	}
}

func TestEngineEnsureIsIdempotent(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job}, time.Time{})
	before := e.untilState(job.Reference, Verified)
	for len(e.Changed()) > 0 {
		<-e.Changed()
	}
	source.resetRequests()
	target.resetRequests()
	for range 3 {
		e.Ensure(c, []Job{job, job}, before.At)
	}
	if diff := cmp.Diff(before, e.Snapshot()[job.Reference]); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if len(e.Changed()) != 0 {
		t.Error("announced a change though nothing changed")
	}
	e.stop()
	if asked := append(source.requests(""), target.requests("")...); len(asked) > 0 {
		t.Errorf("asked again: %v", asked)
	}
}

func TestEngineRetriesAfterItsBackoff(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job}, time.Time{})
	for attempt, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		got := e.until("failed again", func(results map[string]Result) bool {
			return results[job.Reference].State == Failed && results[job.Reference].Attempts == attempt+1
		})[job.Reference]
		assertError(t, got.Err, wantError{Missing, job.Sources[0], "manifest"})
		if due := got.RetryAt.Sub(e.clock.Now()); due != wait {
			t.Fatalf("attempt %d is followed by a pause of %s, want %s", attempt+1, due, wait)
		}
		e.Ensure(c, []Job{job}, time.Time{}) // does not cut the pause short
		if state := e.Snapshot()[job.Reference].State; state != Failed {
			t.Fatalf("Ensure made it %s", state)
		}
		if attempt == 2 {
			source.seed(t, "app", "v1", multiArch("app"))
		}
		<-e.clock.armed
		e.clock.advance(wait)
	}
	got := e.untilState(job.Reference, Verified)
	if got.Err != nil || !got.RetryAt.IsZero() || got.Attempts != 4 {
		t.Errorf("after success: %+v", got)
	}
}

func TestEngineWaitsAsLongAsTheRegistryAsks(t *testing.T) {
	target := newTestRegistry(t)
	target.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" {
			return false
		}
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	e := startEngine(t, EngineOptions{})
	job := Job{Reference: "quay.io/app:v1", Digest: multiArch("app").top.digest,
		PullEndpoints: []string{target.host + "/app:v1"}}
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	got := e.untilState(job.Reference, Failed)
	assertError(t, got.Err, wantError{RateLimited, job.PullEndpoints[0], "manifest"})
	if wait := got.RetryAt.Sub(e.clock.Now()); wait != 90*time.Second {
		t.Errorf("waits %s", wait)
	}
}

func TestDefaultRetry(t *testing.T) {
	retry := EngineOptions{}.withDefaults().RetryDelay
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second,
		7: time.Minute, 1000: time.Minute} {
		if got := retry(attempt); got != want {
			t.Errorf("after attempt %d: %s, want %s", attempt, got, want)
		}
	}
}

func TestEngineVerifiesAgainWhatIsTooOld(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	job.Targets = nil
	target.seed(t, "app", "v1", img)
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job}, time.Time{})
	first := e.untilState(job.Reference, Verified)

	target.removeBlob(t, "app", img.blobs[0])
	e.clock.advance(time.Minute)
	e.Ensure(c, []Job{job}, first.At)
	if state := e.Snapshot()[job.Reference].State; state != Verified {
		t.Fatalf("a result that is just old enough became %s", state)
	}
	e.Ensure(c, []Job{job}, first.At.Add(time.Second))
	got := e.untilState(job.Reference, Failed)
	assertError(t, got.Err, wantError{Incomplete, job.PullEndpoints[0], "blob " + img.blobs[0].digest})
	if got.Attempts != 1 || !got.At.Equal(first.At.Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
}

func TestEngineKeepsTheDigestOfATag(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job}, time.Time{})
	e.untilState(job.Reference, Verified)

	source.seed(t, "app", "v1", multiArch("tomorrow")) // the tag moves
	e.clock.advance(time.Minute)
	e.Ensure(c, []Job{job}, e.clock.Now())
	got := e.until("verified again", func(results map[string]Result) bool {
		r := results[job.Reference]
		return r.State == Verified && r.At.Equal(e.clock.Now())
	})[job.Reference]
	if got.Digest != img.top.digest || got.Proof.Digest != img.top.digest {
		t.Errorf("now it is %s, proven %s", got.Digest, got.Proof.Digest)
	}
}

// newHangingRegistry is a registry on which requests hang; started counts the jobs that got stuck
// there.
func newHangingRegistry(t *testing.T) (g *testRegistry, started, ended *atomic.Int64) {
	t.Helper()
	g = newTestRegistry(t)
	started, ended = &atomic.Int64{}, &atomic.Int64{}
	g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			started.Add(1)
			<-r.Context().Done()
			ended.Add(1)
			return true
		}
		return false
	})
	return g, started, ended
}

func TestEngineDropsWhatIsNotWanted(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	stuck, _, _ := newHangingRegistry(t)
	e := startEngine(t, EngineOptions{Workers: 1})
	hung := Job{Reference: "quay.io/hung:v1", PullEndpoints: []string{stuck.host + "/hung:v1"}}
	waiting := Job{Reference: "quay.io/waiting:v1", PullEndpoints: []string{stuck.host + "/waiting:v1"}}
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{hung, waiting}, time.Time{})
	e.untilState(hung.Reference, Running)

	job := jobFor(source, target, "app")
	e.Ensure(c, []Job{job}, time.Time{})
	e.untilState(job.Reference, Verified) // the only worker is free again: the hung run was cancelled
	if results := e.Snapshot(); len(results) != 1 {
		t.Errorf("still knows %v", results)
	}
	if asked := stuck.requests("waiting"); len(asked) > 0 {
		t.Errorf("a dropped job ran: %v", asked)
	}
}

func TestEngineReplacesAJobWhoseKeyChanged(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	stuck, _, _ := newHangingRegistry(t)
	e := startEngine(t, EngineOptions{Workers: 1})
	job := jobFor(source, target, "app")
	before := job
	before.PullEndpoints = []string{stuck.host + "/app:v1"}
	before.Targets = nil
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{before}, time.Time{})
	e.untilState(job.Reference, Running)
	e.Ensure(c, []Job{job}, time.Time{})
	if got := e.untilState(job.Reference, Verified); got.Key != job.Key() {
		t.Errorf("result of %s", got.Key)
	}
}

func TestEngineOneHangingImageDoesNotStopTheOthers(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	stuck, _, _ := newHangingRegistry(t)
	e := startEngine(t, EngineOptions{Workers: 2})
	jobs := []Job{{Reference: "quay.io/hung:v1", PullEndpoints: []string{stuck.host + "/hung:v1"}}}
	for i := range 10 {
		name := fmt.Sprintf("app%d", i)
		source.seed(t, name, "v1", multiArch(name))
		jobs = append(jobs, jobFor(source, target, name))
	}
	e.Ensure(newTestClient(plainHTTP()), jobs, time.Time{})
	results := e.until("all others verified", func(results map[string]Result) bool {
		for reference, r := range results {
			if reference != jobs[0].Reference && r.State != Verified {
				return false
			}
		}
		return true
	})
	if state := results[jobs[0].Reference].State; state != Running {
		t.Errorf("the hanging one is %s", state)
	}
}

func TestEngineFailsAStalledImage(t *testing.T) {
	stuck, _, _ := newHangingRegistry(t)
	e := startEngine(t, EngineOptions{StallTimeout: 50 * time.Millisecond})
	job := Job{Reference: "quay.io/hung:v1", PullEndpoints: []string{stuck.host + "/hung:v1"}}
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{}) // its requests alone would wait for 20 s
	got := e.untilState(job.Reference, Failed)
	assertError(t, got.Err, wantError{Timeout, job.PullEndpoints[0], "manifest"})
	var stalled *StalledError
	if !errors.As(got.Err, &stalled) {
		t.Errorf("%v", got.Err)
	}
}

// panicking is a network that breaks the program.
type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("boom") }

func TestEngineSurvivesAPanic(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	e := startEngine(t, EngineOptions{})
	access := plainHTTP()
	access.Transport = panicking{}
	bad := Job{Reference: "quay.io/bad:v1", PullEndpoints: []string{"quay.io/bad:v1"}}
	e.Ensure(newTestClient(access), []Job{bad}, time.Time{})
	got := e.untilState(bad.Reference, Failed)
	var caught *PanicError
	if !errors.As(got.Err, &caught) || caught.Value != "boom" || got.Err.Class != Unknown {
		t.Errorf("%+v", got.Err)
	}
	good := jobFor(source, target, "app")
	e.Ensure(newTestClient(plainHTTP()), []Job{good}, time.Time{})
	e.untilState(good.Reference, Verified)
}

func TestParallelSurvivesAPanic(t *testing.T) {
	failure := parallel(context.Background(), 3, func(_ context.Context, i int) *Error {
		if i == 1 {
			panic("boom")
		}
		return nil
	})
	var caught *PanicError
	if !errors.As(failure, &caught) {
		t.Errorf("%v", failure)
	}
}

func TestEngineReset(t *testing.T) {
	stuck, _, _ := newHangingRegistry(t)
	e := startEngine(t, EngineOptions{})
	job := Job{Reference: "quay.io/hung:v1", PullEndpoints: []string{stuck.host + "/hung:v1"}}
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	e.untilState(job.Reference, Running)
	e.Reset()
	e.until("forgotten", func(results map[string]Result) bool { return len(results) == 0 })
}

func TestEngineStopCancelsAndForgetsNothing(t *testing.T) {
	stuck, started, ended := newHangingRegistry(t)
	e := startEngine(t, EngineOptions{})
	job := Job{Reference: "quay.io/hung:v1", PullEndpoints: []string{stuck.host + "/hung:v1"}}
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	e.untilState(job.Reference, Running)
	e.stop()
	if got := e.Snapshot()[job.Reference]; got.State != Queued || got.Err != nil {
		t.Errorf("after the end: %+v", got)
	}
	stuck.server.CloseClientConnections()
	stuck.server.Close() // waits for the handlers
	if started.Load() != ended.Load() {
		t.Errorf("%d of %d requests were left hanging", started.Load()-ended.Load(), started.Load())
	}
}

func TestEngineEnsureBeforeStart(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	e := NewEngine(EngineOptions{})
	job := jobFor(source, target, "app")
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	if state := e.Snapshot()[job.Reference].State; state != Queued {
		t.Errorf("state %s", state)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Start(ctx) }()
	r := &runningEngine{Engine: e, t: t}
	r.untilState(job.Reference, Verified)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEngineGivesASilentRegistryAShareOfTheWorkersOnly(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	const dead, alive = 20, 6
	stuck, started, _ := newHangingRegistry(t)
	var jobs []Job
	for i := range dead {
		name := fmt.Sprintf("hung%d", i)
		jobs = append(jobs, Job{Reference: "quay.io/" + name, PullEndpoints: []string{stuck.host + "/" + name + ":v1"}})
	}
	// One timeout is enough to know; afterwards nothing ends any more.
	first := Job{Reference: "quay.io/first", PullEndpoints: []string{stuck.host + "/first:v1"}}
	e := startEngine(t, EngineOptions{Workers: silentHostShare, StallTimeout: 50 * time.Millisecond})
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{first}, time.Time{})
	e.untilState(first.Reference, Failed)
	e.opts.StallTimeout = time.Hour
	before := started.Load()
	for i := range alive {
		name := fmt.Sprintf("app%d", i)
		source.seed(t, name, "v1", multiArch(name))
		jobs = append(jobs, jobFor(source, target, name))
	}
	e.Ensure(c, jobs, time.Time{})
	e.until("all others verified", func(results map[string]Result) bool {
		for _, job := range jobs[dead:] {
			if results[job.Reference].State != Verified {
				return false
			}
		}
		return true
	})
	if n := started.Load() - before; n > 1 {
		t.Errorf("%d workers of %d wait for the silent registry", n, silentHostShare)
	}
}

func TestEngineComesBackToARegistryThatAnswersAgain(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	g.seed(t, "app", "v1", img)
	g.hang()
	e := startEngine(t, EngineOptions{Workers: 1})
	var jobs []Job
	for i := range 5 {
		jobs = append(jobs, Job{Reference: fmt.Sprintf("quay.io/app%d", i),
			PullEndpoints: []string{g.host + "/app:v1"}})
	}
	e.Ensure(newTestClient(shortTimeout()), jobs, time.Time{})
	e.untilState(jobs[0].Reference, Failed)
	g.inject(nil)
	e.until("all verified", func(results map[string]Result) bool {
		e.clock.advance(time.Second)
		for _, job := range jobs {
			if results[job.Reference].State != Verified {
				return false
			}
		}
		return true
	})
}

func TestSnapshotIsTheSameUntilSomethingHappens(t *testing.T) {
	e := NewEngine(EngineOptions{})
	same := func(a, b map[string]Result) bool { return fmt.Sprintf("%p", a) == fmt.Sprintf("%p", b) }
	e.Ensure(newTestClient(plainHTTP()), []Job{{Reference: "a"}}, time.Time{})
	before := e.Snapshot()
	if !same(before, e.Snapshot()) {
		t.Error("another one, though nothing has happened")
	}
	e.mu.Lock()
	e.running[e.tasks["a"]] = true
	e.tasks["a"].progress.addUploaded(1)
	e.mu.Unlock()
	after := e.Snapshot()
	if after["a"].UploadedBytes != 1 || before["a"].UploadedBytes != 0 {
		t.Errorf("moved %d, before %d", after["a"].UploadedBytes, before["a"].UploadedBytes)
	}
	e.Ensure(newTestClient(plainHTTP()), nil, time.Time{})
	if len(e.Snapshot()) != 0 || len(after) != 1 {
		t.Error("what was handed out has changed, or what is handed out has not")
	}
}
