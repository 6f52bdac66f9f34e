package mirror

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func assertVerified(t *testing.T, endpoint string, img image) {
	t.Helper()
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{endpoint},
		VerifyOptions{Digest: img.top.digest, Download: DownloadFull})
	if err != nil {
		t.Errorf("not pullable afterwards: %v", err)
	}
}

func TestCopyBringsTheWholeIndexOnce(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "acme/app", "v1", img)
	_, size := img.bytes()
	from, to := source.host+"/acme/app:v1", target.host+"/mirror/app:v1"
	c := newTestClient(plainHTTP())

	got, err := c.Copy(context.Background(), []string{from}, to, img.top.digest)
	if err != nil {
		t.Fatal(err)
	}
	want := CopyResult{From: from, To: to, Digest: img.top.digest, Bytes: size, Pushed: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	assertVerified(t, to, img)

	target.resetRequests()
	got, err = c.Copy(context.Background(), []string{from}, to, img.top.digest)
	if err != nil {
		t.Fatal(err)
	}
	want.Bytes, want.Pushed = 0, false
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("second copy (-want +got):\n%s", diff)
	}
	if wrote := append(target.requests("PUT "), target.requests("POST ")...); len(wrote) > 0 {
		t.Errorf("the second copy wrote %v", wrote)
	}
}

func TestCopyOfALargeLayer(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := singleArch("app", "amd64", layerOf(strings.Repeat("0123456789abcdef", 1<<19))) // 8 MiB
	source.seed(t, "app", "v1", img)
	to := target.host + "/app:v1"
	copied, err := newTestClient(plainHTTP()).Copy(context.Background(), []string{source.host + "/app:v1"}, to,
		img.top.digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, size := img.bytes(); copied.Bytes != size {
		t.Errorf("copied %d bytes of %d", copied.Bytes, size)
	}
	assertVerified(t, to, img)
}

func TestCopyPushesTheTopManifestLast(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	if _, err := newTestClient(plainHTTP()).Copy(context.Background(), []string{source.host + "/app:v1"}, target.host+
		"/app:v1", ""); err != nil {
		t.Fatal(err)
	}
	wrote := target.requests("PUT ")
	if last := wrote[len(wrote)-1]; last != "PUT /v2/app/manifests/v1" {
		t.Errorf("last write is %q of %v", last, wrote)
	}
}

func TestCopyRepairs(t *testing.T) {
	img := multiArch("app")
	for name, tc := range damages(img) {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			target.seed(t, "app", "v1", img)
			tc.damage(t, target, "app")
			c := newTestClient(plainHTTP())
			copied, err := c.Copy(context.Background(), []string{source.host + "/app:v1"}, target.host+"/app:v1",
				img.top.digest)
			if err != nil {
				t.Fatal(err)
			}
			if !copied.Pushed {
				t.Errorf("says it pushed nothing: %+v", copied)
			}
			assertVerified(t, target.host+"/app:v1", img)
		})
	}
}

func TestCopyByDigest(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img, moved := singleArch("app", "amd64"), singleArch("moved", "amd64")
	source.seed(t, "app", "v1", img)
	source.seed(t, "app", "v1", moved) // the tag has moved since the digest was taken
	cases := map[string]string{
		"to a tag":    target.host + "/tagged:v1",
		"to a digest": target.host + "/digested@" + img.top.digest,
	}
	for name, to := range cases {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(plainHTTP())
			if _, err := c.Copy(context.Background(), []string{source.host + "/app:v1"}, to,
				img.top.digest); err != nil {
				t.Fatal(err)
			}
			assertVerified(t, to, img)
		})
	}
}

func TestCopyReplacesAnotherImageUnderTheTag(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	target.seed(t, "app", "v1", multiArch("yesterday"))
	c := newTestClient(plainHTTP())
	if _, err := c.Copy(context.Background(), []string{source.host + "/app:v1"}, target.host+"/app:v1",
		img.top.digest); err != nil {
		t.Fatal(err)
	}
	assertVerified(t, target.host+"/app:v1", img)
}

func TestCopyWithinARegistryMounts(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	g.seed(t, "acme/app", "v1", img)
	copied, err := newTestClient(plainHTTP()).Copy(context.Background(), []string{g.host + "/acme/app:v1"}, g.host+
		"/mirror/app:v1", "")
	if err != nil {
		t.Fatal(err)
	}
	if copied.Bytes != 0 || !copied.Pushed {
		t.Errorf("%+v: blobs within one registry need no upload", copied)
	}
	assertVerified(t, g.host+"/mirror/app:v1", img)
}

func TestCopyTakesTheNextSource(t *testing.T) {
	img := multiArch("app")
	cases := map[string]func(t *testing.T, g *testRegistry){
		"the first does not have it": func(*testing.T, *testRegistry) {},
		"the first lacks a layer": func(t *testing.T,
			g *testRegistry) {
			g.seed(t, "app", "v1", img)
			g.removeBlob(t, "app", img.blobs[2])
		},
		"the first lacks a child": func(t *testing.T, g *testRegistry) {
			g.seed(t, "app", "v1", img)
			g.removeManifest(t, "app", img.children[0])
		},
		"the first has a truncated layer": func(t *testing.T,
			g *testRegistry) {
			g.seed(t, "app", "v1", img)
			g.truncate("app", img.blobs[2])
		},
		"the first serves other content": func(t *testing.T,
			g *testRegistry) {
			g.seed(t, "app", "v1", img)
			g.falsify("app", img.blobs[2])
		},
		"the first breaks off in the layer": func(t *testing.T,
			g *testRegistry) {
			g.seed(t, "app", "v1", img)
			g.breakOff("app", img.blobs[2])
		},
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			first, second, target := newTestRegistry(t), newTestRegistry(t), newTestRegistry(t)
			damage(t, first)
			second.seed(t, "app", "v1", img)
			from := []string{first.host + "/app:v1", second.host + "/app:v1"}
			copied, err := newTestClient(plainHTTP()).Copy(context.Background(), from, target.host+"/app:v1",
				img.top.digest)
			if err != nil {
				t.Fatal(err)
			}
			if copied.From != from[1] {
				t.Errorf("copied from %s", copied.From)
			}
			assertVerified(t, target.host+"/app:v1", img)
		})
	}
}

// falsify serves other bytes of the same length for a blob.
func (g *testRegistry) falsify(repo string, c content) {
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Path != "/v2/"+repo+"/blobs/"+c.digest {
			return false
		}
		_, _ = w.Write([]byte(strings.Repeat("x", len(c.raw))))
		return true
	})
}

// breakOff closes the connection in the middle of a blob.
func (g *testRegistry) breakOff(repo string, c content) {
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Path != "/v2/"+repo+"/blobs/"+c.digest {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(c.raw)))
		_, _ = w.Write(c.raw[:len(c.raw)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
}

func TestCopyFailures(t *testing.T) {
	img := multiArch("app")
	cases := map[string]struct {
		source, target func(t *testing.T, g *testRegistry)
		want           func(from, to string) wantError
	}{
		"the source does not have it": {
			want: func(from, _ string) wantError { return wantError{Missing, from, "manifest"} },
		},
		"the source lacks a layer": {
			source: func(t *testing.T, g *testRegistry) {
				g.seed(t, "app", "v1", img)
				g.removeBlob(t, "app",
					img.blobs[2])
			},
			want: func(from, _ string) wantError {
				return wantError{Incomplete, from, "blob " +
					img.blobs[2].digest}
			},
		},
		"the source breaks off": {
			source: func(t *testing.T, g *testRegistry) {
				g.seed(t, "app", "v1", img)
				g.breakOff("app",
					img.blobs[2])
			},
			want: func(from, _ string) wantError { return wantError{Refused, from, "blob " + img.blobs[2].digest} },
		},
		"the source serves other content": {
			source: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", img); g.falsify("app", img.blobs[2]) },
			want:   func(from, _ string) wantError { return wantError{Corrupt, from, "blob " + img.blobs[2].digest} },
		},
		"the target is read-only": {
			source: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", img) },
			target: func(_ *testing.T, g *testRegistry) { g.respondWith("POST", "/uploads/", 405, "") },
			want: func(_, to string) wantError {
				return wantError{ReadOnly, to, "push blob " +
					smallest(img).digest}
			},
		},
		"the target refuses a manifest": {
			source: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", img) },
			target: func(_ *testing.T, g *testRegistry) { g.respondWith("PUT", "/manifests/v1", 403, "") },
			want:   func(_, to string) wantError { return wantError{Denied, to, "push manifest " + img.top.digest} },
		},
		"the target is silent": {
			source: func(t *testing.T, g *testRegistry) { g.seed(t, "app", "v1", img) },
			target: func(_ *testing.T, g *testRegistry) {
				g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, "/blobs/") {
						return false
					}
					<-r.Context().Done()
					return true
				})
			},
			want: func(_, to string) wantError { return wantError{Timeout, to, "blob " + smallest(img).digest} },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			if tc.source != nil {
				tc.source(t, source)
			}
			if tc.target != nil {
				tc.target(t, target)
			}
			from, to := source.host+"/app:v1", target.host+"/app:v1"
			access := plainHTTP()
			if strings.Contains(name, "silent") {
				access = shortTimeout()
			}
			_, err := newTestClient(access).Copy(context.Background(), []string{from}, to, img.top.digest)
			assertError(t, err, tc.want(from, to))
			if target.has(t, "/v2/app/manifests/v1") {
				t.Error("the target shows a top manifest of an image it does not have")
			}
		})
	}
}

func TestCopyWithoutSources(t *testing.T) {
	target := newTestRegistry(t)
	to := target.host + "/app:v1"
	_, err := newTestClient(plainHTTP()).Copy(context.Background(), []string{to}, to, "")
	assertError(t, err, wantError{Missing, "", "manifest"})
}

func TestCopyBringsSignatures(t *testing.T) {
	img := multiArch("app")
	top, child := signatureTag(digest.Digest(img.top.digest)), signatureTag(digest.Digest(img.children[0].digest))
	for name, tc := range map[string]struct {
		source         []string // the tags of signatures
		ask            bool
		asked, brought int
	}{
		"none":                           {asked: 1},
		"of the index":                   {source: []string{top}, asked: 3, brought: 1},
		"of all, by cosign --recursive":  {source: []string{top, child}, asked: 3, brought: 2},
		"of a child only":                {source: []string{child}, asked: 1},
		"of a child only, and asked for": {source: []string{child}, ask: true, asked: 3, brought: 1},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			for _, tag := range tc.source {
				source.seed(t, "app", tag, singleArch("signature of "+tag, "amd64"))
			}
			job := jobFor(source, target, "app")
			job.ChildSignatures = tc.ask
			runJobs(t, newTestClient(plainHTTP()), EngineOptions{}, job)
			if asked := source.requests("HEAD /v2/app/manifests/sha256-"); len(asked) != tc.asked {
				t.Errorf("asked for %v, want %d", asked, tc.asked)
			}
			brought := 0
			for _, tag := range []string{top, child} {
				if target.has(t, "/v2/app/manifests/"+tag) {
					assertVerified(t, target.host+"/app:"+tag, singleArch("signature of "+tag, "amd64"))
					brought++
				}
			}
			if brought != tc.brought {
				t.Errorf("%d signatures at the target, want %d", brought, tc.brought)
			}
		})
	}
}

func TestCopyFallsBackToChunks(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := singleArch("app", "amd64")
	source.seed(t, "app", "v1", img)
	target.inject(func(w http.ResponseWriter, r *http.Request) bool {
		// A proxy before the registry that takes no body in one piece.
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/") && r.ContentLength > 0 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return true
		}
		return false
	})
	if _, err := newTestClient(plainHTTP()).Copy(context.Background(), []string{source.host + "/app:v1"}, target.host+
		"/app:v1", ""); err != nil {
		t.Fatal(err)
	}
	assertVerified(t, target.host+"/app:v1", img)
}

func TestCopyStopsWhenCancelled(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	ctx, cancel := context.WithCancel(context.Background())
	source.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	})
	_, err := newTestClient(plainHTTP()).Copy(ctx, []string{source.host + "/app:v1", source.host + "/other:v1"},
		target.host+"/app:v1", "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
