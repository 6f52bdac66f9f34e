package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// fast lets tests pass without waiting.
var fast = linkSpec{bytesPerSecond: 1e12}

// A link must not change what passes, must count it, and must pass on that one side has said all it
// has to say: the answer here is only sent when the request has ended.
func TestLinkCarriesBothWaysAndCounts(t *testing.T) {
	question, answer := randomBytes(1, 3*quantum+17), randomBytes(2, 5*quantum+1)
	server := listen(t, func(conn net.Conn) {
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, question) {
			t.Errorf("the registry got %d bytes that are not the question: %v", len(got), err)
		}
		if _, err := conn.Write(answer); err != nil {
			t.Error(err)
		}
	})
	l, err := newLink(fast, server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()

	for range 3 {
		got, err := exchange(l.address(), question)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, answer) {
			t.Fatalf("the client got %d bytes that are not the answer", len(got))
		}
	}
	l.close() // all of it is counted
	if up, down := l.up.bytes.Load(), l.down.bytes.Load(); up != int64(3*len(question)) ||
		down != int64(3*len(answer)) {
		t.Errorf("counted %d bytes up and %d down, want %d and %d", up, down, 3*len(question), 3*len(answer))
	}
}

// A registry that goes away in the middle must end the client's connection; one that hangs would be
// measured as slow.
func TestLinkEndsWithTheRegistry(t *testing.T) {
	server := listen(t, func(conn net.Conn) { conn.Close() })
	l, err := newLink(fast, server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	conn, err := net.Dial("tcp", l.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a registry that sent none", n)
	}
}

// close must end what is open, and return only when nothing of the link is left: the next run would
// share the processor with it.
func TestLinkClosesOpenConnections(t *testing.T) {
	accepted := make(chan struct{})
	server := listen(t, func(conn net.Conn) {
		close(accepted)
		_, _ = io.Copy(io.Discard, conn)
	})
	l, err := newLink(fast, server)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-accepted
	l.close()
	if _, err := io.ReadAll(conn); err == nil {
		return // ended in order; a reset is fine as well
	}
	if _, err := net.Dial("tcp", l.address()); err == nil {
		t.Error("the link still listens")
	}
}

// listen serves each connection in turn until the test ends, and gives the address.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func exchange(address string, question []byte) ([]byte, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(conn)
}

func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
