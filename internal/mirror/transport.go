package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// tlsHandshakeTimeout is how long a TLS handshake may take: the same 10 s that a node gives it.
const tlsHandshakeTimeout = 10 * time.Second

// maxManifestBytes is how large a manifest a node reads, in bytes (containers/image,
// internal/iolimits).
const maxManifestBytes = 4 << 20

// newTransport builds the network for one registry host. Each host has its own: regclient writes a
// host's TLS settings into the transport it is given, so a shared one would let a CA trusted for
// one host vouch for every other.
func (a Access) newTransport(host string, insecure bool) http.RoundTripper {
	if a.Transport != nil {
		return a.Transport
	}
	limit := a.timeout()
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: limit, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   min(limit, tlsHandshakeTimeout),
		TLSClientConfig:       a.tlsConfig(host, insecure),
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,              // sizes are compared: nothing may change them on the way
		MaxIdleConnsPerHost:   defaultConcurrent, // fewer would open and close connections all the time
		IdleConnTimeout:       30 * time.Second,
		ExpectContinueTimeout: time.Second,

		OnProxyConnectResponse: onProxyResponse,
	}
}

// onProxyResponse gives a proxy's refusal its type; net/http has a text for it only.
func onProxyResponse(_ context.Context, proxy *url.URL, connect *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Target: connect.Host, Status: answer.StatusCode}
}

// tlsConfig leaves out the verification only where registrySources.insecureRegistries says so, as a
// node does.
func (a Access) tlsConfig(host string, insecure bool) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            a.rootCAs(host),
		InsecureSkipVerify: insecure, //nolint:gosec // G402: see above.
	}
}

// rootCAs is what a node trusts for a host: the system's roots and
// /etc/docker/certs.d/<host[:port]>. The host is matched as it is written: a CA for
// "mirror.example.com" says nothing about "mirror.example.com:5000".
func (a Access) rootCAs(host string) *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without system roots: the given CAs are all there is
	}
	pool.AppendCertsFromPEM(a.CAs[host])
	if host == dockerHub {
		pool.AppendCertsFromPEM(a.CAs[dockerHubAPI])
	}
	pool.AppendCertsFromPEM(a.ExtraCAs)
	return pool
}
