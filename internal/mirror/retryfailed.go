package mirror

// RetryFailed queues at once what has failed and waits for its next attempt, as if it had not
// failed before.
func (e *Engine) RetryFailed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	for _, t := range e.tasks {
		if t.result.State == Failed {
			t.result.Attempts, t.result.RetryAt = 0, now
		}
	}
	e.nextRetry = now
	signal(e.wake)
}
