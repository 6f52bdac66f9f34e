package crash

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Proxy is the API server with faults. What is no write that counts goes through untouched, watches
// included.
type Proxy struct {
	// Kill ends the operator with SIGKILL and returns when it is gone.
	Kill func()
	// Delay is how late a late write is.
	Delay time.Duration

	server   *httptest.Server
	upstream http.Handler

	mu           sync.Mutex
	seen         map[string]int
	writes       []Write
	at           string // the key of the write to strike; "*" is each of them, the first time
	fault        Fault
	injected     []string
	injectedOnce map[string]bool // what was struck, when each write is
	used         map[Permission]bool
	denied       map[Permission]bool
}

// NewProxy stands before the API server of the configuration.
func NewProxy(config *rest.Config) (*Proxy, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(config.CAData) {
		return nil, fmt.Errorf("the configuration of %s holds no certificate authority", config.Host)
	}
	p := &Proxy{Kill: func() {}}
	p.upstream = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true},
		FlushInterval:  -1, // an event of a watch is passed on when it comes
		ModifyResponse: p.noteDenied,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.Arm("", "")
	p.server = httptest.NewUnstartedServer(p)
	p.server.EnableHTTP2 = true
	p.server.StartTLS()
	return p, nil
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.server.CloseClientConnections() // a watch ends only so
	p.server.Close()
}

// Kubeconfig writes a copy of a kubeconfig that leads through the proxy.
func (p *Proxy) Kubeconfig(from, to string) error {
	config, err := clientcmd.LoadFromFile(from)
	if err != nil {
		return err
	}
	for _, c := range config.Clusters {
		c.Server = p.server.URL
		c.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: p.server.Certificate().Raw})
	}
	return clientcmd.WriteToFile(*config, to)
}

// Arm begins a run: everything counts from one again, and the fault strikes the write of that key,
// once. With the key "*" it strikes the first attempt of every write.
func (p *Proxy) Arm(key string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.fault, p.injected = key, f, nil
	p.seen, p.injectedOnce, p.writes, p.used, p.denied = map[string]int{}, map[string]bool{}, nil,
		map[Permission]bool{}, map[Permission]bool{}
}

// Writes are those since Arm, in order.
func (p *Proxy) Writes() []Write {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.writes)
}

// Injected are the keys of the writes that were struck.
func (p *Proxy) Injected() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.injected)
}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := parse(r)
	p.recordPermission(q)
	if !q.changes() {
		p.upstream.ServeHTTP(w, r)
		return
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return // the operator is gone
	}
	if f, strikes := p.count(q, read(content)); strikes {
		p.inject(w, r, q, content, f)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(content))
	p.upstream.ServeHTTP(w, r)
}

// count names the write, and tells whether it is the one to strike. Progress is written as often as
// there are looks and is not counted.
func (p *Proxy) count(q request, b body) (Fault, bool) {
	if q.progress(b) {
		return "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := q.named(b)
	base := w.Key()
	p.seen[base]++
	w.Ordinal = p.seen[base]
	p.writes = append(p.writes, w)
	strikes := p.at == w.Key() && len(p.injected) == 0
	// each kind of write of an object the first time: the next attempt at the same is let through,
	// or nothing would get on
	if p.at == "*" {
		what := base + " " + w.About
		strikes = !p.injectedOnce[what]
		p.injectedOnce[what] = true
	}
	if strikes {
		p.injected = append(p.injected, w.Key())
	}
	return p.fault, strikes
}

// send passes the write on and keeps the answer.
func (p *Proxy) send(r *http.Request, content []byte) *httptest.ResponseRecorder {
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(content))
	answer := httptest.NewRecorder()
	p.upstream.ServeHTTP(answer, again)
	return answer
}
