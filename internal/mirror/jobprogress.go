package mirror

import "sync/atomic"

// jobProgress counts the bytes of one job while it runs. All methods work on nil.
type jobProgress struct{ needed, uploaded atomic.Int64 }

// start starts a run: what was moved before stays, and nothing else is known to be needed yet.
func (l *jobProgress) start() {
	if l != nil {
		l.needed.Store(l.uploaded.Load())
	}
}

func (l *jobProgress) addNeeded(bytes int64) {
	if l != nil {
		l.needed.Add(bytes)
	}
}

func (l *jobProgress) addUploaded(bytes int64) {
	if l != nil {
		l.uploaded.Add(bytes)
	}
}
