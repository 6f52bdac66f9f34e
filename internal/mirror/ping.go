package mirror

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// ping asks scheme://host/v2/ without credentials. 200 and 401 are both a registry that is there; anything else is
// not, exactly as for a node.
func (g *registries) ping(ctx context.Context, scheme string, network networkKey, endpoint string) *Error {
	address := network.host
	if address == dockerHub {
		address = dockerHubAPI
	}
	watched := &guard{next: g.transport(network), limit: g.access.timeout(), host: g.access.host(network.host)}
	r := &repository{endpoint: endpoint, link: &link{guard: watched}, pause: g.pause}
	return r.do(ctx, partPing, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/v2/", nil)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", userAgent)
		resp, err := (&http.Client{Transport: watched}).Do(req)
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
func (g *registries) pingEndpoint(ctx context.Context, endpoint string) *Error {
	host, name := endpoint, endpoint
	if strings.Contains(endpoint, "/") {
		parsed, err := parseReference(endpoint)
		if err != nil {
			return &Error{Class: Unknown, Endpoint: endpoint, Part: "reference", Err: err, final: true}
		}
		host, name = parsed.Registry, parsed.Registry+"/"+parsed.Repository
	}
	host = normaliseHost(host)
	if g.access.insecure(name) {
		_, failure := g.reach(ctx, host, endpoint, true)
		return failure
	}
	return g.ping(ctx, "https", networkKey{host, false}, endpoint)
}
