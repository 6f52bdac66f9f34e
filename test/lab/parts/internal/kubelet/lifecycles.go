package kubelet

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// nodeLifecycles runs one goroutine for each Node object.
type nodeLifecycles struct {
	ctx     context.Context
	run     func(ctx context.Context, name string)
	running sync.WaitGroup

	mu      sync.Mutex
	current map[string]nodeLifecycle
}

type nodeLifecycle struct {
	uid  types.UID
	stop context.CancelFunc
	done chan struct{}
}

func newLives(ctx context.Context, live func(ctx context.Context, name string)) *nodeLifecycles {
	return &nodeLifecycles{ctx: ctx, run: live, current: map[string]nodeLifecycle{}}
}

// begin starts the life of a node unless it has begun.
func (l *nodeLifecycles) begin(node *corev1.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, ok := l.current[node.Name]
	if ok && before.uid == node.UID {
		return
	}
	ctx, stop := context.WithCancel(l.ctx)
	next := nodeLifecycle{uid: node.UID, stop: stop, done: make(chan struct{})}
	l.current[node.Name] = next
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		defer close(next.done)
		if ok {
			before.stop()
			<-before.done
		}
		l.run(ctx, node.Name)
	}()
}

// end stops the life of a node that was deleted. The entry stays, so that the next Node of
// that name waits for this end.
func (l *nodeLifecycles) end(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.current[name]; ok {
		found.stop()
		found.uid = "" // a Node that is watched as updated instead of made again has another one
		l.current[name] = found
	}
}
