package mirror

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// TestProxyThatDoesNotConnect: what a proxy says instead of a connection is no answer of the
// registry. It is out of reach, and a node goes on to its next endpoint.
func TestProxyThatDoesNotConnect(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	access := Access{Transport: &http.Transport{Proxy: http.ProxyURL(address)}}
	client := NewClient(Accesses{Source: access, Push: access, Node: access})
	endpoints := []string{"first.example.com/acme/app:v1", "second.example.com/acme/app:v1"}
	_, err = client.Verify(t.Context(), endpoints, VerifyOptions{})
	var failure *Error
	if !errors.As(err, &failure) || failure.Class != Refused {
		t.Fatalf("got %v, want class %s", err, Refused)
	}
	var attempts *AttemptsError
	if !errors.As(err, &attempts) || len(attempts.Before) != 1 {
		t.Fatalf("got %v, want both endpoints tried", err)
	}
}
