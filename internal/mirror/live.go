package mirror

import "sync/atomic"

// live counts the bytes of one job while it runs. All methods work on nil.
type live struct{ need, moved atomic.Int64 }

// begin starts a run: what was moved before stays, and nothing else is known to be needed yet.
func (l *live) begin() {
	if l != nil {
		l.need.Store(l.moved.Load())
	}
}

func (l *live) expect(bytes int64) {
	if l != nil {
		l.need.Add(bytes)
	}
}

func (l *live) move(bytes int64) {
	if l != nil {
		l.moved.Add(bytes)
	}
}
