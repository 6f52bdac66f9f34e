package mirror

import (
	"context"
	"testing"
)

// TestTheSchemeOfAHostIsSharedByAllAccesses: only the first one asks, by TLS, and the answer in
// HTTP is enough.
func TestTheSchemeOfAHostIsSharedByAllAccesses(t *testing.T) {
	g := newTestRegistry(t)
	c := newTestClient(plainHTTP())
	ctx := context.Background()
	if _, failure := c.source.open(ctx, g.host+"/app:v1"); failure != nil {
		t.Fatal(failure)
	}
	if asked := g.requests(""); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	g.server.Close() // from here on every question fails
	renewed := c.WithAccesses(Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP()})
	for _, access := range []*registryClient{c.push, c.node, renewed.source} {
		r, failure := access.open(ctx, g.host+"/app:v1")
		if failure != nil {
			t.Fatalf("asked once more: %v", failure)
		}
		if !r.conn.key.plainHTTP {
			t.Error("takes the host for one that speaks TLS")
		}
	}
}

// TestTheSchemeOfAFailingHostIsDetectedAgain: it may have got a certificate.
func TestTheSchemeOfAFailingHostIsDetectedAgain(t *testing.T) {
	g := newTestRegistry(t)
	c := newTestClient(plainHTTP())
	ctx := context.Background()
	r, failure := c.node.open(ctx, g.host+"/app:v1")
	if failure != nil {
		t.Fatal(failure)
	}
	if _, failure := r.readDigest(ctx, r.ref); failure == nil || failure.Class != Missing {
		t.Fatalf("got %v, want a registry that has no such image", failure)
	}
	if _, known := c.shared.schemes.get(g.host); !known {
		t.Error("forgotten for an answer")
	}
	g.server.Close()
	if _, failure := r.readDigest(ctx, r.ref); failure == nil || failure.Class != Refused {
		t.Fatalf("got %v", failure)
	}
	if _, known := c.shared.schemes.get(g.host); known {
		t.Error("still known of a host that is gone")
	}
}
