package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// window is how much of one connection may be on its way in one direction: that of TCP with the
// buffers Linux allows by default. Four times the link's bandwidth times its delay, so a single
// connection can fill the link.
const window = 4 << 20

// link is a TCP proxy in front of a registry that behaves like a line of a given bandwidth and
// round trip:
//
//   - Each direction carries bytesPerSecond bytes of payload, shared by all connections, in turns
//     of a quantum.
//   - What is written arrives half a round trip after it has left; answers travel back the same
//     way.
//   - Opening a connection costs a round trip before the client's first byte counts as sent.
//   - Not modelled: loss, TCP's slow start, the headers of TCP and IP, TLS.
//
// The local sockets at both ends accept more than has been delivered, as the sockets of real hosts
// do; a transfer is over when the answer is back, and that has travelled the link.
type link struct {
	listener     net.Listener
	backend      string
	up, down     direction
	connectDelay time.Duration

	mu    sync.Mutex
	open  map[net.Conn]struct{}
	pipes sync.WaitGroup
}

// direction is one way of a link. bytes are those that were sent into it.
type direction struct {
	shaper *shaper
	bytes  atomic.Int64
}

// newLink starts to listen on a port of its own for a registry that listens on backend.
func newLink(spec linkSpec, backend string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, backend: backend, connectDelay: spec.roundTrip, open: map[net.Conn]struct{}{}}
	l.up.shaper, l.down.shaper = newShaper(spec), newShaper(spec)
	l.pipes.Go(l.serve)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// close ends the listener and every connection, and waits until nothing of the link is left.
func (l *link) close() {
	l.listener.Close()
	l.mu.Lock()
	for conn := range l.open {
		conn.Close()
	}
	l.open = nil
	l.mu.Unlock()
	l.pipes.Wait()
}

func (l *link) serve() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.pipes.Go(func() { l.proxyConn(client, time.Now().Add(l.connectDelay)) })
	}
}

// proxyConn joins a client with the registry until both have ended.
func (l *link) proxyConn(client net.Conn, ready time.Time) {
	defer l.untrack(client)
	registry, err := net.Dial("tcp", l.backend)
	if err != nil || !l.track(client, registry) {
		return
	}
	defer l.untrack(registry)
	var both sync.WaitGroup
	both.Go(func() { l.up.pipe(client, registry, ready) })
	both.Go(func() { l.down.pipe(registry, client, ready) })
	both.Wait()
}

func (l *link) track(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		conns[len(conns)-1].Close()
		return false
	}
	for _, conn := range conns {
		l.open[conn] = struct{}{}
	}
	return true
}

func (l *link) untrack(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	delete(l.open, conn)
	l.mu.Unlock()
}

// segment is a quantum in progress.
type segment struct {
	bytes   []byte
	arrival time.Time
}

var quanta = sync.Pool{New: func() any { return new([quantum]byte) }}

// pipe carries what from sends to to. It returns when from has ended and all of it was delivered,
// or either is broken.
func (d *direction) pipe(from, to net.Conn, ready time.Time) {
	inFlight := make(chan segment, window/quantum)
	var delivery sync.WaitGroup
	delivery.Go(func() { deliver(inFlight, from, to) })
	time.Sleep(time.Until(ready))
	for {
		buffer := quanta.Get().(*[quantum]byte)
		n, err := from.Read(buffer[:])
		if n > 0 {
			d.bytes.Add(int64(n))
			depart, arrive := d.shaper.admit(time.Now(), n)
			inFlight <- segment{bytes: buffer[:n], arrival: arrive}
			time.Sleep(time.Until(depart))
		}
		if err != nil {
			break
		}
	}
	close(inFlight)
	delivery.Wait()
}

// deliver writes each parcel when it has arrived, and passes the end of the stream on. When to
// cannot be written to, from is told by closing it; the rest is dropped.
func deliver(inFlight <-chan segment, from, to net.Conn) {
	var broken error
	for p := range inFlight {
		if broken == nil {
			time.Sleep(time.Until(p.arrival))
			if _, broken = to.Write(p.bytes); broken != nil {
				from.Close()
			}
		}
		quanta.Put((*[quantum]byte)(p.bytes[:quantum]))
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && broken == nil {
		if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			to.Close()
		}
	}
}
