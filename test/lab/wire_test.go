package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// newWireTest puts a TLS server behind the made-up name source.example.com and returns a client
// whose way out is the wire.
func newWireTest(t *testing.T) (*Wire, *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	t.Cleanup(server.Close)
	wire := newWire()
	if err := wire.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.close)
	wire.route("source.example.com", server.Listener.Addr().String())

	proxy, err := url.Parse(wire.URL())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := &http.Transport{
		Proxy:           http.ProxyURL(proxy),
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, // httptest's certificate
	}
	t.Cleanup(transport.CloseIdleConnections)
	return wire, &http.Client{Transport: transport}
}

func get(ctx context.Context, t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestWireRoutesAndCounts(t *testing.T) {
	wire, client := newWireTest(t)
	body, err := get(t.Context(), t, client, "https://source.example.com/")
	if err != nil || len(body) != 1000 {
		t.Fatalf("got %d bytes, %v", len(body), err)
	}
	traffic := wire.Traffic("source.example.com")
	if traffic.Connects != 1 || traffic.Received < 1000 || traffic.Sent == 0 {
		t.Errorf("traffic is %+v", traffic)
	}
}

func TestWireRejectsUnknownHosts(t *testing.T) {
	_, client := newWireTest(t)
	for _, url := range []string{"https://elsewhere.example.com/", "https://source.example.com:8443/"} {
		if _, err := get(t.Context(), t, client, url); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
			t.Errorf("%s: %v, want Bad Gateway", url, err)
		}
	}
}

func TestWireCutBreaksOpenConnectionsUntilHealed(t *testing.T) {
	wire, client := newWireTest(t)
	const url = "https://source.example.com/"
	if _, err := get(t.Context(), t, client, url); err != nil {
		t.Fatal(err) // leaves a connection that is kept alive
	}
	wire.Cut("source.example.com")
	if _, err := get(t.Context(), t, client, url); err == nil {
		t.Error("a request went through a wire that is cut")
	}
	wire.Heal("source.example.com")
	if _, err := get(t.Context(), t, client, url); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}

func TestWireHangNeverAnswersUntilHealed(t *testing.T) {
	wire, client := newWireTest(t)
	const url = "https://source.example.com/"
	wire.Hang("source.example.com")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := get(ctx, t, client, url); err == nil || ctx.Err() == nil {
		t.Errorf("got %v before the deadline, want to wait in vain", err)
	}
	wire.Heal("source.example.com")
	if _, err := get(t.Context(), t, client, url); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}
