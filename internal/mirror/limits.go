package mirror

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Limits bound what one registry host gets from us, all images and all parties together. A token
// service or an object store that the registry sends us to counts as the registry.
type Limits struct {
	// Requests is how many may begin per second. 0 means no limit.
	Requests float64
	// Concurrent is how many may be in progress at once, those that read and those that write
	// counted apart: each upload waits for a download, so that one limit for both would lock up
	// once it is used up by downloads. 0 means 60, about as many as a copy makes use of; see
	// schedule.
	Concurrent int
	// Bytes is how many bytes of bodies may pass per second, each way. 0 means no limit.
	Bytes int64
}

const defaultConcurrent = maxRequestSlots + smallBlobSlots

// The pauses of a host that asks for one without saying how long, and the longest that is believed:
// after an hour one request finds out how things are, also where "Retry-After: 31536000" was a
// slip.
const (
	initialHostBackoff = 500 * time.Millisecond
	maxGuessedBackoff  = 8 * time.Second
	maxHostBackoff     = time.Hour
)

// traffic is what goes between us and every registry host: the limits, the pauses that hosts asked
// for, and the counts. Clients that follow one another share it: new credentials are no reason to
// forget that a host asked to be left alone.
type traffic struct {
	now   func() time.Time
	sleep sleepFunc

	mu    sync.Mutex
	hosts map[string]*hostTraffic
}

func newTraffic() *traffic {
	return &traffic{now: time.Now, sleep: sleep, hosts: map[string]*hostTraffic{}}
}

// forHost gives the traffic of one host. Limits other than before apply from now on, to all
// clients.
func (t *traffic) forHost(name string, limits Limits) *hostTraffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, known := t.hosts[name]
	if !known {
		h = &hostTraffic{
			name: name, now: t.now, sleep: t.sleep,
			requestRate: rate.NewLimiter(rate.Inf, 1), downloadRate: rate.NewLimiter(rate.Inf, 1),
			uploadRate: rate.NewLimiter(rate.Inf, 1),
			byMethod:   map[string]int64{},
		}
		t.hosts[name] = h
	}
	h.setLimits(limits)
	return h
}

// hostTraffic is the traffic with one registry host.
type hostTraffic struct {
	name  string
	now   func() time.Time
	sleep sleepFunc

	requestRate, downloadRate, uploadRate *rate.Limiter
	sent, received                        atomic.Int64

	mu                    sync.Mutex
	concurrent            int64
	readSlots, writeSlots *semaphore.Weighted
	backoffUntil          time.Time // nothing is sent before; see closeFor
	refusals              int       // in a row
	byMethod              map[string]int64
	rateLimited           int64
	waiting               int
	waited                time.Duration
}

// setLimits sets the limits. Requests in progress are not touched, so for a moment more may be
// under way than a lower limit allows.
func (h *hostTraffic) setLimits(l Limits) {
	h.mu.Lock()
	defer h.mu.Unlock()
	concurrent := int64(l.Concurrent)
	if concurrent <= 0 {
		concurrent = defaultConcurrent
	}
	if h.concurrent != concurrent {
		h.concurrent = concurrent
		h.readSlots, h.writeSlots = semaphore.NewWeighted(concurrent), semaphore.NewWeighted(concurrent)
	}
	now := h.now()
	// Bursts are a tenth of a second's worth: 25 requests per second begin at most 3 at once.
	setRate(h.requestRate, now, l.Requests, math.Ceil(l.Requests/10))
	for _, limiter := range []*rate.Limiter{h.downloadRate, h.uploadRate} {
		setRate(limiter, now, float64(l.Bytes), max(float64(l.Bytes)/10, 1<<10))
	}
}

func setRate(l *rate.Limiter, now time.Time, perSecond, burst float64) {
	if perSecond <= 0 {
		l.SetLimitAt(now, rate.Inf)
		return
	}
	if l.Limit() != rate.Limit(perSecond) {
		l.SetLimitAt(now, rate.Limit(perSecond))
		l.SetBurstAt(now, int(burst))
	}
}

func (h *hostTraffic) backoffLeft() (until time.Time, left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backoffUntil, h.backoffUntil.Sub(h.now())
}

// recordResponse draws the consequences of an answer for everybody who asks this host:
//
//	429, Retry-After: 3        nobody asks for 3 s
//	429 without a hint         nobody asks for 0.5 s, then 1 s, 2 s ... 8 s while that goes on
//	503, Retry-After: 3        the same as 429
//	200, nothing remaining     nobody asks before the reset that the answer names
func (h *hostTraffic) recordResponse(limited bool, requested time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	inBackoff := h.backoffUntil.After(now) // requests sent before the pause began tell nothing new
	if limited {
		h.rateLimited++
		if requested <= 0 && !inBackoff {
			requested = min(initialHostBackoff<<min(h.refusals, 10), maxGuessedBackoff)
			h.refusals++
		}
	} else if !inBackoff {
		h.refusals = 0
	}
	if until := now.Add(min(requested, maxHostBackoff)); requested > 0 && until.After(h.backoffUntil) {
		h.backoffUntil = until
	}
}
