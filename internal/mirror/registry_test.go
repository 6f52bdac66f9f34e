package mirror

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

// testRegistry is a real registry in this process, with a place to put faults in front of it.
type testRegistry struct {
	host    string // 127.0.0.1:port
	server  *httptest.Server
	storage http.Handler

	mu         sync.Mutex
	fault      func(w http.ResponseWriter, r *http.Request) bool
	requestLog []string
}

// newTestRegistry starts a plain http registry.
func newTestRegistry(t *testing.T) *testRegistry {
	t.Helper()
	g := newUnstartedRegistry(t)
	g.server.Start()
	g.host = strings.TrimPrefix(g.server.URL, "http://")
	return g
}

// newTestTLSRegistry starts an https registry, HTTP/2 included, whose certificate is signed by ca.
func newTestTLSRegistry(t *testing.T, ca *authority, changes ...func(c *x509.Certificate)) *testRegistry {
	t.Helper()
	g := newUnstartedRegistry(t)
	g.server.TLS = ca.serverConfig(t, changes...)
	g.server.EnableHTTP2 = true
	g.server.StartTLS()
	g.host = strings.TrimPrefix(g.server.URL, "https://")
	return g
}

func newUnstartedRegistry(t testing.TB) *testRegistry {
	t.Helper()
	yes := true
	storage := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem, GC: config.ConfigGC{Frequency: -1}},
		API:     config.ConfigAPI{DeleteEnabled: &yes, Blob: config.ConfigAPIBlob{DeleteEnabled: &yes}},
	})
	g := &testRegistry{storage: storage}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	g.server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are part of the tests
	t.Cleanup(func() {
		g.server.Close()
		_ = storage.Close()
	})
	return g
}

func (g *testRegistry) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.requestLog = append(g.requestLog, r.Method+" "+r.URL.Path)
	fault, storage := g.fault, g.storage
	g.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	storage.ServeHTTP(w, r)
}

// wrap puts something between the faults and the storage.
func (g *testRegistry) wrap(around func(storage http.Handler) http.Handler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.storage = around(g.storage)
}

// inject puts a fault in front of the registry: it answers itself and returns true, or lets the
// request through.
func (g *testRegistry) inject(fault func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = fault
}

// hang makes the registry accept everything and answer nothing, until the client gives up.
func (g *testRegistry) hang() {
	g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
}

// respondWith makes the registry answer every request whose method and path contain the two texts
// with a status.
func (g *testRegistry) respondWith(method, path string, status int, body string) {
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.Method, method) || !strings.Contains(r.URL.Path, path) {
			return false
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	})
}

// requests lists what was asked so far, "GET /v2/...", as far as it contains text.
func (g *testRegistry) requests(text string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.requestLog),
		func(line string) bool { return !strings.Contains(line, text) })
}

func (g *testRegistry) resetRequests() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requestLog = nil
}

// do talks to the storage behind the faults, and gives the status and the body of its answer.
func (g *testRegistry) do(method, path, contentType string, body []byte) (status int, answer []byte) {
	req := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	g.storage.ServeHTTP(w, req)
	return w.Code, w.Body.Bytes()
}

// direct talks to the storage behind the faults.
func (g *testRegistry) direct(t testing.TB, method, path, contentType string, body []byte) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	g.storage.ServeHTTP(w, req)
	return w.Result()
}

func (g *testRegistry) must(t testing.TB, method, path, contentType string, body []byte) {
	t.Helper()
	if resp := g.direct(t, method, path, contentType, body); resp.StatusCode >= 300 {
		t.Fatalf("%s %s: HTTP %d", method, path, resp.StatusCode)
	}
}

// seed stores an image under repo and tag.
func (g *testRegistry) seed(t *testing.T, repo, tag string, img image) {
	t.Helper()
	for _, b := range img.blobs {
		g.must(t, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+b.digest, "application/octet-stream", b.raw)
	}
	for _, m := range img.children {
		g.must(t, http.MethodPut, "/v2/"+repo+"/manifests/"+m.digest, m.mediaType, m.raw)
	}
	g.must(t, http.MethodPut, "/v2/"+repo+"/manifests/"+tag, img.top.mediaType, img.top.raw)
}

func (g *testRegistry) removeManifest(t *testing.T, repo string, c content) {
	t.Helper()
	g.must(t, http.MethodDelete, "/v2/"+repo+"/manifests/"+c.digest, "", nil)
}

func (g *testRegistry) removeBlob(t *testing.T, repo string, c content) {
	t.Helper()
	g.must(t, http.MethodDelete, "/v2/"+repo+"/blobs/"+c.digest, "", nil)
}

func (g *testRegistry) has(t *testing.T, path string) bool {
	t.Helper()
	return g.direct(t, http.MethodGet, path, "", nil).StatusCode == http.StatusOK
}

// plainHTTP is an access that may use http, and gives up on silence soon enough for a test.
func plainHTTP() Access {
	return Access{Insecure: func(string) bool { return true }, Timeout: 20 * time.Second}
}

func shortTimeout() Access {
	access := plainHTTP()
	access.Timeout = 100 * time.Millisecond
	return access
}

// newTestClient uses one access for everything and never waits between tries.
func newTestClient(access Access) *Client {
	return newSplitClient(Accesses{Source: access, Push: access, Node: access})
}

func newSplitClient(accesses Accesses) *Client {
	if accesses.traffic == nil {
		accesses.traffic, _ = newTestTraffic()
	}
	c := NewClient(accesses)
	for _, g := range []*registryClient{c.source, c.push, c.node} {
		g.sleep = func(context.Context, time.Duration) {}
	}
	return c
}
