package sim

import (
	"container/heap"
	"time"
)

// event is something that happens at a time. Of two at the same time the one that was scheduled
// first comes first.
type event struct {
	at  time.Time
	seq int
	do  func()
}

// queue orders events by (time, sequence number).
type queue struct {
	events []event
	seq    int
}

func (q *queue) push(at time.Time, do func()) {
	q.seq++
	heap.Push(q, event{at: at, seq: q.seq, do: do})
}

func (q *queue) pop() event { return heap.Pop(q).(event) }

// Len implements heap.Interface.
func (q *queue) Len() int { return len(q.events) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool {
	a, b := q.events[i], q.events[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) { q.events[i], q.events[j] = q.events[j], q.events[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { q.events = append(q.events, x.(event)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(q.events) - 1
	e := q.events[last]
	q.events[last] = event{}
	q.events = q.events[:last]
	return e
}
