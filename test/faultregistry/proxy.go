package faultregistry

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"sync"
)

// Responder answers a request in the place of the registry, which is next.
type Responder func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Fault says which requests to break, and how.
type Fault struct {
	Method  string // regular expression for the whole method, "PUT|PATCH" for example; "" means any
	Path    string // regular expression for a part of the path; "" means any
	Query   string // the same for the query
	After   int    // how many of these requests go well before
	Times   int    // how many are broken then; 0 means all
	Respond Responder
}

// Proxy is a registry with faults.
type Proxy struct {
	next http.Handler

	mu     sync.Mutex
	faults []*compiledFault
}

type compiledFault struct {
	Fault
	method, path, query *regexp.Regexp
	seen                int
	hits                int
}

// New puts a proxy before a registry.
func New(registry http.Handler) *Proxy { return &Proxy{next: registry} }

// ForURL puts a proxy before the registry at a URL, "http://127.0.0.1:5000" for example.
func ForURL(registry *url.URL) *Proxy {
	return New(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(registry) },
		FlushInterval: -1,
	})
}

// SetFaults replaces the faults. Of several that are about the same request, the first strikes. It
// panics at a regular expression that is none: a script is written in a test.
func (p *Proxy) SetFaults(faults ...Fault) {
	script := make([]*compiledFault, 0, len(faults))
	for _, f := range faults {
		script = append(script, &compiledFault{
			Fault: f, method: regexp.MustCompile("^(" + f.Method + ")$"), path: regexp.MustCompile(f.Path),
			query: regexp.MustCompile(f.Query),
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = script
}

// Hits tells how often each fault of the script has struck, in its order.
func (p *Proxy) Hits() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make([]int, len(p.faults))
	for i, f := range p.faults {
		counts[i] = f.hits
	}
	return counts
}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if do := p.responderFor(r); do != nil {
		do(w, r, p.next)
		return
	}
	p.next.ServeHTTP(w, r)
}

func (p *Proxy) responderFor(r *http.Request) Responder {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.matches(r) {
			f.hits++
			return f.Respond
		}
	}
	return nil
}

// matches tells whether the request is one to break, and counts it.
func (f *compiledFault) matches(r *http.Request) bool {
	if f.Method != "" && !f.method.MatchString(r.Method) || !f.path.MatchString(r.URL.Path) ||
		!f.query.MatchString(r.URL.RawQuery) {
		return false
	}
	f.seen++
	return f.seen > f.After && (f.Times == 0 || f.seen <= f.After+f.Times)
}
