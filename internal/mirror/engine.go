package mirror

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// The engine's defaults. The stall limit must be longer than the slowest single step that makes no visible progress:
// the commit of a large layer, ten times the default timeout.
const (
	defaultWorkers = 4
	defaultStall   = 6 * time.Minute
	shortestRetry  = time.Second
	longestRetry   = time.Minute
	longestAsked   = 10 * time.Minute
)

// EngineOptions configure an Engine. The zero value is good.
type EngineOptions struct {
	// Workers is how many images are under way at once. 0 means 4.
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
	queue  []*task          // those that wait for a worker, first come first served
	busy   int
}

// task is a job and what is known about it. A task that is not in Engine.tasks any more is nobody's: what its run
// finds is dropped.
type task struct {
	job    Job
	result Result
	cancel context.CancelFunc // set while running
}

// NewEngine makes an engine that wants nothing yet.
func NewEngine(opts EngineOptions) *Engine {
	return &Engine{
		opts:    opts.withDefaults(),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		tasks:   map[string]*task{},
	}
}

// Changed delivers a value after results changed. Changes are coalesced: read it, then take a Snapshot.
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
	for e.busy < e.opts.Workers && len(e.queue) > 0 && ctx.Err() == nil {
		t := e.queue[0]
		e.queue = e.queue[1:]
		running, cancel := context.WithCancel(ctx)
		t.cancel = cancel
		t.result.State, t.result.At = Running, now
		t.result.Attempts++
		e.busy++
		client, job, digest := e.client, t.job, t.result.Digest
		workers.Go(func() { e.finish(ctx, t, now, e.execute(running, client, job, digest)) })
		signal(e.changed)
	}
	return again
}

// execute runs one job under the stall watch. Whatever happens in it, an outcome comes out.
func (e *Engine) execute(ctx context.Context, client *Client, job Job, digest string) (out outcome) {
	ctx, stop := watchStall(ctx, e.opts.Stall)
	defer stop()
	defer func() {
		if value := recover(); value != nil {
			out = outcome{digest: digest, err: &Error{
				Class: Unknown, Endpoint: job.Reference, Err: &PanicError{Value: value, Stack: string(debug.Stack())},
			}}
		}
	}()
	return client.run(ctx, job, digest)
}

// finish records what a run came to.
func (e *Engine) finish(ctx context.Context, t *task, begun time.Time, out outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer signal(e.wake)
	e.busy--
	t.cancel()
	t.cancel = nil
	if e.tasks[t.job.Reference] != t {
		return // dropped meanwhile
	}
	if ctx.Err() != nil {
		// The engine is being stopped. That says nothing about the image.
		t.result.State, t.result.At = Queued, begun
		e.queue = append(e.queue, t)
		return
	}
	r := &t.result
	r.Digest, r.Copied, r.At = out.digest, addCopied(r.Copied, out.copied...), begun
	if out.err == nil {
		out.proof.At = begun
		r.State, r.Proof, r.Err, r.Due = Verified, out.proof, nil, time.Time{}
	} else {
		wait := max(e.opts.Retry(r.Attempts), min(out.err.retryAfter(), longestAsked))
		r.State, r.Proof, r.Err, r.Due = Failed, Proof{}, out.err, e.opts.Now().Add(wait)
	}
	signal(e.changed)
}

// signal tells without waiting; one untaken signal stands for all that follow.
func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}
