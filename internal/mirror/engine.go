package mirror

import (
	"cmp"
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// The engine's defaults. The stall limit must be longer than the slowest single step that makes no
// visible progress: the commit of a large layer, ten times the default timeout.
const (
	defaultWorkers      = 32
	defaultStallTimeout = 6 * time.Minute
	minRetryDelay       = time.Second
	maxRetryDelay       = time.Minute
	maxRetryAfter       = maxHostBackoff
	// maxCheckAge is how old a look may be that a proof rests on, when many images are looked at in
	// one go.
	maxCheckAge = 5 * time.Minute
)

// EngineOptions configure an Engine. The zero value is good.
type EngineOptions struct {
	// Workers is how many images are in progress at once. 0 means 32. What a registry sees of it is
	// bounded apart from that.
	Workers int
	// RetryDelay gives the pause after the n-th failed attempt, counted from 1. nil means 1 s, 2 s,
	// 4 s ... 60 s.
	RetryDelay func(attempts int) time.Duration
	// StallTimeout is how long one image may go without any sign of progress before it fails. 0
	// means 6 minutes.
	StallTimeout time.Duration
	// Now is the clock. nil means time.Now.
	Now func() time.Time
	// After calls f once, d from now, unless stop is called before. nil means time.AfterFunc. A
	// test that sets Now sets this too.
	After func(d time.Duration, f func()) (stop func())
}

func (o EngineOptions) withDefaults() EngineOptions {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.RetryDelay == nil {
		o.RetryDelay = func(attempts int) time.Duration {
			return min(maxRetryDelay, minRetryDelay<<min(attempts-1, 10))
		}
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = defaultStallTimeout
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

// Engine makes a changing set of images pullable, in the background. One goroutine (Start) hands
// jobs to workers; everything else only changes what is wanted and reads what is known, and never
// waits for a registry.
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
	// those that wait for a worker, first come first served, and some that were dropped since
	queue       []*task
	silentQueue []*task   // the same, about registries that stay silent
	nextRetry   time.Time // when the first of the failed ones is tried again, at the earliest
	busy        int

	silentHosts map[string]bool // hosts whose last failure was silence
	busySilent  int             // of busy, those that may meet it

	running      map[*task]bool
	changes      int // how often a result changed
	lastSnapshot snapshot
}

// task is a job and what is known about it. A task that is not in Engine.tasks any more is
// nobody's: what its run finds is dropped.
type task struct {
	job          Job
	result       Result
	cancel       context.CancelFunc // set while running
	onSilentHost bool               // runs although a registry of it stayed silent
	queued       time.Time          // when it was queued last: looks that were made since may be shared
	runs         int
	progress     jobProgress
}

// NewEngine makes an engine that wants nothing yet.
func NewEngine(opts EngineOptions) *Engine {
	return &Engine{
		opts:        opts.withDefaults(),
		wake:        make(chan struct{}, 1),
		changed:     make(chan struct{}, 1),
		tasks:       map[string]*task{},
		silentHosts: map[string]bool{},
		running:     map[*task]bool{},
	}
}

// Changed delivers a value after a job changed its state. Changes are coalesced: read it, then take
// a Snapshot. Bytes that move are no change; whoever draws a progress bar takes a Snapshot from
// time to time.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// NeedLeaderElection tells controller-runtime to run the engine on the leader only: two engines
// would copy twice.
func (e *Engine) NeedLeaderElection() bool { return true }

// Start runs jobs until ctx ends, then cancels and waits for those in progress. It returns nil.
func (e *Engine) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	for ctx.Err() == nil {
		stop := e.scheduleWake(e.dispatch(ctx, &workers))
		select {
		case <-ctx.Done():
		case <-e.wake:
		}
		stop()
	}
	return nil
}

// scheduleWake wakes the dispatcher when the next failed job is due.
func (e *Engine) scheduleWake(due time.Time) (stop func()) {
	if due.IsZero() {
		return func() {}
	}
	return e.opts.After(due.Sub(e.opts.Now()), func() { signal(e.wake) })
}

// dispatch starts as many jobs as there are free workers and returns when it must look again, if
// nothing happens.
func (e *Engine) dispatch(ctx context.Context, workers *sync.WaitGroup) (wakeAt time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	wakeAt = e.requeueDue(now)
	for e.busy < e.opts.Workers && ctx.Err() == nil {
		t := e.nextTask()
		if t == nil {
			break
		}
		running, cancel := context.WithCancel(ctx)
		t.cancel = cancel
		t.result.State, t.result.At = Running, now
		t.result.Attempts++
		t.runs++
		e.startTask(t)
		client, digest, run := e.client, t.result.Digest, t.runs
		round := checkRound{since: laterOf(t.queued, now.Add(-maxCheckAge)), now: e.opts.Now}
		workers.Go(func() {
			e.finish(ctx, t, now, e.execute(running, t, func(ctx context.Context) runResult {
				return client.runJob(ctx, t.job, digest, run, round, &t.progress)
			}))
		})
		e.notifyChange()
	}
	return wakeAt
}

// notifyChange announces that a result is another one than before.
func (e *Engine) notifyChange() {
	e.changes++
	signal(e.changed)
}

func (e *Engine) startTask(t *task) {
	e.busy++
	e.running[t] = true
	if t.onSilentHost {
		e.busySilent++
	}
}

func (e *Engine) endTask(t *task) {
	e.busy--
	delete(e.running, t)
	if t.onSilentHost {
		e.busySilent--
		t.onSilentHost = false
	}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// execute runs one job under the stall watch. Whatever happens in it, an outcome comes out.
func (e *Engine) execute(ctx context.Context, t *task, run func(ctx context.Context) runResult) (out runResult) {
	ctx, stop := withWatchdog(ctx, e.opts.StallTimeout)
	defer stop()
	defer func() {
		if value := recover(); value != nil {
			out = runResult{err: &Error{
				Class: Unknown, Endpoint: t.job.Reference, Err: &PanicError{Value: value, Stack: string(debug.Stack())},
			}}
		}
	}()
	return run(ctx)
}

// finish records what a run came to.
func (e *Engine) finish(ctx context.Context, t *task, started time.Time, out runResult) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer signal(e.wake)
	e.endTask(t)
	t.cancel()
	t.cancel = nil
	if ctx.Err() == nil {
		e.updateSilentHosts(t, out.err)
	}
	if e.tasks[t.job.Reference] != t {
		return // dropped meanwhile
	}
	if ctx.Err() != nil {
		// The engine is being stopped. That says nothing about the image.
		t.result.State, t.result.At = Queued, started
		e.queue = append(e.queue, t)
		e.changes++
		return
	}
	r := &t.result
	r.Digest = cmp.Or(out.digest, r.Digest)
	r.SourceDigest, r.MirrorDigest = cmp.Or(out.sourceDigest, r.SourceDigest), cmp.Or(out.mirrorDigest, r.MirrorDigest)
	r.Copies, r.OtherMirrors = mergeCopies(r.Copies, out.copies...), out.otherMirrors
	if out.err == nil {
		r.State, r.Proof, r.Err, r.At, r.RetryAt = Verified, out.proof, nil, out.proof.At, time.Time{}
	} else {
		wait := max(e.opts.RetryDelay(r.Attempts), min(out.err.retryAfter(), maxRetryAfter))
		r.State, r.Proof, r.Err, r.At, r.RetryAt = Failed, Proof{}, out.err, started, e.opts.Now().Add(wait)
		if e.nextRetry.IsZero() || r.RetryAt.Before(e.nextRetry) {
			e.nextRetry = r.RetryAt
		}
	}
	e.notifyChange()
}

// signal tells without waiting; one untaken signal stands for all that follow.
func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}
