package mirror

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Ensure makes the set of wanted jobs equal to jobs, one per reference (the first counts):
//
//   - what is new, or another job than before under the same reference, is queued;
//   - what was verified before notOlderThan is verified again (the zero time asks for none);
//   - what is not in jobs any more is dropped, and cancelled when it is running;
//   - what failed is left to its backoff, also when client is another one than before.
//
// Runs that start from now on use client. The jobs must not be changed afterwards. Ensure returns
// at once.
func (e *Engine) Ensure(client *Client, jobs []Job, notOlderThan time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.client = client
	changed := false
	wanted := make(map[string]bool, len(jobs))
	for _, job := range jobs {
		if !wanted[job.Reference] {
			wanted[job.Reference] = true
			changed = e.addJob(job, notOlderThan) || changed
		}
	}
	for reference := range e.tasks {
		if !wanted[reference] {
			e.removeJob(reference)
			changed = true
		}
	}
	if changed {
		e.notifyChange()
		signal(e.wake)
	}
}

// addJob takes one job in, and tells whether that changed anything.
func (e *Engine) addJob(job Job, notOlderThan time.Time) bool {
	t, known := e.tasks[job.Reference]
	switch {
	case known && !t.job.equal(job):
		e.removeJob(job.Reference)
		known = false
	case known && (t.result.State != Verified || !t.result.At.Before(notOlderThan)):
		return false
	}
	if !known {
		t = &task{job: job, result: Result{Reference: job.Reference, Key: job.Key(), Digest: job.Digest}}
		e.tasks[job.Reference] = t
	}
	t.result.Attempts = 0
	e.enqueue(t, e.opts.Now())
	return true
}

func (e *Engine) enqueue(t *task, now time.Time) {
	t.queued = now
	t.result.State, t.result.At, t.result.RetryAt = Queued, now, time.Time{}
	e.queue = append(e.queue, t)
}

// requeueDue queues the failed jobs whose time has come, longest due first, and returns when the
// next one is due (the zero time when none is).
func (e *Engine) requeueDue(now time.Time) (next time.Time) {
	if e.nextRetry.IsZero() || e.nextRetry.After(now) {
		return e.nextRetry
	}
	var due []*task
	for _, t := range e.tasks {
		switch {
		case t.result.State != Failed:
		case !t.result.RetryAt.After(now):
			due = append(due, t)
		case next.IsZero() || t.result.RetryAt.Before(next):
			next = t.result.RetryAt
		}
	}
	slices.SortFunc(due, func(a, b *task) int {
		return cmp.Or(a.result.RetryAt.Compare(b.result.RetryAt), strings.Compare(a.job.Reference, b.job.Reference))
	})
	for _, t := range due {
		e.enqueue(t, now)
		e.changes++
	}
	e.nextRetry = next
	return next
}

// removeJob forgets a job. Its run, if any, is cancelled and nobody hears of its outcome.
func (e *Engine) removeJob(reference string) {
	t := e.tasks[reference]
	delete(e.tasks, reference)
	if t.cancel != nil {
		t.cancel()
	}
	if len(e.queue)+len(e.silentQueue) > 2*len(e.tasks)+maxDroppedTasks {
		gone := func(t *task) bool { return e.tasks[t.job.Reference] != t }
		e.queue, e.silentQueue = slices.DeleteFunc(e.queue, gone), slices.DeleteFunc(e.silentQueue, gone)
	}
}

// maxDroppedTasks is how many dropped jobs may stay in the queue, beyond as many as are wanted
// twice over.
const maxDroppedTasks = 1000

// Reset drops everything: no job is wanted any more, and the next Ensure starts from nothing.
func (e *Engine) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, reference := range slices.Collect(maps.Keys(e.tasks)) {
		e.removeJob(reference)
	}
	e.client = nil
	e.notifyChange()
}

// snapshot is the last one that was handed out, and what it was made from.
type snapshot struct {
	results          map[string]Result
	changes          int
	needed, uploaded int64 // of the jobs that were running, added up
}

// Snapshot gives what is known about every wanted job, by reference. It must not be changed: as
// long as nothing happens, everybody gets the same one.
func (e *Engine) Snapshot() map[string]Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := snapshot{changes: e.changes}
	for t := range e.running {
		now.needed, now.uploaded = now.needed+t.progress.needed.Load(), now.uploaded+t.progress.uploaded.Load()
	}
	if e.lastSnapshot.results != nil && now.changes == e.lastSnapshot.changes && now.needed == e.lastSnapshot.needed &&
		now.uploaded == e.lastSnapshot.uploaded {
		return e.lastSnapshot.results
	}
	now.results = make(map[string]Result, len(e.tasks))
	for reference, t := range e.tasks {
		result := t.result
		result.NeededBytes, result.UploadedBytes = t.progress.needed.Load(), t.progress.uploaded.Load()
		now.results[reference] = result
	}
	e.lastSnapshot = now
	return now.results
}
