package mirror

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// ping asks scheme://host/v2/ without credentials. 200 and 401 are both a registry that is there;
// anything else is not, exactly as for a node.
func (g *registryClient) ping(ctx context.Context, scheme string, network transportKey, endpoint string) *Error {
	address := network.host
	if address == dockerHub {
		address = dockerHubAPI
	}
	transport := &authTransport{next: g.transport(network), timeout: g.access.timeout(),
		host: g.access.trafficTo(network.host)}
	r := &repository{endpoint: endpoint, conn: &hostConn{transport: transport}, sleep: g.sleep}
	return r.do(ctx, partPing, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/v2/", nil)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", userAgent)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody)) // lets the connection be used again
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
			return errNotARegistry{}
		}
		return nil
	})
}

type errNotARegistry struct{}

func (errNotARegistry) Error() string { return "/v2/ is not answered as a registry does" }

// pingEndpoint takes a reference, a repository or a bare host[:port].
func (g *registryClient) pingEndpoint(ctx context.Context, endpoint string) *Error {
	host, name := endpoint, endpoint
	if strings.Contains(endpoint, "/") {
		parsed, err := parseReference(endpoint)
		if err != nil {
			return &Error{Class: Unknown, Endpoint: endpoint, Part: "reference", Err: err, noFallback: true}
		}
		host, name = parsed.Registry, parsed.Registry+"/"+parsed.Repository
	}
	host = normaliseHost(host)
	if g.access.insecure(name) {
		_, failure := g.tryHTTPSThenHTTP(ctx, host, endpoint, true)
		return failure
	}
	return g.ping(ctx, "https", transportKey{host, false}, endpoint)
}
