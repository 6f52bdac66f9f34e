package pull

import "context"

// key says which requests are the same pull: CRI-O compares the image, the namespace and the
// credentials.
type key struct{ reference, namespace, username, password string }

// operation is a pull in flight, with those who wait for it.
type operation struct {
	key     key
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
	outcome outcome
}

// join starts a pull, or joins the one that is in flight.
func (r *Runtime) join(request Request) (op *operation, shared bool) {
	k := key{request.Reference, request.Namespace, request.Username, request.Password}
	r.mu.Lock()
	defer r.mu.Unlock()
	if op, ok := r.inFlight[k]; ok {
		op.waiters++
		return op, true
	}
	ctx, cancel := context.WithCancel(context.Background())
	op = &operation{key: k, waiters: 1, cancel: cancel, done: make(chan struct{})}
	r.inFlight[k] = op
	go func() {
		op.outcome = r.pull(ctx, request)
		r.forget(op)
		close(op.done)
	}()
	return op, false
}

// leave ends the pull when nobody waits for it any more: a mirror that accepts connections and
// never answers would otherwise hold it for ever. It says whether it did.
func (r *Runtime) leave(op *operation) (ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.waiters--
	if op.waiters > 0 {
		return false
	}
	r.forgetLocked(op)
	op.cancel()
	return true
}

func (r *Runtime) forget(op *operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(op)
}

func (r *Runtime) forgetLocked(op *operation) {
	if r.inFlight[op.key] == op {
		delete(r.inFlight, op.key)
	}
}
