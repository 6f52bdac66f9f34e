package mirror

import (
	"cmp"
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// The engine's defaults. The stall limit must be longer than the slowest single step that makes no visible progress:
// the commit of a large layer, ten times the default timeout.
const (
	defaultWorkers = 32
	defaultStall   = 6 * time.Minute
	shortestRetry  = time.Second
	longestRetry   = time.Minute
	longestAsked   = longestPause
	// passAge is how old a look may be that a proof rests on, when many images are looked at in one go.
	passAge = 5 * time.Minute
)

// EngineOptions configure an Engine. The zero value is good.
type EngineOptions struct {
	// Workers is how many images are under way at once. 0 means 32. What a registry sees of it is bounded apart from that.
	Workers int
	// Retry gives the pause after the n-th failed attempt, counted from 1. nil means 1 s, 2 s, 4 s ... 60 s.
	Retry func(attempts int) time.Duration
	// Stall is how long one image may go without any sign of progress before it fails. 0 means 6 minutes.
	Stall time.Duration
	// Now is the clock. nil means time.Now.
	Now func() time.Time
	// After calls f once, d from now, unless stop is called before. nil means time.AfterFunc. A test that sets Now
	// sets this too.
	After func(d time.Duration, f func()) (stop func())
}

func (o EngineOptions) withDefaults() EngineOptions {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.Retry == nil {
		o.Retry = func(attempts int) time.Duration {
			return min(longestRetry, shortestRetry<<min(attempts-1, 10))
		}
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = func(d time.Duration, f func()) func() {
			timer := time.AfterFunc(d, f)
			return func() { timer.Stop() }
		}
	}
	return o
}

// Engine makes a changing set of images pullable, in the background. One goroutine (Start) hands jobs to workers;
// everything else only changes what is wanted and reads what is known, and never waits for a registry.
//
//	Ensure({a, b})     a and b are queued, and run
//	Ensure({a', c})    a' is other work than a: a is cancelled, a' queued; b is dropped; c is queued
//	Ensure({a', c})    nothing to do
type Engine struct {
	opts    EngineOptions
	wake    chan struct{} // the dispatcher should look again
	changed chan struct{}

	mu     sync.Mutex
	client *Client
	tasks  map[string]*task // by reference
	queue  []*task          // those that wait for a worker, first come first served, and some that were dropped since
	aside  []*task          // the same, about registries that stay silent
	due    time.Time        // when the first of the failed ones is tried again, at the earliest
	busy   int

	silent     map[string]bool // hosts whose last failure was silence
	busySilent int             // of busy, those that may meet it

	running map[*task]bool
	changes int // how often a result changed
	shown   snapshot
}

// task is a job and what is known about it. A task that is not in Engine.tasks any more is nobody's: what its run
// finds is dropped.
type task struct {
	job     Job
	result  Result
	cancel  context.CancelFunc // set while running
	suspect bool               // runs although a registry of it stayed silent
	queued  time.Time          // when it was queued last: looks that were made since may be shared
	runs    int
	live    live
}

// NewEngine makes an engine that wants nothing yet.
func NewEngine(opts EngineOptions) *Engine {
	return &Engine{
		opts:    opts.withDefaults(),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		tasks:   map[string]*task{},
		silent:  map[string]bool{},
		running: map[*task]bool{},
	}
}

// Changed delivers a value after a job changed its state. Changes are coalesced: read it, then take a Snapshot. Bytes that move are no
// change; whoever draws a progress bar takes a Snapshot from time to time.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// NeedLeaderElection tells controller-runtime to run the engine on the leader only: two engines would copy twice.
func (e *Engine) NeedLeaderElection() bool { return true }

// Start runs jobs until ctx ends, then cancels and waits for those under way. It returns nil.
func (e *Engine) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	for ctx.Err() == nil {
		stop := e.alarm(e.dispatch(ctx, &workers))
		select {
		case <-ctx.Done():
		case <-e.wake:
		}
		stop()
	}
	return nil
}

// alarm wakes the dispatcher when the next failed job is due.
func (e *Engine) alarm(due time.Time) (stop func()) {
	if due.IsZero() {
		return func() {}
	}
	return e.opts.After(due.Sub(e.opts.Now()), func() { signal(e.wake) })
}

// dispatch starts as many jobs as there are free workers and returns when it must look again, if nothing happens.
func (e *Engine) dispatch(ctx context.Context, workers *sync.WaitGroup) (again time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	again = e.requeueDue(now)
	for e.busy < e.opts.Workers && ctx.Err() == nil {
		t := e.next()
		if t == nil {
			break
		}
		running, cancel := context.WithCancel(ctx)
		t.cancel = cancel
		t.result.State, t.result.At = Running, now
		t.result.Attempts++
		t.runs++
		e.occupy(t)
		client, digest, run := e.client, t.result.Digest, t.runs
		p := pass{since: latest(t.queued, now.Add(-passAge)), now: e.opts.Now}
		workers.Go(func() {
			e.finish(ctx, t, now, e.execute(running, t, func(ctx context.Context) outcome {
				return client.run(ctx, t.job, digest, run, p, &t.live)
			}))
		})
		e.change()
	}
	return again
}

// change announces that a result is another one than before.
func (e *Engine) change() {
	e.changes++
	signal(e.changed)
}

func (e *Engine) occupy(t *task) {
	e.busy++
	e.running[t] = true
	if t.suspect {
		e.busySilent++
	}
}

func (e *Engine) vacate(t *task) {
	e.busy--
	delete(e.running, t)
	if t.suspect {
		e.busySilent--
		t.suspect = false
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// execute runs one job under the stall watch. Whatever happens in it, an outcome comes out.
func (e *Engine) execute(ctx context.Context, t *task, run func(ctx context.Context) outcome) (out outcome) {
	ctx, stop := watchStall(ctx, e.opts.Stall)
	defer stop()
	defer func() {
		if value := recover(); value != nil {
			out = outcome{err: &Error{
				Class: Unknown, Endpoint: t.job.Reference, Err: &PanicError{Value: value, Stack: string(debug.Stack())},
			}}
		}
	}()
	return run(ctx)
}

// finish records what a run came to.
func (e *Engine) finish(ctx context.Context, t *task, begun time.Time, out outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer signal(e.wake)
	e.vacate(t)
	t.cancel()
	t.cancel = nil
	if ctx.Err() == nil {
		e.learn(t, out.err)
	}
	if e.tasks[t.job.Reference] != t {
		return // dropped meanwhile
	}
	if ctx.Err() != nil {
		// The engine is being stopped. That says nothing about the image.
		t.result.State, t.result.At = Queued, begun
		e.queue = append(e.queue, t)
		e.changes++
		return
	}
	r := &t.result
	r.Digest = cmp.Or(out.digest, r.Digest)
	r.SourceDigest, r.MirrorDigest = cmp.Or(out.source, r.SourceDigest), cmp.Or(out.mirror, r.MirrorDigest)
	r.Copied, r.Others = addCopied(r.Copied, out.copied...), out.others
	if out.err == nil {
		r.State, r.Proof, r.Err, r.At, r.Due = Verified, out.proof, nil, out.proof.At, time.Time{}
	} else {
		wait := max(e.opts.Retry(r.Attempts), min(out.err.retryAfter(), longestAsked))
		r.State, r.Proof, r.Err, r.At, r.Due = Failed, Proof{}, out.err, begun, e.opts.Now().Add(wait)
		if e.due.IsZero() || r.Due.Before(e.due) {
			e.due = r.Due
		}
	}
	e.change()
}

// signal tells without waiting; one untaken signal stands for all that follow.
func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}
