package lab

import (
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
)

// Wire is the only way from the lab's processes to a registry: an HTTP CONNECT proxy that knows the
// made-up names (quay.io, mirror.internal.example.com, ...) and leads each to a loopback port. TLS
// passes through untouched, so certificates, credentials and redirects are between the two ends. A
// name it does not know is answered 502: nothing leaves the machine.
//
// It is also where a scenario breaks the network: Cut, Hang, Heal.
type Wire struct {
	listener net.Listener
	server   *http.Server

	mu      sync.Mutex
	routes  map[string]string // host -> loopback address
	faults  map[string]fault
	counts  map[string]Traffic
	tunnels map[net.Conn]string // both ends of every tunnel -> host
}

// Traffic is what went over the Wire for one host.
type Traffic struct {
	Connects int   // tunnels asked for, refused ones included
	Sent     int64 // bytes towards the host
	Received int64 // bytes from the host
}

type fault int

const (
	healthy fault = iota
	cut
	hung
)

func newWire() *Wire {
	w := &Wire{
		routes:  map[string]string{},
		faults:  map[string]fault{},
		counts:  map[string]Traffic{},
		tunnels: map[net.Conn]string{},
	}
	w.server = &http.Server{Handler: w}
	return w
}

func (w *Wire) open() (err error) {
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go func() { _ = w.server.Serve(w.listener) }()
	return nil
}

// URL is the proxy address for HTTPS_PROXY.
func (w *Wire) URL() string { return "http://" + w.listener.Addr().String() }

// Cut makes host unreachable, as a source is from an air-gapped cluster. Open connections break.
func (w *Wire) Cut(host string) { w.setFault(host, cut) }

// Hang makes host accept connections and never answer: what a silent firewall looks like.
func (w *Wire) Hang(host string) { w.setFault(host, hung) }

// Heal ends Cut and Hang.
func (w *Wire) Heal(host string) { w.setFault(host, healthy) }

// Traffic returns what went over the Wire for host since Start or the last Reset.
func (w *Wire) Traffic(host string) Traffic {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[host]
}

// Hosts returns every name the Wire knows and where it leads.
func (w *Wire) Hosts() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.routes)
}

func (w *Wire) route(host, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[host] = address
}

// setFault also closes the open tunnels: a keep-alive connection made before the Cut would
// otherwise go on working, and one that hangs would hang on after the Heal.
func (w *Wire) setFault(host string, f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[host] = f
	for conn, to := range w.tunnels {
		if to == host {
			conn.Close()
		}
	}
}

func (w *Wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.faults)
	clear(w.counts)
	for conn := range w.tunnels {
		conn.Close()
	}
}

func (w *Wire) close() {
	w.server.Close()
	w.reset()
}

// ServeHTTP answers one proxy request.
func (w *Wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil || port != "443" {
		// Plain HTTP too: no registry of the lab speaks it.
		http.Error(rw, "the lab's wire leads to port 443 of its registries only", http.StatusBadGateway)
		return
	}
	address, f := w.lookUp(host)
	switch {
	case address == "":
		http.Error(rw, "the lab's wire knows no host "+host, http.StatusBadGateway)
	case f == cut:
		http.Error(rw, "the lab's wire to "+host+" is cut", http.StatusBadGateway)
	case f == hung:
		w.hang(rw, host)
	default:
		w.tunnel(rw, host, address)
	}
}

func (w *Wire) lookUp(host string) (address string, f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts[host]
	c.Connects++
	w.counts[host] = c
	return w.routes[host], w.faults[host]
}

// hang says yes and then swallows the client's greeting, until the client gives up or the host
// heals.
func (w *Wire) hang(rw http.ResponseWriter, host string) {
	client, err := w.accept(rw, host, hung)
	if err != nil {
		return
	}
	defer w.untrack(client)
	_, _ = io.Copy(io.Discard, client)
}

func (w *Wire) tunnel(rw http.ResponseWriter, host, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	w.track(server, host, healthy)
	defer w.untrack(server)
	client, err := w.accept(rw, host, healthy)
	if err != nil {
		return
	}
	defer w.untrack(client)

	var both sync.WaitGroup
	both.Go(func() { w.pump(host, server, client, func(t *Traffic, n int64) { t.Sent += n }) })
	both.Go(func() { w.pump(host, client, server, func(t *Traffic, n int64) { t.Received += n }) })
	both.Wait()
}

// pump copies one direction and closes both ends when it is over: TLS has no use for a half-closed
// connection, and the other direction must not wait for ever. Bytes are counted as they pass, not
// at the end, for connections are kept alive long after the pull a test asks about.
func (w *Wire) pump(host string, to, from net.Conn, count func(*Traffic, int64)) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			w.mu.Lock()
			t := w.counts[host]
			count(&t, int64(n))
			w.counts[host] = t
			w.mu.Unlock()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// accept takes the connection over from the HTTP server and tells the client it is through. Nothing
// the client sent can be lost in the server's buffer: it waits for the answer before its TLS
// greeting.
func (w *Wire) accept(rw http.ResponseWriter, host string, state fault) (net.Conn, error) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return nil, err
	}
	w.track(conn, host, state)
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		w.untrack(conn)
		return nil, err
	}
	return conn, nil
}

// track files the connection for setFault to find. A fault may have come between the look in arrive
// and now; such a connection is closed as setFault would have done.
func (w *Wire) track(conn net.Conn, host string, state fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tunnels[conn] = host
	if w.faults[host] != state {
		conn.Close()
	}
}

func (w *Wire) untrack(conn net.Conn) {
	conn.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tunnels, conn)
}
