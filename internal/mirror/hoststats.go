package mirror

import (
	"maps"
	"time"
)

// HostStats are what went between us and one registry host so far.
type HostStats struct {
	// those that got through to it, by HTTP method; redirects and token requests included
	Requests       map[string]int64
	Sent, Received int64         // bytes of bodies
	RateLimited    int64         // answers that asked for fewer requests
	Waited         time.Duration // time that requests and bodies waited for the limits and for pauses, added up
	Waiting        int           // requests and bodies that wait at this moment
	// the end of the last pause that the host asked for; the zero time when it never did
	BackoffUntil time.Time
}

// HostStats gives the counts by registry host since the first client was made that this one
// follows; see Client.Renewed. The caller owns the map.
func (c *Client) HostStats() map[string]HostStats { return c.node.access.traffic.stats() }

func (t *traffic) stats() map[string]HostStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	totals := make(map[string]HostStats, len(t.hosts))
	for name, h := range t.hosts {
		totals[name] = h.stats()
	}
	return totals
}

func (h *hostTraffic) stats() HostStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return HostStats{
		Requests: maps.Clone(h.byMethod), Sent: h.sent.Load(), Received: h.received.Load(),
		RateLimited: h.rateLimited, Waited: h.waited, Waiting: h.waiting, BackoffUntil: h.backoffUntil,
	}
}

func (h *hostTraffic) countRequest(method string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byMethod[method]++
}
