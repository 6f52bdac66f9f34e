package main

import (
	"time"

	"golang.org/x/time/rate"
)

// linkSpec is what a link is like, the same in both directions.
type linkSpec struct {
	bytesPerSecond float64
	roundTrip      time.Duration
}

const (
	// quantum is the most that one connection sends before the others get their turn: a third of a
	// millisecond at 400 Mbit/s.
	quantum = 16 << 10
	// burst is what an idle link may send at once. It has to cover a timer that wakes up late
	// (about a millisecond, 50 kB at 400 Mbit/s): without it the link would lose that time for good
	// and be slower than it says.
	burst = 8 * quantum
)

// shaper is one direction of a link: the arithmetic of when bytes that are handed to it leave and
// arrive. All connections of the link share it; whoever asks first goes first. It does not look at
// the clock.
type shaper struct {
	bucket *rate.Limiter // safe for concurrent use
	oneWay time.Duration
}

func newShaper(spec linkSpec) *shaper {
	return &shaper{bucket: rate.NewLimiter(rate.Limit(spec.bytesPerSecond), burst), oneWay: spec.roundTrip / 2}
}

// admit takes n bytes, at most a burst, that are ready at the time now. The sender may hand over
// more from depart on; the bytes reach the other end at arrive. Example, 400 Mbit/s and 20 ms,
// bucket empty: 16 KiB depart 0.33 ms from now and arrive 10 ms after that.
func (s *shaper) admit(now time.Time, n int) (depart, arrive time.Time) {
	depart = now.Add(s.bucket.ReserveN(now, n).DelayFrom(now))
	return depart, depart.Add(s.oneWay)
}
