package mirror

import (
	"container/heap"
	"context"
	"sync"
)

// What one registry is asked at once, over all images. Large blobs have slots of their own, so that
// manifests and small blobs do not wait behind them. Every slot streams: it holds a few buffers of
// 32 KiB, never a layer.
const (
	maxSmallBlob    = 1 << 20 // up to here a blob is small: on the way for about as long as an answer takes
	maxRequestSlots = 36      // requests to one registry that carry next to nothing: manifests, HEADs, mounts
	smallBlobSlots  = 24      // small blobs to one registry
	largeBlobSlots  = 12      // large blobs to one registry
	// of these, two thirds may come from the same source: one that hangs does not stop the others
	sourceReserve = 3
)

// hostSlots hands out the slots. Each registry has its own: one that hangs fills its own slots
// only.
type hostSlots struct {
	mu         sync.Mutex
	semaphores map[slotKey]*prioritySemaphore
}

type slotKey struct{ kind, from, to string }

func newHostSlots() *hostSlots { return &hostSlots{semaphores: map[slotKey]*prioritySemaphore{}} }

// requestSlots is for requests to a host that are over soon.
func (s *hostSlots) requestSlots(host string) *prioritySemaphore {
	return s.semaphore(slotKey{"ask", "", host}, maxRequestSlots)
}

// singleSlot is for a host that must be asked one thing at a time.
func (s *hostSlots) singleSlot(host string) *prioritySemaphore {
	return s.semaphore(slotKey{"single", "", host}, 1)
}

// acquireTransfer waits for a slot to bring size bytes from one host to another ("" for nowhere: a
// download that is only looked at).
func (s *hostSlots) acquireTransfer(ctx context.Context, from, to string, size int64) (release func(), err error) {
	kind, slots := "large", largeBlobSlots
	if size >= 0 && size <= maxSmallBlob {
		kind, slots = "small", smallBlobSlots
		size = 0 // these go in the order in which they come
	}
	releaseSource, err := s.semaphore(slotKey{kind, from, to}, slots-slots/sourceReserve).acquire(ctx, size)
	if err != nil {
		return nil, err
	}
	releaseTarget, err := s.semaphore(slotKey{kind, "", to}, slots).acquire(ctx, size)
	if err != nil {
		releaseSource()
		return nil, err
	}
	return func() { releaseTarget(); releaseSource() }, nil
}

func (s *hostSlots) semaphore(key slotKey, slots int) *prioritySemaphore {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.semaphores[key] == nil {
		s.semaphores[key] = &prioritySemaphore{free: slots}
	}
	return s.semaphores[key]
}

// prioritySemaphore is a number of slots and the line before them. The largest goes first,
// whichever image it belongs to: what is largest would otherwise be what everybody waits for at the
// end. Among equals, first come first served.
type prioritySemaphore struct {
	mu       sync.Mutex
	free     int
	sequence int
	queue    waiterQueue
}

// acquire waits for a slot for size bytes. The error is the end of the context. A nil lane has room
// for everybody.
func (l *prioritySemaphore) acquire(ctx context.Context, size int64) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return l.release, nil
	}
	w := &waiter{size: size, sequence: l.sequence, granted: make(chan struct{})}
	l.sequence++
	heap.Push(&l.queue, w)
	l.mu.Unlock()
	if err := await(ctx, w.granted); err != nil {
		l.cancel(w)
		return nil, err
	}
	return l.release, nil
}

// release hands the slot to the next in line.
func (l *prioritySemaphore) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.free++
		return
	}
	close(heap.Pop(&l.queue).(*waiter).granted)
}

// cancel is for a waiter that has given up. If its turn has come in the same moment, it is passed
// on.
func (l *prioritySemaphore) cancel(w *waiter) {
	l.mu.Lock()
	if w.index >= 0 {
		heap.Remove(&l.queue, w.index)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.release()
}

type waiter struct {
	size     int64
	sequence int
	granted  chan struct{}
	index    int // where in the line; -1 when it has left it
}

// waiterQueue is a heap of waiters, see container/heap.
type waiterQueue []*waiter

func (q waiterQueue) Len() int { return len(q) }

func (q waiterQueue) Less(i, j int) bool {
	if q[i].size != q[j].size {
		return q[i].size > q[j].size
	}
	return q[i].sequence < q[j].sequence
}

func (q waiterQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *waiterQueue) Push(x any) {
	w := x.(*waiter)
	w.index = len(*q)
	*q = append(*q, w)
}

// Pop implements heap.Interface.
func (q *waiterQueue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.index = -1
	return w
}
