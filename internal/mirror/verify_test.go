package mirror

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// wantError is the part of an Error that tests compare.
type wantError struct {
	Class    ErrorClass
	Endpoint string
	Part     string
}

func assertError(t *testing.T, err error, want wantError) {
	t.Helper()
	got := asError(t, err)
	if diff := gocmp.Diff(want, wantError{got.Class, got.Endpoint, got.Part}); diff != "" {
		t.Errorf("%v\n(-want +got):\n%s", err, diff)
	}
}

func asError(t *testing.T, err error) *Error {
	t.Helper()
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want an *Error", err)
	}
	return got
}

func TestVerifyProvesAMultiArchIndex(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	g.seed(t, "acme/app", "v1", img)
	count, size := img.bytes()
	endpoint := g.host + "/acme/app:v1"
	for _, download := range []Download{DownloadNone, DownloadSample, DownloadFull} {
		t.Run("download "+string(download), func(t *testing.T) {
			got, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{endpoint}, VerifyOptions{
				Digest: img.top.digest, RequiredPlatforms: []string{"linux/amd64", "linux/arm64"}, Download: download,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := Proof{
				Endpoint: endpoint, Digest: img.top.digest, Digests: img.digests(), MediaType: indexType,
				Platforms: []string{"linux/amd64", "linux/arm64/v8"}, Blobs: count, Bytes: size,
			}
			if diff := gocmp.Diff(want, got, cmpopts.IgnoreFields(Proof{}, "At", "SlowestResponse")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if time.Since(got.At) > time.Minute {
				t.Errorf("proof is of %s", got.At)
			}
		})
	}
}

func TestVerifyNestedIndex(t *testing.T) {
	g := newTestRegistry(t)
	inner := multiArch("app")
	img := indexOf(entry{inner, nil}, entry{singleArch("app", "s390x"), object{"os": "linux", "architecture": "s390x"}})
	g.seed(t, "app", "v1", img)
	c := newTestClient(plainHTTP())
	proof, err := c.Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"linux/amd64", "linux/arm64/v8", "linux/s390x"}
	if diff := gocmp.Diff(want, proof.Platforms); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	g.removeManifest(t, "app", inner.children[1])
	_, err = c.Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
	assertError(t, err, wantError{Incomplete, g.host + "/app:v1", "child " + inner.children[1].digest +
		" (linux/arm64/v8)"})
}

// damages are the ways in which a mirror can hold the right top manifest and still not be pullable.
func damages(img image) map[string]struct {
	damage func(t *testing.T, g *testRegistry, repo string)
	class  ErrorClass
	part   string
} {
	arm, config, layer := img.children[1], img.blobs[0], img.blobs[2]
	return map[string]struct {
		damage func(t *testing.T, g *testRegistry, repo string)
		class  ErrorClass
		part   string
	}{
		"child manifest missing": {
			damage: func(t *testing.T, g *testRegistry, repo string) { g.removeManifest(t, repo, arm) },
			class:  Incomplete, part: "child " + arm.digest + " (linux/arm64/v8)",
		},
		"config blob missing": {
			damage: func(t *testing.T, g *testRegistry, repo string) { g.removeBlob(t, repo, config) },
			class:  Incomplete, part: "blob " + config.digest,
		},
		"layer blob missing": {
			damage: func(t *testing.T, g *testRegistry, repo string) { g.removeBlob(t, repo, layer) },
			class:  Incomplete, part: "blob " + layer.digest,
		},
		"layer blob of another size": {
			damage: func(_ *testing.T, g *testRegistry, repo string) { g.truncate(repo, layer) },
			class:  Corrupt, part: "blob " + layer.digest,
		},
	}
}

// truncate makes the registry serve a blob one byte short, until somebody uploads it again.
func (g *testRegistry) truncate(repo string, c content) {
	var repaired atomic.Bool
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.Query().Get("digest") == c.digest {
			repaired.Store(true)
		}
		if repaired.Load() || r.URL.Path != "/v2/"+repo+"/blobs/"+c.digest {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(c.raw)-1))
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = w.Write(c.raw[:len(c.raw)-1])
		}
		return true
	})
}

func TestVerifyNamesTheFailureAndDoesNotFallBack(t *testing.T) {
	img := multiArch("app")
	for name, tc := range damages(img) {
		t.Run(name, func(t *testing.T) {
			first, second := newTestRegistry(t), newTestRegistry(t)
			first.seed(t, "app", "v1", img)
			second.seed(t, "app", "v1", img)
			tc.damage(t, first, "app")
			_, err := newTestClient(plainHTTP()).Verify(context.Background(),
				[]string{first.host + "/app:v1", second.host + "/app:v1"}, VerifyOptions{Digest: img.top.digest})
			assertError(t, err, wantError{tc.class, first.host + "/app:v1", tc.part})
			if asked := second.requests(""); len(asked) > 0 {
				t.Errorf("a node would not ask the second endpoint, but it was asked %v", asked)
			}
		})
	}
}

func TestVerifyTheTopManifest(t *testing.T) {
	img, other := multiArch("app"), multiArch("other")
	single := singleArch("app", "amd64")
	cases := map[string]struct {
		arrange func(t *testing.T, g *testRegistry)
		want    VerifyOptions
		class   ErrorClass // "" when it must be proven
		words   string
	}{
		"another image under the tag": {
			arrange: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", other) },
			want:    VerifyOptions{Digest: img.top.digest},
			class:   Corrupt, words: "serves " + other.top.digest + ", expected " + img.top.digest,
		},
		"the digest header lies": {
			arrange: func(t *testing.T, g *testRegistry) {
				g.seed(t, "app", "v1", img)
				g.inject(func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, "/manifests/") {
						return false
					}
					w.Header().Set("Content-Type", indexType)
					w.Header().Set("Docker-Content-Digest", img.top.digest)
					_, _ = w.Write(other.top.raw)
					return true
				})
			},
			class: Corrupt, words: img.top.digest,
		},
		"a login page instead of a manifest": {
			arrange: func(_ *testing.T, g *testRegistry) {
				g.inject(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Content-Type", "text/html")
					_, _ = w.Write([]byte("<html>sign in</html>"))
					return true
				})
			},
			class: Corrupt, words: "text/html",
		},
		"a needed platform is not in the index": {
			arrange: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", img) },
			want:    VerifyOptions{RequiredPlatforms: []string{"linux/amd64", "linux/ppc64le"}},
			class:   Incomplete, words: "linux/ppc64le",
		},
		"platforms do not apply to a single image": {
			arrange: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", single) },
			want:    VerifyOptions{RequiredPlatforms: []string{"linux/ppc64le"}},
		},
		"any digest will do": {
			arrange: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", other) },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			first, second := newTestRegistry(t), newTestRegistry(t)
			tc.arrange(t, first)
			second.seed(t, "app", "v1", img)
			_, err := newTestClient(plainHTTP()).Verify(context.Background(),
				[]string{first.host + "/app:v1", second.host + "/app:v1"}, tc.want)
			if tc.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			assertError(t, err, wantError{tc.class, first.host + "/app:v1", "manifest"})
			if !strings.Contains(err.Error(), tc.words) {
				t.Errorf("%q does not say %q", err, tc.words)
			}
		})
	}
}

func TestVerifyFallsBackWhenTheTopManifestIsUnavailable(t *testing.T) {
	img := multiArch("app")
	cases := map[string]struct {
		first func(t *testing.T) (endpoint string)
		class ErrorClass
		part  string // "manifest" when empty
	}{
		"404": {func(t *testing.T) string { return newTestRegistry(t).host + "/app:v1" }, Missing, ""},
		"401": {respondingWith(401, `{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}`), Denied, ""},
		"403": {respondingWith(403, ``), Denied, ""},
		"429": {respondingWith(429, ``), RateLimited, ""},
		"500": {respondingWith(500, ``), Unknown, ""},
		"503": {respondingWith(503, ``), Unknown, ""},
		"refused": {func(t *testing.T) string {
			g := newTestRegistry(t)
			g.server.Close()
			return g.host + "/app:v1"
		}, Refused, "ping"}, // where http is allowed, the protocol is found out first
		"no connection in time": {func(t *testing.T) string { return silentListener(t) + "/app:v1" }, Timeout, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			second := newTestRegistry(t)
			second.seed(t, "app", "v1", img)
			// Only the second one may be reached by http: the handshake of the silent one must be
			// the thing that fails.
			access := Access{Timeout: 200 * time.Millisecond, Insecure: func(reference string) bool {
				return !strings.HasPrefix(name, "no connection") || strings.HasPrefix(reference, second.host)
			}}
			first := tc.first(t)
			proof, err := newTestClient(access).Verify(context.Background(),
				[]string{first, second.host + "/app:v1"}, VerifyOptions{Digest: img.top.digest})
			if err != nil {
				t.Fatal(err)
			}
			if proof.Endpoint != second.host+"/app:v1" || len(proof.Skipped) != 1 {
				t.Fatalf("proof %+v", proof)
			}
			assertError(t, proof.Skipped[0], wantError{tc.class, first, cmp.Or(tc.part, "manifest")})
		})
	}
}

// respondingWith is a registry that answers its manifests with a status.
func respondingWith(status int, body string) func(t *testing.T) string {
	return func(t *testing.T) string {
		g := newTestRegistry(t)
		g.respondWith("", "/manifests/", status, body)
		return g.host + "/app:v1"
	}
}

func TestVerifyStopsAtASilentRegistry(t *testing.T) {
	img := multiArch("app")
	cases := map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"no headers": func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		},
		"a body that does not end": func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", indexType)
			_, _ = w.Write([]byte(`{"schemaVersion":2`))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		},
	}
	for name, silent := range cases {
		t.Run(name, func(t *testing.T) {
			first, second := newTestRegistry(t), newTestRegistry(t)
			first.inject(func(w http.ResponseWriter, r *http.Request) bool {
				return strings.Contains(r.URL.Path, "/manifests/") && silent(w, r)
			})
			second.seed(t, "app", "v1", img)
			_, err := newTestClient(shortTimeout()).Verify(context.Background(),
				[]string{first.host + "/app:v1", second.host + "/app:v1"}, VerifyOptions{})
			assertError(t, err, wantError{Timeout, first.host + "/app:v1", "manifest"})
			var silence *NoResponseError
			if !errors.As(err, &silence) || !silence.Connected {
				t.Errorf("%v does not say that the connection stood", err)
			}
			if asked := second.requests("manifests"); len(asked) > 0 {
				t.Errorf("a node would hang and never ask %v", asked)
			}
		})
	}
}

func TestVerifyReportsEveryEndpointThatFailed(t *testing.T) {
	empty := newTestRegistry(t)
	denied := respondingWith(403, `{"errors":[{"code":"DENIED","message":"not yours"}]}`)(t)
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{empty.host + "/app:v1", denied},
		VerifyOptions{})
	assertError(t, err, wantError{Denied, denied, "manifest"})
	got := asError(t, err)
	var status *StatusError
	if !errors.As(got, &status) || status.Status != 403 || status.Code != "DENIED" {
		t.Errorf("status %+v", status)
	}
	for _, words := range []string{empty.host + "/app:v1", "HTTP 404", "HTTP 403", "not yours"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q does not say %q", err, words)
		}
	}
}

func TestVerifyWithoutEndpoints(t *testing.T) {
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), nil, VerifyOptions{})
	assertError(t, err, wantError{Missing, "", "manifest"})
}

func TestVerifyDoesNotGoPastANameThatIsNone(t *testing.T) {
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{"Not A Name", "quay.io/app:v1"},
		VerifyOptions{})
	assertError(t, err, wantError{Unknown, "Not A Name", "reference"})
}

func TestVerifyBelievesTheDownloadMoreThanHEAD(t *testing.T) {
	img := singleArch("app", "amd64")
	layer := "/blobs/" + img.blobs[1].digest
	cases := map[string]struct {
		head  func(w http.ResponseWriter)
		class ErrorClass
	}{
		"a pull-through cache that has not cached it yet": {head: func(w http.ResponseWriter) { w.WriteHeader(404) }},
		"HEAD is not supported":                           {head: func(w http.ResponseWriter) { w.WriteHeader(405) }},
		"HEAD does not tell the size":                     {head: func(w http.ResponseWriter) { w.WriteHeader(200) }},
		"HEAD is forbidden": {head: func(w http.ResponseWriter) { w.WriteHeader(403) },
			class: Denied},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newTestRegistry(t)
			g.seed(t, "app", "v1", img)
			g.inject(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodHead || !strings.HasSuffix(r.URL.Path, layer) {
					return false
				}
				tc.head(w)
				return true
			})
			_, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{g.host + "/app:v1"},
				VerifyOptions{})
			if tc.class == "" && err != nil {
				t.Fatal(err)
			}
			if tc.class != "" {
				assertError(t, err, wantError{tc.class, g.host + "/app:v1", "blob " + img.blobs[1].digest})
			}
		})
	}
}

func TestVerifyFullDownloadFindsOtherContentOfTheSameSize(t *testing.T) {
	g := newTestRegistry(t)
	img := singleArch("app", "amd64")
	g.seed(t, "app", "v1", img)
	layer := img.blobs[1]
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.digest) {
			return false
		}
		_, _ = w.Write([]byte(strings.Repeat("x", len(layer.raw))))
		return true
	})
	c := newTestClient(plainHTTP())
	if _, err := c.Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{}); err != nil {
		t.Fatalf("by size: %v", err)
	}
	_, err := c.Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{Download: DownloadFull})
	assertError(t, err, wantError{Corrupt, g.host + "/app:v1", "blob " + layer.digest})
}

func TestVerifyRetriesATransientFailure(t *testing.T) {
	g := newTestRegistry(t)
	img := singleArch("app", "amd64")
	g.seed(t, "app", "v1", img)
	failed := 0
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") && failed < 2 {
			failed++
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	if _, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{g.host + "/app:v1"},
		VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
}
