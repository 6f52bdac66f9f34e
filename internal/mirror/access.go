package mirror

import (
	"net/http"
	"time"
)

// defaultTimeout is how long a registry may stay silent when Access.Timeout is not set.
const defaultTimeout = 30 * time.Second

// Access is how one party reaches registries: with which credentials, trusting which CAs, through
// which network. The zero value is anonymous access with the system's trusted roots.
type Access struct {
	// Keychain holds the credentials.
	Keychain Keychain
	// CAs holds PEM certificates by registry host[:port], exactly as it is written in a reference;
	// they are trusted for that host only, on top of the system roots. Text without a certificate
	// in it is ignored, as a node does.
	CAs map[string][]byte
	// ExtraCAs holds PEM certificates trusted for every host (a cluster-wide trust bundle).
	// Optional.
	ExtraCAs []byte
	// Insecure tells whether plain http and unverified TLS are allowed for a repository, given as
	// "mirror.example.com:5000/acme/app" without tag or digest. nil means never.
	Insecure func(reference string) bool
	// Transport replaces the network, trusted CAs and proxy included. Optional, for tests.
	Transport http.RoundTripper
	// Timeout is how long a registry may stay silent: between request and response headers, and
	// between two pieces of a body. 0 means 30 s. The commit of an upload may take ten times as
	// long: object stores assemble it then.
	Timeout time.Duration

	traffic *traffic
	limits  func(host string) Limits
}

// Accesses are the three parties that look at registries.
type Accesses struct {
	Source Access // reads what is copied, and resolves tags
	Push   Access // writes to the mirrors, and reads back what is already there
	Node   Access // as a node would pull: its auth file, its trusted CAs

	// Limits bound the three of them together, by registry host[:port]. nil means none but the
	// usual number of requests in progress.
	Limits  func(host string) Limits
	traffic *traffic // for tests with a clock of their own
}

// withTraffic lets the three parties share the traffic of the clients before them, and its limits.
func (a Accesses) withTraffic(t *traffic) Accesses {
	if a.traffic != nil {
		t = a.traffic
	}
	for _, access := range []*Access{&a.Source, &a.Push, &a.Node} {
		access.traffic, access.limits = t, a.Limits
	}
	return a
}

// trafficTo is the traffic with a host, under the limits of this access.
func (a Access) trafficTo(name string) *hostTraffic {
	var limits Limits
	if a.limits != nil {
		limits = a.limits(name)
	}
	return a.traffic.forHost(name, limits)
}

func (a Access) timeout() time.Duration {
	if a.Timeout > 0 {
		return a.Timeout
	}
	return defaultTimeout
}

func (a Access) insecure(repository string) bool {
	return a.Insecure != nil && a.Insecure(repository)
}
