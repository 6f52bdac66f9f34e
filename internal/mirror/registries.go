package mirror

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/scheme/reg"
)

// userAgent is how the operator introduces itself in registry logs.
const userAgent = "safe-mirror-operator"

// registries is one Access in use: the connections made with it so far.
type registries struct {
	access Access
	pause  pause
	memory *memory
	checks *checks

	mu         sync.Mutex
	transports map[networkKey]http.RoundTripper
	links      map[linkKey]*link
}

type networkKey struct {
	host     string
	insecure bool
}

// linkKey tells connections apart. The login is part of it because regclient knows credentials by host only, while
// quay.io/acme and quay.io/other may need different ones.
type linkKey struct {
	networkKey
	login Login
	plain bool // http
}

// link is a regclient that knows one host and one login.
type link struct {
	key   linkKey
	rc    *regclient.RegClient
	guard *guard
}

func newRegistries(access Access, m *memory, c *checks) *registries {
	return &registries{
		access:     access,
		pause:      sleep,
		memory:     m,
		checks:     c,
		transports: map[networkKey]http.RoundTripper{},
		links:      map[linkKey]*link{},
	}
}

// open gives a handle on the repository of a reference. It only talks to the registry where http is allowed, to find
// out which of https and http it speaks.
func (g *registries) open(ctx context.Context, endpoint string) (*repository, *Error) {
	parsed, err := parseReference(endpoint)
	if err != nil {
		return nil, &Error{Class: Unknown, Endpoint: endpoint, Part: "reference", Err: err, final: true}
	}
	r := &repository{endpoint: endpoint, ref: parsed, pause: g.pause}
	network := networkKey{parsed.Registry, g.access.insecure(parsed.Registry + "/" + parsed.Repository)}
	plain := false
	if network.insecure {
		var failure *Error
		if plain, failure = g.protocol(ctx, network.host, endpoint); failure != nil {
			return nil, failure
		}
	}
	login, _ := g.access.Keychain.For(parsed.Registry, parsed.Repository)
	r.by, r.site, r.slots = g, site{network.host, login.Username}, g.memory.schedule.small(network.host)
	r.link = g.link(linkKey{network, login, plain})
	return r, nil
}

func (g *registries) transport(key networkKey) http.RoundTripper {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.transports[key]; !ok {
		g.transports[key] = g.access.newTransport(key.host, key.insecure)
	}
	return g.transports[key]
}

func (g *registries) link(key linkKey) *link {
	transport := g.transport(key.networkKey)
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.links[key]; ok {
		return l
	}
	l := &link{key: key, guard: &guard{next: transport, limit: g.access.timeout(), host: g.access.host(key.host)}}
	l.rc = newRegclient(key.host, key.login, key.plain, l.guard)
	g.links[key] = l
	return l
}

// newRegclient builds a regclient without its own retries, delays and limits:
//
//   - a retry limit of 1 leaves the one repetition that a login needs. More would repeat a silent registry too, and
//     regclient's backoff is per host: one forbidden image would slow down every other image of that registry.
//     What is worth repeating is repeated in retry, per operation.
//   - RepoAuth keeps a token per repository; otherwise the scopes of all repositories pile up in one token request.
//   - the concurrency limit is out of reach: a resumed download takes a second slot and never gives it back.
func newRegclient(host string, login Login, plain bool, transport http.RoundTripper) *regclient.RegClient {
	conf := config.HostNewName(host)
	conf.User, conf.Pass, conf.Token = login.Username, login.Password, login.IdentityToken
	conf.RepoAuth = true
	conf.ReqConcurrent = 1 << 16
	if plain {
		conf.TLS = config.TLSDisabled
	}
	return regclient.New(
		regclient.WithUserAgent(userAgent),
		regclient.WithConfigHost(*conf),
		regclient.WithRegOpts(
			reg.WithHTTPClient(&http.Client{Transport: requests{transport}}),
			reg.WithRetryLimit(1),
			reg.WithManifestMax(largestManifest, largestManifest),
			reg.WithDelay(time.Millisecond, 10*time.Millisecond),
		),
	)
}
