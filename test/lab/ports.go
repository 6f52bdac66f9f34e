package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are drawn from below the range the kernel uses for outgoing connections (32768 and up on
// Linux). A port of that range could become the source port of somebody's connection while the lab
// is down for a Reset, and the API server could then not come back on it.
const firstPort, lastPort = 14000, 31000

// ports hands out loopback ports that no other lab on this machine gets. A port is claimed by
// holding an abstract unix socket of that name: the claim spans the time in which nobody listens on
// the port (between Start's draw and the part's first listen, and during a Reset), and the kernel
// drops it with this process, even after kill -9.
type ports struct {
	claims []net.Listener
}

func (p *ports) take() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		claim, err := net.Listen("unix", fmt.Sprintf("@safe-mirror-lab/port/%d", port))
		if err != nil {
			continue // another lab's
		}
		probe, err := net.Listen("tcp", loopback(port))
		if err != nil {
			claim.Close()
			continue // a stranger's
		}
		probe.Close()
		p.claims = append(p.claims, claim)
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

func (p *ports) release() {
	for _, claim := range p.claims {
		claim.Close()
	}
	p.claims = nil
}

func loopback(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", port)
}
