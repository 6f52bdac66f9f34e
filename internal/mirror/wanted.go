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
// Runs that start from now on use client. The jobs must not be changed afterwards. Ensure returns at once.
func (e *Engine) Ensure(client *Client, jobs []Job, notOlderThan time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.client = client
	moved := false
	wanted := make(map[string]bool, len(jobs))
	for _, job := range jobs {
		if !wanted[job.Reference] {
			wanted[job.Reference] = true
			moved = e.want(job, notOlderThan) || moved
		}
	}
	for reference := range e.tasks {
		if !wanted[reference] {
			e.drop(reference)
			moved = true
		}
	}
	if moved {
		signal(e.changed)
		signal(e.wake)
	}
}

// want takes one job in, and tells whether that changed anything.
func (e *Engine) want(job Job, notOlderThan time.Time) bool {
	key := job.Key()
	t, known := e.tasks[job.Reference]
	switch {
	case known && t.result.Key != key:
		e.drop(job.Reference)
		known = false
	case known && (t.result.State != Verified || !t.result.At.Before(notOlderThan)):
		return false
	}
	if !known {
		t = &task{job: job, result: Result{Reference: job.Reference, Key: key, Digest: job.Digest}}
		e.tasks[job.Reference] = t
	}
	t.result.Attempts = 0
	e.enqueue(t, e.opts.Now())
	return true
}

func (e *Engine) enqueue(t *task, now time.Time) {
	t.result.State, t.result.At, t.result.Due = Queued, now, time.Time{}
	e.queue = append(e.queue, t)
}

// requeueDue queues the failed jobs whose time has come, longest due first, and returns when the next one is due (the
// zero time when none is).
func (e *Engine) requeueDue(now time.Time) (next time.Time) {
	var due []*task
	for _, t := range e.tasks {
		switch {
		case t.result.State != Failed:
		case !t.result.Due.After(now):
			due = append(due, t)
		case next.IsZero() || t.result.Due.Before(next):
			next = t.result.Due
		}
	}
	slices.SortFunc(due, func(a, b *task) int {
		return cmp.Or(a.result.Due.Compare(b.result.Due), strings.Compare(a.job.Reference, b.job.Reference))
	})
	for _, t := range due {
		e.enqueue(t, now)
	}
	return next
}

// drop forgets a job. Its run, if any, is cancelled and nobody hears of its outcome.
func (e *Engine) drop(reference string) {
	t := e.tasks[reference]
	delete(e.tasks, reference)
	e.queue = slices.DeleteFunc(e.queue, func(queued *task) bool { return queued == t })
	if t.cancel != nil {
		t.cancel()
	}
}

// Forget drops everything: no job is wanted any more, and the next Ensure starts from nothing.
func (e *Engine) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, reference := range slices.Collect(maps.Keys(e.tasks)) {
		e.drop(reference)
	}
	e.client = nil
	signal(e.changed)
}

// Snapshot gives what is known about every wanted job, by reference. The caller owns the map; what the results point
// to is never changed.
func (e *Engine) Snapshot() map[string]Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	results := make(map[string]Result, len(e.tasks))
	for reference, t := range e.tasks {
		results[reference] = t.result
	}
	return results
}
