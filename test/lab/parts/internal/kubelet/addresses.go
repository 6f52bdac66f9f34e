package kubelet

import (
	"net/netip"
	"sync"
)

// addresses hands out IP addresses, each once.
type addresses struct {
	mu   sync.Mutex
	last netip.Addr
	used map[string]bool
}

// newAddresses begins after first, for example "10.128.0.1" hands out 10.128.0.2, 10.128.0.3 ….
func newAddresses(first string) *addresses {
	return &addresses{last: netip.MustParseAddr(first), used: map[string]bool{}}
}

// keep reserves an address that is in use, after a restart of the lab.
func (a *addresses) keep(ip string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used[ip] = true
}

func (a *addresses) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		a.last = a.last.Next()
		if ip := a.last.String(); !a.used[ip] {
			a.used[ip] = true
			return ip
		}
	}
}
