package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

// copyAndVerify brings every image to an end, or stops when ctx does, and returns what became of
// each. The images are looked at while it is found out whether the targets may be written to, and
// nothing is written before that is certain.
func (r *mirrorRun) copyAndVerify(ctx context.Context, client *mirror.Client, set batch.Set) ([]batch.Row, error) {
	allowed := make(chan struct{})
	f := &engineRun{
		mirrorRun: r, client: client.WithWriteGate(allowed), tracker: batch.NewTracker(set.Images, r.attempts),
		engine: mirror.NewEngine(mirror.EngineOptions{Workers: r.parallel, StallTimeout: r.timeout,
			RetryDelay: r.backoff, Now: r.now, After: r.after}),
	}
	f.submitOpen()
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.engine.Start(running) // it has no error to tell of
	}()
	var err error
	if r.mode() == batch.Copy {
		err = r.checkPushAccess(ctx, client, set)
	}
	if err == nil {
		close(allowed)
		f.reporter = r.newProgress()
		defer f.reporter.end()
		f.waitUntilDone(ctx)
	}
	stop()
	<-ended
	if err != nil {
		return nil, err
	}
	f.poll() // an image that ended while the engine was being stopped has ended all the same
	return f.tracker.Rows(r.now()), nil
}

// estimate counts what a copy would move. It takes one look at every image.
func (r *mirrorRun) estimate(ctx context.Context, client *mirror.Client, images []batch.Image) []batch.Row {
	if !r.quiet {
		fmt.Fprintf(r.status, "asking the registries about %d images\n", len(images))
	}
	estimates := client.DryRun(ctx, r.jobs(images))
	return batch.EstimateRows(images, estimates, ctx.Err() != nil)
}

func (r *mirrorRun) jobs(images []batch.Image) []mirror.Job {
	jobs := make([]mirror.Job, 0, len(images))
	for _, image := range images {
		jobs = append(jobs, image.Job(!r.verifyOnly, r.platforms))
	}
	return jobs
}

// noRetry is a pause between attempts of which no run sees the end.
const noRetry = 10 * 365 * 24 * time.Hour

// backoff is the pause after so many failed attempts: 1 s, 2 s, 4 s … 60 s, and no attempt after
// the last one.
func (r *mirrorRun) backoff(attempts int) time.Duration {
	switch {
	case attempts >= r.attempts:
		return noRetry
	case r.retry != nil:
		return r.retry(attempts)
	default:
		return min(time.Minute, time.Second<<min(attempts-1, 6))
	}
}

// engineRun is a run of the engine as the command sees it.
type engineRun struct {
	*mirrorRun
	client       *mirror.Client
	engine       *mirror.Engine
	tracker      *batch.Tracker
	reporter     progressReporter
	givenUpCount int
}

// submitOpen hands the engine what is still open, so that it does not try again what has failed for
// good.
func (f *engineRun) submitOpen() {
	f.engine.Ensure(f.client, f.jobs(f.tracker.OpenImages()), time.Time{})
}

// pollInterval is how long changes are gathered between two looks, at least. A look goes over all
// images; where there are so many of them that it takes long, it takes a fifth of the time at most.
const pollInterval = 25 * time.Millisecond

func (f *engineRun) waitUntilDone(ctx context.Context) {
	tick, rested := make(chan struct{}, 1), make(chan struct{}, 1)
	in := func(d time.Duration, to chan<- struct{}) (stop func()) {
		return f.after(d, func() { to <- struct{}{} })
	}
	disarm := in(f.reporter.interval(), tick)
	defer func() { disarm() }()
	changed := f.engine.Changed()
	for f.tracker.OpenCount() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-changed:
			took := f.poll()
			changed = nil
			in(max(pollInterval, 4*took), rested)
		case <-rested:
			changed = f.engine.Changed()
		case <-tick:
			f.poll()
			disarm = in(f.reporter.interval(), tick)
		}
	}
}

// poll takes in what the engine has come to, and tells how long that took.
func (f *engineRun) poll() (took time.Duration) {
	now := f.now()
	ended := f.tracker.Observe(f.engine.Snapshot(), now)
	f.reporter.update(now, ended, f.tracker.Progress())
	if n := f.tracker.FailedCount(); n > f.givenUpCount {
		f.givenUpCount = n
		f.submitOpen()
	}
	return f.now().Sub(now)
}
