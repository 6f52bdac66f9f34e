package mirror

import "time"

// Recheck proves the jobs of these references once more, as if their proofs were from before
// notOlderThan, and copies what is missing. Those that have been proven since, that are in
// progress, or that failed and are left to their backoff, stay as they are; so do all others.
func (e *Engine) Recheck(references []string, notOlderThan time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := false
	for _, ref := range references {
		if t, known := e.tasks[ref]; known {
			changed = e.addJob(t.job, notOlderThan) || changed
		}
	}
	if changed {
		e.notifyChange()
		signal(e.wake)
	}
}
