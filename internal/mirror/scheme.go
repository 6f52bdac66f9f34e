package mirror

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/sync/singleflight"
)

// schemeCache remembers which of https and http the hosts speak where both are allowed. It is a
// property of the host, so what one access has found out holds for the others, and for clients with
// other credentials.
type schemeCache struct {
	detecting singleflight.Group

	mu        sync.Mutex
	plainHTTP map[string]bool // hosts that turned out to speak http (true) or https (false)
}

func newSchemeCache() *schemeCache { return &schemeCache{plainHTTP: map[string]bool{}} }

func (p *schemeCache) get(host string) (plain, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	plain, known = p.plainHTTP[host]
	return plain, known
}

func (p *schemeCache) put(host string, plain bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plainHTTP[host] = plain
}

// forget is for a host that fails: it may have been given a certificate meanwhile, or have lost it.
func (p *schemeCache) forget(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.plainHTTP, host)
}

type schemeResult struct {
	plain   bool
	failure *Error
}

// usesHTTP finds out which of https and http an insecure host speaks. Images that need it at the
// same time ask once.
func (g *registryClient) usesHTTP(ctx context.Context, host, endpoint string) (plain bool, failure *Error) {
	for {
		if plain, known := g.shared.schemes.get(host); known {
			return plain, nil
		}
		answer, _, shared := g.shared.schemes.detecting.Do(host, func() (any, error) {
			var plain bool
			failure := withRecover(func() (failure *Error) {
				plain, failure = g.detectScheme(ctx, host, endpoint)
				return failure
			})
			return schemeResult{plain, failure}, nil
		})
		got := answer.(schemeResult)
		if got.failure == nil || !shared {
			return got.plain, got.failure
		}
		if ctx.Err() == nil && errors.Is(got.failure, context.Canceled) {
			continue // the image that asked has been dropped
		}
		own := *got.failure
		own.Endpoint = endpoint
		return false, &own
	}
}

// preconnect finds out how the first of the endpoints is reached, meanwhile. stop must be called; a
// failure shows again when the endpoint is needed.
func (g *registryClient) preconnect(ctx context.Context, endpoints []string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var under sync.WaitGroup
	if len(endpoints) > 0 {
		under.Go(func() { _, _ = g.open(ctx, endpoints[0]) })
	}
	return func() {
		cancel()
		under.Wait()
	}
}

// detectScheme finds out how an insecure host is reached, and remembers it. A failure is not
// remembered: the registry may come back.
func (g *registryClient) detectScheme(ctx context.Context, host, endpoint string) (bool, *Error) {
	plain, failure := g.tryHTTPSThenHTTP(ctx, host, endpoint, false)
	if failure != nil {
		return false, failure
	}
	g.shared.schemes.put(host, plain)
	return plain, nil
}

// tryHTTPSThenHTTP tries https without verification and then http, which is a node's order. A host
// that accepts and stays silent is not asked twice: a node hangs on it at the first try. When both
// fail, the answer to https tells more, unless it only says that the other side does not speak TLS.
//
// A host that answers TLS in HTTP has said what it speaks. Unless what it answers /v2/ matters, it
// is not asked again.
func (g *registryClient) tryHTTPSThenHTTP(ctx context.Context, host, endpoint string, answer bool) (plain bool,
	failure *Error) {
	network := transportKey{host, true}
	secure := g.ping(ctx, "https", network, endpoint)
	if secure == nil || secure.noFallback {
		return false, secure
	}
	if !answer && errors.Is(secure, http.ErrSchemeMismatch) {
		return true, nil
	}
	insecure := g.ping(ctx, "http", network, endpoint)
	if insecure == nil || insecure.noFallback || secure.Class == TLS {
		return true, insecure
	}
	return false, secure
}
