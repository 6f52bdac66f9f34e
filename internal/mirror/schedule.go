package mirror

import (
	"container/heap"
	"context"
	"sync"
)

// What one registry is asked at once, over all images. Large blobs have slots of their own, so that manifests and small blobs do not
// wait behind them. Every slot streams: it holds a few buffers of 32 KiB, never a layer.
const (
	smallBlob  = 1 << 20 // up to here a blob is small: on the way for about as long as an answer takes
	askSlots   = 36      // requests to one registry that carry next to nothing: manifests, HEADs, mounts
	smallSlots = 24      // small blobs to one registry
	largeSlots = 12      // large blobs to one registry
	pairShare  = 3       // of these, two thirds may come from the same source: one that hangs does not stop the others
)

// schedule hands out the slots. Each registry has its own: one that hangs fills its own slots only.
type schedule struct {
	mu    sync.Mutex
	lanes map[laneKey]*lane
}

type laneKey struct{ kind, from, to string }

func newSchedule() *schedule { return &schedule{lanes: map[laneKey]*lane{}} }

// small is for requests to a host that are over soon.
func (s *schedule) small(host string) *lane { return s.lane(laneKey{"ask", "", host}, askSlots) }

// single is for a host that must be asked one thing at a time.
func (s *schedule) single(host string) *lane { return s.lane(laneKey{"single", "", host}, 1) }

// transfer waits for a slot to bring size bytes from one host to another ("" for nowhere: a download that is only looked at).
func (s *schedule) transfer(ctx context.Context, from, to string, size int64) (release func(), err error) {
	kind, slots := "large", largeSlots
	if size >= 0 && size <= smallBlob {
		kind, slots = "small", smallSlots
		size = 0 // these go in the order in which they come
	}
	leave, err := s.lane(laneKey{kind, from, to}, slots-slots/pairShare).acquire(ctx, size)
	if err != nil {
		return nil, err
	}
	arrive, err := s.lane(laneKey{kind, "", to}, slots).acquire(ctx, size)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { arrive(); leave() }, nil
}

func (s *schedule) lane(key laneKey, slots int) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes[key] == nil {
		s.lanes[key] = &lane{free: slots}
	}
	return s.lanes[key]
}

// lane is a number of slots and the line before them. The largest goes first, whichever image it belongs to: what is largest would
// otherwise be what everybody waits for at the end. Among equals, first come first served.
type lane struct {
	mu      sync.Mutex
	free    int
	arrived int
	line    line
}

// acquire waits for a slot for size bytes. The error is the end of the context. A nil lane has room for everybody.
func (l *lane) acquire(ctx context.Context, size int64) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return l.release, nil
	}
	w := &waiter{size: size, number: l.arrived, turn: make(chan struct{})}
	l.arrived++
	heap.Push(&l.line, w)
	l.mu.Unlock()
	if err := await(ctx, w.turn); err != nil {
		l.leave(w)
		return nil, err
	}
	return l.release, nil
}

// release hands the slot to the next in line.
func (l *lane) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) == 0 {
		l.free++
		return
	}
	close(heap.Pop(&l.line).(*waiter).turn)
}

// leave is for a waiter that has given up. If its turn has come in the same moment, it is passed on.
func (l *lane) leave(w *waiter) {
	l.mu.Lock()
	if w.at >= 0 {
		heap.Remove(&l.line, w.at)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.release()
}

type waiter struct {
	size   int64
	number int
	turn   chan struct{}
	at     int // where in the line; -1 when it has left it
}

// line is a heap of waiters, see container/heap.
type line []*waiter

func (q line) Len() int { return len(q) }

func (q line) Less(i, j int) bool {
	if q[i].size != q[j].size {
		return q[i].size > q[j].size
	}
	return q[i].number < q[j].number
}

func (q line) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *line) Push(x any) {
	w := x.(*waiter)
	w.at = len(*q)
	*q = append(*q, w)
}

// Pop implements heap.Interface.
func (q *line) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.at = -1
	return w
}
