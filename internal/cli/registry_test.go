package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
)

// testRegistry is a real registry in this process that remembers what it was asked.
type testRegistry struct {
	host    string
	storage http.Handler

	mu       sync.Mutex
	requests []string
	// intercept answers a request in the registry's place when it returns true.
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

func newTestRegistry(t *testing.T) *testRegistry {
	t.Helper()
	yes := true
	storage := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem, GC: config.ConfigGC{Frequency: -1}},
		API:     config.ConfigAPI{DeleteEnabled: &yes, Blob: config.ConfigAPIBlob{DeleteEnabled: &yes}},
	})
	g := &testRegistry{storage: storage}
	server := httptest.NewServer(g)
	g.host = strings.TrimPrefix(server.URL, "http://")
	t.Cleanup(func() {
		server.Close()
		_ = storage.Close()
	})
	return g
}

func (g *testRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.requests = append(g.requests, r.Method+" "+r.URL.Path)
	before := g.intercept
	g.mu.Unlock()
	if before == nil || !before(w, r) {
		g.storage.ServeHTTP(w, r)
	}
}

// setIntercept puts something in front of the registry.
func (g *testRegistry) setIntercept(before func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.intercept = before
}

// refuse answers requests whose method and path contain the texts with a status.
func (g *testRegistry) refuse(method, path string, status int) {
	g.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.Method, method) || !strings.Contains(r.URL.Path, path) {
			return false
		}
		w.WriteHeader(status)
		return true
	})
}

// writes lists the requests so far that change something.
func (g *testRegistry) writes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.requests), func(line string) bool {
		return strings.HasPrefix(line, "GET ") || strings.HasPrefix(line, "HEAD ")
	})
}

func (g *testRegistry) clearRequests() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = nil
}

// serveStorage talks to the storage, past what is in front of it.
func (g *testRegistry) serveStorage(t *testing.T, method, path, contentType string, body []byte) int {
	t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	g.storage.ServeHTTP(w, r)
	return w.Code
}

// seed stores an image of one layer under repo and tag and returns its digest and that of its
// layer. The layer is its text; equal texts make equal images.
func (g *testRegistry) seed(t *testing.T, repo, tag, layer string) (image, layerDigest string) {
	t.Helper()
	type object = map[string]any
	must := func(method, path, contentType string, body []byte) {
		t.Helper()
		if status := g.serveStorage(t, method, path, contentType, body); status >= 300 {
			t.Fatalf("%s %s: HTTP %d", method, path, status)
		}
	}
	blob := func(mediaType string, raw []byte) object {
		d := digest.FromBytes(raw).String()
		must(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+d, "application/octet-stream", raw)
		return object{"mediaType": mediaType, "digest": d, "size": len(raw)}
	}
	const oci = "application/vnd.oci.image."
	l := blob(oci+"layer.v1.tar+gzip", []byte(layer))
	raw, err := json.Marshal(object{
		"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "layers": []object{l},
		"config": blob(oci+"config.v1+json", []byte(`{"os":"linux","architecture":"amd64"}`)),
	})
	if err != nil {
		t.Fatal(err)
	}
	must(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, oci+"manifest.v1+json", raw)
	return digest.FromBytes(raw).String(), l["digest"].(string)
}

func (g *testRegistry) has(t *testing.T, repo, reference string) bool {
	t.Helper()
	return g.serveStorage(t, http.MethodGet, "/v2/"+repo+"/manifests/"+reference, "", nil) == http.StatusOK
}
