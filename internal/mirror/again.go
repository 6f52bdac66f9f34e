package mirror

// TryAgain queues at once what has failed and waits for its next attempt, as if it had not failed before.
func (e *Engine) TryAgain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	for _, t := range e.tasks {
		if t.result.State == Failed {
			t.result.Attempts, t.result.Due = 0, now
		}
	}
	e.due = now
	signal(e.wake)
}
