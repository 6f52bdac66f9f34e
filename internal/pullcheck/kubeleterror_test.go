package pullcheck

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func TestClassify(t *testing.T) {
	const get, blob = `Get "https://mirror.local/v2/": `, "reading blob sha256:1: "
	cases := map[string]mirror.ErrorClass{
		"": mirror.Unknown,
		"reading manifest sha256:1 in mirror.local/acme/app: manifest unknown":                                                                                                                                   mirror.Missing,
		"reading manifest sha256:1 in mirror.local/acme/app: name unknown: repository name not known to registry":                                                                                                mirror.Missing,
		"reading manifest sha256:1 in mirror.local/acme/app: StatusCode: 404, \"404 page not found\"":                                                                                                            mirror.Missing,
		"reading manifest sha256:1 in mirror.local/acme/app: unauthorized: authentication required":                                                                                                              mirror.Denied,
		"unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password":                                                                                                 mirror.Denied,
		"reading manifest sha256:1 in mirror.local/acme/app: denied: requested access to the resource is denied":                                                                                                 mirror.Denied,
		"reading manifest sha256:1 in mirror.local/acme/app: StatusCode: 403, \"\"":                                                                                                                              mirror.Denied,
		"registry mirror.local is blocked in /etc/containers/registries.conf or /etc/containers/registries.conf.d":                                                                                               mirror.Blocked,
		"(Mirrors also failed: [mirror.local/acme/app:v1: reading manifest v1 in mirror.local/acme/app: manifest unknown]): quay.io/acme/app:v1: registry quay.io is blocked in /etc/containers/registries.conf": mirror.Missing,
		"(Mirrors also failed: [mirror.local/acme/app:v1: dial tcp 192.0.2.1:443: connect: connection refused]): quay.io/acme/app:v1: registry quay.io is blocked in /etc/containers/registries.conf":            mirror.Refused,
		"pinging container registry mirror.local: " + get +
			"tls: failed to verify certificate: x509: certificate has expired": mirror.TLS,
		"pinging container registry mirror.local: " + get +
			"x509: certificate is valid for a.local, not mirror.local": mirror.TLS,
		"pinging container registry mirror.local: " + get +
			"http: server gave HTTP response to HTTPS client": mirror.TLS,
		"pinging container registry mirror.local: " + get +
			"remote error: tls: bad certificate": mirror.TLS,
		"pinging container registry mirror.local: " + get +
			"net/http: TLS handshake timeout": mirror.Timeout,
		"pinging container registry mirror.local: " + get +
			"dial tcp 192.0.2.1:443: i/o timeout": mirror.Timeout,
		"pinging container registry mirror.local: " + get +
			"context deadline exceeded": mirror.Timeout,
		"reading manifest sha256:1 in mirror.local/acme/app: received unexpected HTTP status: 504 Gateway Time-out": mirror.Timeout,
		"pinging container registry mirror.local: " + get +
			"dial tcp: lookup mirror.local on 10.0.0.10:53: no such host": mirror.Refused,
		"pinging container registry mirror.local: " + get +
			"dial tcp 192.0.2.1:443: connect: connection refused": mirror.Refused,
		"pinging container registry mirror.local: " + get +
			"dial tcp 192.0.2.1:443: connect: no route to host": mirror.Refused,
		"pinging container registry mirror.local: " + get +
			"proxyconnect tcp: dial tcp 192.0.2.9:3128: connect: connection refused": mirror.Refused,
		"pinging container registry mirror.local: " + get +
			"EOF": mirror.Refused,
		"reading manifest sha256:1 in mirror.local/acme/app: too many requests to registry":                            mirror.RateLimited,
		"reading manifest sha256:1 in mirror.local/acme/app: toomanyrequests: You have reached your pull rate limit":   mirror.RateLimited,
		"reading manifest sha256:1 in mirror.local/acme/app: received unexpected HTTP status: 503 Service Unavailable": mirror.Unknown,
		"no image found in manifest list for architecture \"arm64\", variant \"v8\", OS \"linux\"":                     mirror.Incomplete,
		"copying system image from manifest list: " + blob +
			"fetching blob: blob unknown to registry": mirror.Incomplete,
		"parsing image configuration: fetching blob: StatusCode: 404, \"\"":                                                               mirror.Incomplete,
		"copying system image from manifest list: determining manifest MIME type: reading manifest sha256:2 in m.local: manifest unknown": mirror.Incomplete,
		blob + `Get "https://s3.local/b?X-Amz-Signature=abc": tls: failed to verify certificate: x509: unknown authority`:                 mirror.TLS,
		blob + "happened during read: Digest did not match, expected sha256:1, got sha256:2":                                              mirror.Corrupt,
		"Manifest does not match provided manifest digest sha256:1":                                                                       mirror.Corrupt,
		// What is said of the artifact, which is tried after the image, does not count.
		"unable to pull image or OCI artifact: pull image err: reading blob sha256:1: 500; artifact err: get manifest: manifest unknown": mirror.Unknown,
	}
	for message, want := range cases {
		if got := classify(message); got != want {
			t.Errorf("%q: %s, want %s", message, got, want)
		}
	}
}

func TestErrorDetailFitsAStatus(t *testing.T) {
	cases := map[string]string{
		"one\n  two\tthree": "one two three",
		`Get "https://s3.local/b?X-Amz-Signature=abc&x=1": EOF`:    `Get "https://s3.local/b?...": EOF`,
		`Get "https://robot:secret@mirror.local/v2/": EOF`:         `Get "https://mirror.local/v2/": EOF`,
		strings.Repeat("é", 501):                                   strings.Repeat("é", 500) + "...",
		"reading manifest sha256:1 in a.local/b: manifest unknown": "reading manifest sha256:1 in a.local/b: manifest unknown",
	}
	for message, want := range cases {
		if got := errorDetail(message); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
