package mirror

import (
	"maps"
	"time"
)

// Totals are what went between us and one registry host so far.
type Totals struct {
	Requests       map[string]int64 // those that got through to it, by HTTP method; redirects and token requests included
	Sent, Received int64            // bytes of bodies
	RateLimited    int64            // answers that asked for fewer requests
	Waited         time.Duration    // time that requests and bodies waited for the limits and for pauses, added up
	Waiting        int              // requests and bodies that wait at this moment
	PausedUntil    time.Time        // the end of the last pause that the host asked for; the zero time when it never did
}

// Totals gives the counts by registry host since the first client was made that this one follows; see Client.Renewed. The
// caller owns the map.
func (c *Client) Totals() map[string]Totals { return c.node.access.traffic.totals() }

func (t *traffic) totals() map[string]Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	totals := make(map[string]Totals, len(t.hosts))
	for name, h := range t.hosts {
		totals[name] = h.totals()
	}
	return totals
}

func (h *host) totals() Totals {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Totals{
		Requests: maps.Clone(h.byMethod), Sent: h.sent.Load(), Received: h.received.Load(),
		RateLimited: h.rateLimited, Waited: h.waited, Waiting: h.waiting, PausedUntil: h.until,
	}
}

func (h *host) count(method string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byMethod[method]++
}
