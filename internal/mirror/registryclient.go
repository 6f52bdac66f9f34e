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

// registryClient is one Access in use: the connections made with it so far.
type registryClient struct {
	access Access
	sleep  sleepFunc
	shared *sharedState
	checks *checkCache

	mu         sync.Mutex
	transports map[transportKey]http.RoundTripper
	conns      map[hostConnKey]*hostConn
}

type transportKey struct {
	host     string
	insecure bool
}

// hostConnKey tells connections apart. The login is part of it because regclient knows credentials
// by host only, while quay.io/acme and quay.io/other may need different ones.
type hostConnKey struct {
	transportKey
	login     Login
	plainHTTP bool // http
}

// hostConn is a regclient that knows one host and one login.
type hostConn struct {
	key       hostConnKey
	rc        *regclient.RegClient
	transport *authTransport
}

func newRegistryClient(access Access, m *sharedState, c *checkCache) *registryClient {
	return &registryClient{
		access:     access,
		sleep:      sleep,
		shared:     m,
		checks:     c,
		transports: map[transportKey]http.RoundTripper{},
		conns:      map[hostConnKey]*hostConn{},
	}
}

// open gives a handle on the repository of a reference. It only talks to the registry where http is
// allowed, to find out which of https and http it speaks.
func (g *registryClient) open(ctx context.Context, endpoint string) (*repository, *Error) {
	parsed, err := parseReference(endpoint)
	if err != nil {
		return nil, &Error{Class: Unknown, Endpoint: endpoint, Part: "reference", Err: err, noFallback: true}
	}
	r := &repository{endpoint: endpoint, ref: parsed, sleep: g.sleep}
	network := transportKey{parsed.Registry, g.access.insecure(parsed.Registry + "/" + parsed.Repository)}
	plain := false
	if network.insecure {
		var failure *Error
		if plain, failure = g.usesHTTP(ctx, network.host, endpoint); failure != nil {
			return nil, failure
		}
	}
	login, _ := g.access.Keychain.Lookup(parsed.Registry, parsed.Repository)
	r.client, r.hostUser, r.slots = g, hostUser{network.host, login.Username}, g.shared.slots.requestSlots(network.host)
	r.conn = g.conn(hostConnKey{network, login, plain})
	return r, nil
}

func (g *registryClient) transport(key transportKey) http.RoundTripper {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.transports[key]; !ok {
		g.transports[key] = g.access.newTransport(key.host, key.insecure)
	}
	return g.transports[key]
}

func (g *registryClient) conn(key hostConnKey) *hostConn {
	transport := g.transport(key.transportKey)
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.conns[key]; ok {
		return l
	}
	l := &hostConn{key: key, transport: &authTransport{next: transport, timeout: g.access.timeout(),
		host: g.access.trafficTo(key.host)}}
	l.rc = newRegclient(key.host, key.login, key.plainHTTP, l.transport)
	g.conns[key] = l
	return l
}

// newRegclient builds a regclient without its own retries, delays and limits:
//
//   - a retry limit of 1 leaves the one repetition that a login needs. More would repeat a silent
//     registry too, and regclient's backoff is per host: one forbidden image would slow down every
//     other image of that registry. What is worth repeating is repeated in retry, per operation.
//   - RepoAuth keeps a token per repository; otherwise the scopes of all repositories pile up in
//     one token request.
//   - the concurrency limit is out of reach: a resumed download takes a second slot and never gives
//     it back.
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
			reg.WithHTTPClient(&http.Client{Transport: requestTransport{transport}}),
			reg.WithRetryLimit(1),
			reg.WithManifestMax(maxManifestBytes, maxManifestBytes),
			reg.WithDelay(time.Millisecond, 10*time.Millisecond),
		),
	)
}
