package mirror

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/test/faultregistry"
)

// faultCase is one way in which the way of an image from a source to a mirror can go wrong.
type faultCase struct {
	image          *image // multiArch when nil
	source, target []faultregistry.Fault
	// sourceHost replaces the source's address, and name the image's name and tag; both for the
	// image with the fault only.
	sourceHost   func(t *testing.T, source *testRegistry) string
	name         string
	sameRegistry bool // from one repository of the target to another one
	verifyOnly   bool // nothing is copied: the target has the image and is proven with a full download
	// apart: the fault is about the whole host, so the healthy image lives on others.
	separateHosts bool
	// timeout is how long the client waits for the side with the fault; 0 for long.
	timeout time.Duration
	access  func(a *Access)

	class    ErrorClass // "" when the copy must succeed in spite of it
	at       string     // "source" or "target": whose endpoint the error names
	part     string     // how Error.Part begins
	messages []string   // what the message says besides
}

const faultyPath = "^/v2/faulty/"

// onImage is a fault of the image's own repository.
func onImage(method, path string, times int, do faultregistry.Responder) []faultregistry.Fault {
	return []faultregistry.Fault{{Method: method, Path: faultyPath + ".*" + path, Times: times, Respond: do}}
}

// onRegistry is a fault of the whole registry.
func onRegistry(method, path string, times int, do faultregistry.Responder) []faultregistry.Fault {
	return []faultregistry.Fault{{Method: method, Path: path, Times: times, Respond: do}}
}

var (
	faultyImage = multiArch("faulty")
	// child is linux/amd64's manifest, config and layer are of it.
	faultyChild  = faultyImage.children[0]
	faultyConfig = faultyImage.blobs[0]
	faultyLayer  = faultyImage.blobs[2]
)

const (
	tooManyRequests = `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`
	jsonType        = "application/json"
)

// rateFaults: whoever asks for patience gets it, and the copy succeeds unless it would have to wait
// for long.
func rateFaults() map[string]faultCase {
	blob := "/blobs/sha256:"
	return map[string]faultCase{
		"429 once, seconds": {source: onImage("GET", blob, 1,
			faultregistry.Respond(429, tooManyRequests, "Retry-After", "3"))},
		"429 once, a date": {source: onImage("GET", blob, 1, faultregistry.Respond(429, tooManyRequests,
			"Date", "Wed, 21 Oct 2026 07:28:00 GMT", "Retry-After", "Wed, 21 Oct 2026 07:28:03 GMT"))},
		"429 once, rate limit headers": {source: onImage("GET", "/manifests/", 1, faultregistry.Respond(429, "",
			"RateLimit-Limit", "60;w=60", "RateLimit-Remaining", "0;w=60", "RateLimit-Reset", "4"))},
		"429 once, without a hint": {source: onImage("GET", blob, 1,
			faultregistry.Respond(429, tooManyRequests, "Content-Type", jsonType))},
		"429 to an upload's POST": {target: onImage("POST", "/uploads/", 2,
			faultregistry.Respond(429, tooManyRequests, "Retry-After", "2"))},
		"429 to an upload's PUT": {target: onImage("PUT", "/uploads/", 2,
			faultregistry.Respond(429, tooManyRequests, "Retry-After", "2"))},
		"429 to an upload's PATCH": {target: slices.Concat(onImage("PUT", "/uploads/", 1,
			faultregistry.Respond(413, "")), onImage("PATCH", "/uploads/", 1,
			faultregistry.Respond(429, tooManyRequests)))},
		"429 to a manifest's PUT": {target: onImage("PUT", "/manifests/", 2,
			faultregistry.Respond(429, tooManyRequests, "Retry-After", "2"))},
		"503 with a pause, once": {source: onImage("GET", blob, 1,
			faultregistry.Respond(503, "", "Retry-After", "3"))},
		"nothing remains for 5 s": {source: onImage("GET", "/manifests/", 1,
			faultregistry.Header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "5"))},
		"429 for ever": {source: onImage("GET", blob, 0,
			faultregistry.Respond(429, tooManyRequests, "Content-Type", jsonType)), class: RateLimited, at: "source",
			part: "blob ", messages: []string{"429", "slow down"}},
		"429 for an hour": {source: onImage("GET", blob, 0,
			faultregistry.Respond(429, tooManyRequests, "Retry-After", "3600")), separateHosts: true,
			class: RateLimited, at: "source", part: "blob ", messages: []string{"come back in 1h0m0s"}},
		"429 for an hour to pushes": {target: onImage("POST", "", 0,
			faultregistry.Respond(429, "", "Retry-After", "3600")), separateHosts: true, class: RateLimited,
			at: "target", part: "push blob ", messages: []string{"1h0m0s"}},
		"GitHub's 403 as rate limit": {source: onImage("GET", blob, 0,
			faultregistry.Error(403, "DENIED", "secondary limit", "X-RateLimit-Remaining", "0", "Retry-After", "60")),
			separateHosts: true, class: RateLimited, at: "source", part: "blob ",
			messages: []string{"come back in 1m0s"}},
	}
}

// contentFaults: what is served is not what it should be.
func contentFaults() map[string]faultCase {
	blob := func(c content) string { return "/blobs/" + c.digest }
	manifest := func(c content) string { return "/manifests/" + c.digest }
	gone := faultregistry.Error(404, "BLOB_UNKNOWN", "blob unknown to registry")
	wrongDigest := faultregistry.Body(func([]byte) []byte { return singleArch("other", "amd64").top.raw })
	return map[string]faultCase{
		"body reset, once": {source: onImage("GET", blob(faultyLayer), 1, faultregistry.CloseAfter(3))},
		"body reset, for ever": {source: onImage("GET", blob(faultyLayer), 0, faultregistry.CloseAfter(3)),
			class: Refused, at: "source", part: "blob "},
		"body truncated": {source: onImage("GET", blob(faultyLayer), 0, faultregistry.Truncate(3)),
			class: Corrupt, at: "source", part: "blob ", messages: []string{"3 bytes"}},
		"body corrupt": {source: onImage("GET", blob(faultyLayer), 0, faultregistry.Corrupt()), class: Corrupt,
			at: "source", part: "blob "},
		"config corrupt": {source: onImage("GET", blob(faultyConfig), 0, faultregistry.Corrupt()),
			class: Corrupt, at: "source", part: "blob "},
		"manifest corrupt": {source: onImage("GET", manifest(faultyChild), 0, faultregistry.Corrupt()),
			class: Corrupt, at: "source", part: "child "},
		"manifest of another": {source: onImage("GET", manifest(faultyChild), 0, wrongDigest), class: Corrupt,
			at: "source", part: "child "},
		"top of another": {source: onImage("GET", "/manifests/"+faultyImage.top.digest, 0, wrongDigest),
			class: Corrupt, at: "source", part: "manifest"},
		"child missing": {source: onImage("GET|HEAD", manifest(faultyChild), 0, gone), class: Incomplete,
			at: "source", part: "child " + faultyChild.digest, messages: []string{"linux/amd64"}},
		"layer missing": {source: onImage("GET|HEAD", blob(faultyLayer), 0, gone), class: Incomplete,
			at: "source", part: "blob " + faultyLayer.digest},
		"config missing": {source: onImage("GET|HEAD", blob(faultyConfig), 0, gone), class: Incomplete,
			at: "source", part: "blob " + faultyConfig.digest},
		"collected as garbage": {source: onImage("GET", blob(faultyLayer), 0, gone), class: Incomplete, at: "source",
			part: "blob " + faultyLayer.digest},
		"collected, the mirror": {verifyOnly: true, target: onImage("GET", blob(faultyLayer), 0, gone),
			class: Incomplete, at: "target", part: "blob " + faultyLayer.digest},
		"corrupt, the mirror": {verifyOnly: true,
			target: onImage("GET", blob(faultyLayer), 0, faultregistry.Corrupt()), class: Corrupt, at: "target",
			part: "blob " + faultyLayer.digest},
		"the digest header lies": {
			source: onImage("GET|HEAD", "/manifests/", 0,
				faultregistry.Header("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))),
			class: Corrupt, at: "source", part: "manifest",
		},
		"wrong content type": {
			source: onImage("GET|HEAD", "/manifests/", 0, faultregistry.Header("Content-Type", "application/x-tar")),
			class:  Corrupt, at: "source", part: "manifest",
		},
		"a portal's page": {
			source: onImage("GET|HEAD", "/manifests/", 0,
				faultregistry.Respond(200, "<html><title>Guest WiFi</title>", "Content-Type", "text/html")),
			class: Corrupt, at: "source", part: "manifest",
		},
		"a portal's page for a layer": {
			source: onImage("GET|HEAD", blob(faultyLayer), 0,
				faultregistry.Respond(200, "<html><title>Guest WiFi</title>", "Content-Type", "text/html")),
			class: Corrupt, at: "source", part: "blob ",
		},
	}
}

// accessFaults: the registry says no.
func accessFaults() map[string]faultCase {
	private := faultregistry.Respond(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`, "WWW-Authenticate",
		`Basic realm="registry"`)
	deny := func(status int, message string) []faultregistry.Fault {
		return onImage("PUT", "/manifests/v1", 0, faultregistry.Error(status, "DENIED", message))
	}
	return map[string]faultCase{
		"private repository": {source: onImage("", "", 0, private), class: Denied, at: "source", part: "manifest"},
		"push not allowed": {target: onImage("POST|PUT", "", 0,
			faultregistry.Error(403, "DENIED", "requested access to the resource is denied")), class: Denied,
			at: "target", part: "push blob "},
		"AWS has no policy": {source: onImage("GET|HEAD", "", 0,
			faultregistry.Error(403, "DENIED",
				"not authorized to perform: ecr:BatchGetImage because no identity-based policy allows the action")),
			class: Denied, at: "source", part: "manifest", messages: []string{"ecr:BatchGetImage"}},
		"blocked by a scanner": {source: onImage("GET", "", 0,
			faultregistry.Error(412, "PROJECTPOLICYVIOLATION",
				"current image with 3 vulnerabilities cannot be pulled")), class: Blocked, at: "source",
			part: "manifest", messages: []string{"3 vulnerabilities"}},
		"blocked by a country": {source: onImage("GET|HEAD", "", 0, faultregistry.Respond(451, "")), class: Blocked,
			at: "source", part: "manifest"},
		"blocked by a web proxy": {
			source: onImage("GET|HEAD", "", 0,
				faultregistry.Respond(403, "<html><head><title>Access blocked: category hosting</title>",
					"Content-Type", "text/html; charset=utf-8")),
			class: Blocked, at: "source", part: "manifest", messages: []string{"category hosting"},
		},
		"quota of Quay": {target: deny(403, "Quota has been exceed on namespace"), class: Quota,
			at: "target", part: "push manifest ", messages: []string{"Quota has been exceed"}},
		"quota of Harbor": {target: deny(403,
			"adding 29.0 MiB of storage resource, which when updated to current usage of 9.0 MiB will exceed the configured upper limit of 10.0 MiB."), class: Quota, at: "target", part: "push manifest ", messages: []string{"upper limit of 10.0 MiB"}},
		"limit of ECR": {target: onImage("PUT", "/manifests/v1", 0,
			faultregistry.Error(400, "LimitExceededException", "The repository has reached its limit of images")),
			class: Quota, at: "target", part: "push manifest ", messages: []string{"limit of images"}},
		"disk full": {target: onImage("PUT|PATCH", "/uploads/", 0,
			faultregistry.Error(500, "UNKNOWN", "write: no space left on device")), class: Quota, at: "target",
			part: "push blob ", messages: []string{"no space left"}},
		"layer too large": {target: onImage("PUT|PATCH", "/uploads/", 0, faultregistry.Respond(413, "")),
			class: Quota, at: "target", part: "push blob ", messages: []string{"413"}},
		"insufficient storage": {target: onImage("PUT|PATCH", "/uploads/", 0, faultregistry.Respond(507, "")),
			class: Quota, at: "target", part: "push blob ", messages: []string{"507"}},
		"read-only": {target: onImage("POST|PUT", "", 0,
			faultregistry.Error(405, "UNSUPPORTED", "The operation is unsupported.")), class: ReadOnly, at: "target",
			part: "push blob "},
		"read-only for maintenance": {target: onImage("POST|PUT", "", 0,
			faultregistry.Error(503, "DENIED", "System is currently read-only.")), class: ReadOnly, at: "target",
			part: "push blob "},
	}
}

// tokenFaults: the registry wants tokens, and something is wrong with them.
func tokenFaults() map[string]faultCase {
	down := func(do faultregistry.Responder) []faultregistry.Fault { return tokens401(0, do) }
	return map[string]faultCase{
		"refused before its end":         {source: tokens401(2, nil)},
		"refused before its end, pushes": {target: tokens401(5, nil)},
		"service down, 503": {source: down(faultregistry.Respond(503, "")), class: Unknown, at: "source",
			part: "manifest", messages: []string{"the token service 127.0.0.1:", "503"}},
		"service down, hangs up": {source: down(faultregistry.CloseConnection()), class: Refused, at: "source",
			part: "manifest", messages: []string{"the token service 127.0.0.1:"}},
		"service asks for patience": {source: down(faultregistry.Respond(429, "", "Retry-After", "3")),
			class: RateLimited, at: "source", part: "manifest",
			messages: []string{"the token service 127.0.0.1:", "3s"}},
		"service says no": {source: down(faultregistry.Respond(401, "")), class: Denied, at: "source",
			part: "manifest"},
		"service gives no good ones": {source: down(faultregistry.Respond(200, `{"token":"bad"}`)), class: Denied,
			at: "source", part: "manifest"},
	}
}

// tokens401 is a registry with tokens, which service gives out; nil for one that does so properly.
// The first token is good for some requests only, though it promises an hour.
func tokens401(goodFor int, service faultregistry.Responder) []faultregistry.Fault {
	var mu sync.Mutex
	given, used := 0, 0
	if service == nil {
		service = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			mu.Lock()
			defer mu.Unlock()
			given++
			_, _ = fmt.Fprintf(w, `{"token":"good-%d","expires_in":3600}`, given)
		}
	}
	good := func(token string) bool {
		mu.Lock()
		defer mu.Unlock()
		if token == "Bearer good-1" {
			used++
			return used <= goodFor
		}
		return strings.HasPrefix(token, "Bearer good-")
	}
	check := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if good(r.Header.Get("Authorization")) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	return []faultregistry.Fault{{Path: "^/token$", Respond: service}, {Path: faultyPath, Respond: check}}
}

// networkFaults: no proper answer comes at all.
func networkFaults(t *testing.T) map[string]faultCase {
	ours, theirs := newAuthority(t), newAuthority(t)
	secure := func(ca *authority, changes ...func(c *x509.Certificate)) func(t *testing.T, _ *testRegistry) string {
		return func(t *testing.T, _ *testRegistry) string {
			g := newTestTLSRegistry(t, ca, changes...)
			g.seed(t, "faulty/app", "v1", faultyImage)
			return g.host
		}
	}
	tls := func(says string, ca *authority, changes ...func(c *x509.Certificate)) faultCase {
		return faultCase{
			sourceHost: secure(ca, changes...),
			access:     func(a *Access) { a.Insecure, a.ExtraCAs = nil, ours.pem() },
			class:      TLS, at: "source", part: "manifest", messages: []string{says},
		}
	}
	const soon = time.Second // long enough for a busy machine to do the rest
	blob := "/blobs/" + faultyLayer.digest
	return map[string]faultCase{
		"the wrong CA": tls("which no trusted CA vouches for", theirs),
		"an expired certificate": tls("expired at 2020-02-01T00:00:00Z", ours, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
				time.Date(2020, 2, 1, 0, 0, 0, 0, time.UTC)
		}),
		"a certificate of tomorrow": tls("is not valid before 2199-01-01T00:00:00Z", ours, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
				time.Date(2199, 2, 1, 0, 0, 0, 0, time.UTC)
		}),
		"a certificate of another": tls("is valid for other.example.com only", ours, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"other.example.com"}
		}),
		"no TLS at all": {
			sourceHost: func(_ *testing.T, source *testRegistry) string { return source.host },
			access:     func(a *Access) { a.Insecure = nil }, class: TLS, at: "source", part: "manifest",
			messages: []string{"HTTP response to HTTPS client"},
		},
		"headers that trickle": {source: onImage("GET", "/manifests/", 0, faultregistry.TrickleHeaders(soon/20)),
			timeout: soon, class: Timeout, at: "source", part: "manifest", messages: []string{"stayed silent"}},
		"a body that trickles": {source: onImage("GET", blob, 0, faultregistry.TrickleBody(soon/4)), timeout: soon,
			class: Timeout, at: "source", part: "blob "},
		"accepts and hangs": {source: onImage("GET", "/manifests/", 0, faultregistry.Hang()), timeout: soon,
			class: Timeout, at: "source", part: "manifest", messages: []string{"a node would wait for ever"}},
		"an upload that hangs": {target: onImage("POST", "", 0, faultregistry.Hang()), timeout: soon, class: Timeout,
			at: "target", part: "push blob "},
		"nobody listens": {
			sourceHost: func(t *testing.T,
				_ *testRegistry) string {
				g := newTestRegistry(t)
				g.server.Close()
				return g.host
			},
			class: Refused, at: "source",
		},
		"no such name": {sourceHost: func(*testing.T,
			*testRegistry) string {
			return "registry.invalid"
		}, class: Refused, at: "source"},
		"hangs up, once": {source: onImage("GET", "/manifests/", 1, faultregistry.CloseConnection())},
		"hangs up": {source: onImage("GET|HEAD", "/manifests/", 0, faultregistry.CloseConnection()),
			class: Refused, at: "source", part: "manifest"},
		"redirect to a dead host": {source: onImage("GET", blob, 0,
			faultregistry.Redirect("http://127.0.0.1:1/blob?signature=secret")), class: Refused, at: "source",
			part: "blob ", messages: []string{"127.0.0.1:1/blob?..."}},
		"redirect in a circle": {source: onImage("GET", blob, 0, faultregistry.RedirectToItself()),
			class: Unknown, at: "source", part: "blob ", messages: []string{"10 redirects"}},
		"500 once": {source: onImage("GET", blob, 1, faultregistry.Respond(500, ""))},
		"502 twice to a push": {target: onImage("PUT", "/manifests/", 2,
			faultregistry.Respond(502, "bad gateway"))},
		"500 for ever": {source: onImage("GET", blob, 0,
			faultregistry.Error(500, "UNKNOWN", "unknown error")), class: Unknown, at: "source", part: "blob ",
			messages: []string{"500", "unknown error"}},
		"503 for ever to an upload": {target: onImage("POST", "", 0,
			faultregistry.Respond(503, "upstream down", "Content-Type", "text/plain")), class: Unknown, at: "target",
			part: "push blob ", messages: []string{"503", "upstream down"}},
		"upload lost, once": {target: onImage("", "/blobs/uploads/", 0, faultregistry.LoseUpload())},
		"upload lost": {target: onImage("PUT|PATCH", "/uploads/", 0,
			faultregistry.Error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")), class: Unknown,
			at: "target", part: "push blob ", messages: []string{"BLOB_UPLOAD_UNKNOWN", "is lost"}},
		"an upload that is cut":       {target: onImage("PUT", "/uploads/", 1, faultregistry.CloseConnection())},
		"the answer to a push is cut": {target: onImage("PUT", "/manifests/", 1, faultregistry.CloseConnection())},
	}
}

// dialects: registries that are odd, and right; and names that are wrong.
func registryVariants() map[string]faultCase {
	everywhere := onRegistry("", "/blobs/uploads/", 0, nil)
	withDo := func(do faultregistry.Responder) []faultregistry.Fault {
		faults := slices.Clone(everywhere)
		faults[0].Respond = do
		return faults
	}
	mounts := func(do faultregistry.Responder) []faultregistry.Fault {
		return []faultregistry.Fault{{Method: "POST", Path: faultyPath, Query: "mount=", Respond: do}}
	}
	artifact := artifactWithoutLayers()
	foreign := withForeignLayer()
	empty := singleArch("empty", "amd64", newContent(layerType, nil))
	schema1 := schema1Image()
	huge := hugeManifest()
	return map[string]faultCase{
		"no mounts: 405": {sameRegistry: true, target: mounts(faultregistry.Error(405, "UNSUPPORTED", "mount"))},
		"no mounts: 400, Quay": {sameRegistry: true,
			target: mounts(faultregistry.Error(400, "BLOB_UPLOAD_INVALID", "blob upload invalid"))},
		"mounts answered with 202": {sameRegistry: true,
			target: mounts(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				r.URL.RawQuery = ""
				next.ServeHTTP(w, r)
			})},
		"absolute locations":      {target: withDo(faultregistry.AbsoluteLocation())},
		"locations without query": {target: withDo(faultregistry.LocationWithoutQuery())},
		"no HEAD": {
			source: onImage("HEAD", "", 0, faultregistry.Respond(405, "")),
			target: onImage("HEAD", "", 0, faultregistry.Respond(405, "")),
		},
		"an artifact without layers": {image: &artifact},
		"foreign layers":             {image: &foreign},
		"a blob of no bytes":         {image: &empty},
		"schema 1": {image: &schema1,
			source: onImage("GET|HEAD", "/manifests/", 0,
				faultregistry.Respond(200, string(schema1.top.raw), "Content-Type", schema1.top.mediaType)),
			target: onImage("PUT", "/manifests/", 0,
				faultregistry.Error(400, "MANIFEST_INVALID", "schema version 1 is not supported")), class: Unknown,
			at: "target", part: "push manifest ", messages: []string{"schema version 1"}},
		"a manifest of 5 MiB": {
			image: &huge, source: onImage("GET|HEAD", "/manifests/", 0,
				faultregistry.Respond(200, string(huge.top.raw), "Content-Type", huge.top.mediaType)),
			class: Corrupt, at: "source", part: "manifest", messages: []string{"larger than the 4 MiB"},
		},
		"upper case": {name: "Faulty/App:v1", class: Unknown, at: "source", part: "reference",
			messages: []string{"lowercase"}},
		"a name of 256 letters": {name: strings.Repeat("a", 256) + ":v1", class: Unknown, at: "source",
			part: "reference", messages: []string{"255"}},
		"a tag of 129 letters": {name: "faulty/app:" + strings.Repeat("v", 129), class: Unknown, at: "source",
			part: "reference", messages: []string{"128"}},
	}
}

func TestFaults(t *testing.T) {
	for kind, cases := range map[string]map[string]faultCase{
		"rate": rateFaults(), "content": contentFaults(), "access": accessFaults(), "token": tokenFaults(),
		"network": networkFaults(t), "dialect": registryVariants(),
	} {
		for name, tc := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				newFaultRun(t, tc).do(t)
			})
		}
	}
}

// faultRun is one image on its way through the fault, and a healthy one beside it.
type faultRun struct {
	faultCase
	source, target *testRegistry
	proxies        []*faultregistry.Proxy
	from, to       string
	client         *Client
	healthy        func() error
}

func newFaultRun(t *testing.T, tc faultCase) *faultRun {
	t.Helper()
	r := &faultRun{faultCase: tc, source: newTestRegistry(t), target: newTestRegistry(t)}
	if r.image == nil {
		r.image = &faultyImage
	}
	if r.name == "" {
		r.name = "faulty/app:v1"
		seeded := r.source
		if r.verifyOnly {
			seeded = r.target
		}
		seeded.seedPartially("faulty/app", "v1", *r.image)
	}
	r.from, r.to = r.source.host+"/"+r.name, r.target.host+"/"+r.name
	if r.sourceHost != nil {
		r.from = r.sourceHost(t, r.source) + "/" + r.name
	}
	if r.sameRegistry {
		r.target.seed(t, "here/app", "v1", *r.image)
		r.from = r.target.host + "/here/app:v1"
	}
	access, target := plainHTTP(), plainHTTP()
	if r.timeout > 0 && tc.source != nil {
		access.Timeout = r.timeout
	} else if r.timeout > 0 {
		target.Timeout = r.timeout
	}
	if r.access != nil {
		r.access(&access)
	}
	traffic, _ := newTestTraffic()
	r.client = newSplitClient(Accesses{Source: access, Push: target, Node: target, traffic: traffic})
	r.prepareHealthy(t, traffic)
	r.proxies = []*faultregistry.Proxy{r.source.withFaults(r.faultCase.source), r.target.withFaults(r.faultCase.target)}
	return r
}

// prepareHealthy places an image that nothing is wrong with beside the other one.
func (r *faultRun) prepareHealthy(t *testing.T, traffic *traffic) {
	source, target := r.source, r.target
	if r.separateHosts {
		source, target = newTestRegistry(t), newTestRegistry(t)
	}
	img := multiArch("healthy")
	source.seed(t, "healthy/app", "v1", img)
	client := newSplitClient(Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP(), traffic: traffic})
	to := target.host + "/healthy/app:v1"
	r.healthy = func() error {
		if _, err := client.Copy(context.Background(), []string{source.host + "/healthy/app:v1"}, to,
			img.top.digest); err != nil {
			return err
		}
		_, err := client.Verify(context.Background(), []string{to}, fullDownload(img.top.digest))
		return err
	}
}

func (r *faultRun) do(t *testing.T) {
	var failure, beside error
	var both sync.WaitGroup
	both.Go(func() { beside = r.healthy() })
	both.Go(func() { failure = r.run() })
	both.Wait()
	if beside != nil {
		t.Errorf("the healthy image beside it: %v", beside)
	}
	r.checkError(t, failure)
	r.checkTarget(t, failure == nil)
	for i, faults := range [][]faultregistry.Fault{r.faultCase.source, r.faultCase.target} {
		for n, struck := range r.proxies[i].Hits() {
			if struck == 0 {
				t.Errorf("the fault %d, %s %s, has never struck", n, faults[n].Method, faults[n].Path)
			}
		}
	}
}

func (r *faultRun) run() error {
	if r.verifyOnly {
		_, err := r.client.Verify(context.Background(), []string{r.to}, fullDownload(r.image.top.digest))
		return err
	}
	_, err := r.client.Copy(context.Background(), []string{r.from}, r.to, r.image.top.digest)
	return err
}

// fullDownload downloads everything.
func fullDownload(digest string) VerifyOptions {
	return VerifyOptions{Digest: digest, Download: DownloadFull}
}

// checkError compares the error with what it should be.
func (r *faultRun) checkError(t *testing.T, err error) {
	if r.class == "" {
		if err != nil {
			t.Errorf("did not get over it: %v", err)
		}
		return
	}
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want an error of class %s", err, r.class)
	}
	endpoint := map[string]string{"source": r.from, "target": r.to}[r.at]
	if got.Class != r.class || got.Endpoint != endpoint && r.part != "reference" ||
		!strings.HasPrefix(got.Part, r.part) {
		t.Errorf("got class %s at %s, part %q; want %s at %s, part %q\n%v", got.Class, got.Endpoint, got.Part, r.class,
			endpoint, r.part, err)
	}
	for _, text := range append(r.messages, got.Endpoint, got.Part) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%q tells a secret", err)
	}
}

// checkTarget looks at the registry behind the target: what is under the tag is the whole image, or
// there is nothing.
func (r *faultRun) checkTarget(t *testing.T, copied bool) {
	if r.verifyOnly || r.part == "reference" {
		return
	}
	if !r.target.has(t, "/v2/faulty/app/manifests/v1") {
		if copied {
			t.Error("the copy succeeded, and there is nothing")
		}
		return
	}
	if lacking := r.target.wrongContent("faulty/app", "v1", *r.image); len(lacking) > 0 {
		t.Errorf("under the tag is an image with these wrong or missing: %v", lacking)
	}
}

// withFaults puts faults before a registry.
func (g *testRegistry) withFaults(faults []faultregistry.Fault) *faultregistry.Proxy {
	proxy := faultregistry.New(g.storage)
	proxy.SetFaults(faults...)
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		proxy.ServeHTTP(w, r)
		return true
	})
	return proxy
}

// seedPartially stores an image, also one that the registry takes only in parts.
func (g *testRegistry) seedPartially(repo, tag string, img image) {
	put := func(method, path, mediaType string, raw []byte) { g.do(method, path, mediaType, raw) }
	for _, b := range img.blobs {
		put(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+b.digest, "application/octet-stream", b.raw)
	}
	for _, m := range img.children {
		put(http.MethodPut, "/v2/"+repo+"/manifests/"+m.digest, m.mediaType, m.raw)
	}
	put(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, img.top.mediaType, img.top.raw)
}

// wrongContent lists what of an image is not there as it should be.
func (g *testRegistry) wrongContent(repo, tag string, img image) []string {
	var wrong []string
	expect := func(path string, c content) {
		status, raw := g.do(http.MethodGet, path, "", nil)
		if status != http.StatusOK || !bytes.Equal(raw, c.raw) {
			wrong = append(wrong, path)
		}
	}
	expect("/v2/"+repo+"/manifests/"+tag, img.top)
	for _, m := range img.children {
		expect("/v2/"+repo+"/manifests/"+m.digest, m)
	}
	for _, b := range img.blobs {
		expect("/v2/"+repo+"/blobs/"+b.digest, b)
	}
	return wrong
}

// artifactWithoutLayers is what "oras attach" makes: an empty config and nothing else.
func artifactWithoutLayers() image {
	config := newContent("application/vnd.oci.empty.v1+json", []byte("{}"))
	top := newContent(manifestType, toJSON(object{
		"schemaVersion": 2, "mediaType": manifestType, "artifactType": "application/vnd.example+json",
		"config": config.descriptor(), "layers": []object{},
	}))
	return image{top: top, blobs: []content{config}}
}

// withForeignLayer is a Windows image: its base layer is elsewhere, and nodes fetch it from there.
func withForeignLayer() image {
	img := singleArch("windows", "amd64")
	var manifest object
	if err := json.Unmarshal(img.top.raw, &manifest); err != nil {
		panic(err)
	}
	base := newContent("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", []byte("elsewhere")).descriptor()
	base["urls"] = []string{"https://mcr.example.com/base"}
	manifest["layers"] = append([]any{base}, manifest["layers"].([]any)...)
	img.top = newContent(manifestType, toJSON(manifest))
	return img
}

func schema1Image() image {
	layer := layerOf("schema 1")
	return image{blobs: []content{layer}, top: newContent("application/vnd.docker.distribution.manifest.v1+json",
		toJSON(object{
			"schemaVersion": 1, "name": "faulty/app", "tag": "v1", "architecture": "amd64",
			"fsLayers": []object{{"blobSum": layer.digest}},
			"history":  []object{{"v1Compatibility": "{}"}},
		}))}
}

// hugeManifest is larger than the 4 MiB that a node reads (containers/image, internal/iolimits).
func hugeManifest() image {
	config := newContent(configType, []byte("{}"))
	return image{blobs: []content{config}, top: newContent(manifestType, toJSON(object{
		"schemaVersion": 2, "mediaType": manifestType, "config": config.descriptor(), "layers": []object{},
		"annotations": object{"padding": strings.Repeat("x", 5<<20)},
	}))}
}
