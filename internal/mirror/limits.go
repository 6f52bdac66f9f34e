package mirror

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Limits bound what one registry host gets from us, all images and all parties together. A token service or an object
// store that the registry sends us to counts as the registry.
type Limits struct {
	// Requests is how many may begin per second. 0 means no limit.
	Requests float64
	// Concurrent is how many may be under way at once, those that read and those that write counted apart: each upload
	// waits for a download, so that one limit for both would lock up once it is used up by downloads. 0 means 60, about as
	// many as a copy makes use of; see schedule.
	Concurrent int
	// Bytes is how many bytes of bodies may pass per second, each way. 0 means no limit.
	Bytes int64
}

const defaultConcurrent = askSlots + smallSlots

// The pauses of a host that asks for one without saying how long, and the longest that is believed: after an hour one
// request finds out how things are, also where "Retry-After: 31536000" was a slip.
const (
	firstPause   = 500 * time.Millisecond
	longestGuess = 8 * time.Second
	longestPause = time.Hour
)

// traffic is what goes between us and every registry host: the limits, the pauses that hosts asked for, and the counts.
// Clients that follow one another share it: new credentials are no reason to forget that a host asked to be left alone.
type traffic struct {
	now   func() time.Time
	sleep pause

	mu    sync.Mutex
	hosts map[string]*host
}

func newTraffic() *traffic {
	return &traffic{now: time.Now, sleep: sleep, hosts: map[string]*host{}}
}

// host gives the traffic of one host. Limits other than before apply from now on, to all clients.
func (t *traffic) host(name string, limits Limits) *host {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, known := t.hosts[name]
	if !known {
		h = &host{
			name: name, now: t.now, sleep: t.sleep,
			requests: rate.NewLimiter(rate.Inf, 1), down: rate.NewLimiter(rate.Inf, 1), up: rate.NewLimiter(rate.Inf, 1),
			byMethod: map[string]int64{},
		}
		t.hosts[name] = h
	}
	h.limit(limits)
	return h
}

// host is the traffic with one registry host.
type host struct {
	name  string
	now   func() time.Time
	sleep pause

	requests, down, up *rate.Limiter
	sent, received     atomic.Int64

	mu            sync.Mutex
	concurrent    int64
	reads, writes *semaphore.Weighted
	until         time.Time // nothing is sent before; see closeFor
	refusals      int       // in a row
	byMethod      map[string]int64
	rateLimited   int64
	waiting       int
	waited        time.Duration
}

// limit sets the limits. Requests under way are not touched, so for a moment more may be under way than a lower limit
// allows.
func (h *host) limit(l Limits) {
	h.mu.Lock()
	defer h.mu.Unlock()
	concurrent := int64(l.Concurrent)
	if concurrent <= 0 {
		concurrent = defaultConcurrent
	}
	if h.concurrent != concurrent {
		h.concurrent = concurrent
		h.reads, h.writes = semaphore.NewWeighted(concurrent), semaphore.NewWeighted(concurrent)
	}
	now := h.now()
	// Bursts are a tenth of a second's worth: 25 requests per second begin at most 3 at once.
	set(h.requests, now, l.Requests, math.Ceil(l.Requests/10))
	for _, way := range []*rate.Limiter{h.down, h.up} {
		set(way, now, float64(l.Bytes), max(float64(l.Bytes)/10, 1<<10))
	}
}

func set(l *rate.Limiter, now time.Time, perSecond, burst float64) {
	if perSecond <= 0 {
		l.SetLimitAt(now, rate.Inf)
		return
	}
	if l.Limit() != rate.Limit(perSecond) {
		l.SetLimitAt(now, rate.Limit(perSecond))
		l.SetBurstAt(now, int(burst))
	}
}

func (h *host) closedFor() (until time.Time, left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until, h.until.Sub(h.now())
}

// heard draws the consequences of an answer for everybody who asks this host:
//
//	429, Retry-After: 3        nobody asks for 3 s
//	429 without a hint         nobody asks for 0.5 s, then 1 s, 2 s ... 8 s while that goes on
//	503, Retry-After: 3        the same as 429
//	200, nothing remaining     nobody asks before the reset that the answer names
func (h *host) heard(limited bool, asked time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	closed := h.until.After(now) // requests sent before the pause began tell nothing new
	if limited {
		h.rateLimited++
		if asked <= 0 && !closed {
			asked = min(firstPause<<min(h.refusals, 10), longestGuess)
			h.refusals++
		}
	} else if !closed {
		h.refusals = 0
	}
	if until := now.Add(min(asked, longestPause)); asked > 0 && until.After(h.until) {
		h.until = until
	}
}
