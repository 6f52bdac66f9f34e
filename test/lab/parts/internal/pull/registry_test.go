package pull

import (
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// registry is as much of an OCI registry as a pull needs: GET of manifests and blobs.
type registry struct {
	*httptest.Server

	mu        sync.Mutex
	manifests map[string][]byte // "repo:tag" and "repo@digest"
	blobs     map[string][]byte // "repo@digest"
	requests  []string
	password  string          // when set, user:password is asked for
	hold      <-chan struct{} // when set, manifests are not answered before it closes
	arrived   chan struct{}   // tells of each request for a manifest that is held
	corrupt   map[digest.Digest]bool
}

func newRegistry(t *testing.T, start func(http.Handler) *httptest.Server) *registry {
	t.Helper()
	r := &registry{manifests: map[string][]byte{}, blobs: map[string][]byte{}, corrupt: map[digest.Digest]bool{},
		arrived: make(chan struct{}, 10)}
	r.Server = start(r)
	t.Cleanup(r.Close)
	return r
}

// plain is a registry without TLS, which registries.conf has to call insecure.
func plain(t *testing.T) *registry { return newRegistry(t, httptest.NewServer) }

func (r *registry) host() string { return r.Listener.Addr().String() }

func (r *registry) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if r.password != "" {
		if _, password, _ := request.BasicAuth(); password != r.password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	path := strings.TrimPrefix(request.URL.Path, "/v2/")
	if path == "" {
		return
	}
	r.mu.Lock()
	r.requests = append(r.requests, path)
	r.mu.Unlock()
	if repo, ref, ok := strings.Cut(path, "/manifests/"); ok {
		r.serveManifest(w, request, repo, ref)
	} else if repo, d, ok := strings.Cut(path, "/blobs/"); ok {
		r.serveBlob(w, repo, digest.Digest(d))
	}
}

func (r *registry) serveManifest(w http.ResponseWriter, request *http.Request, repo, ref string) {
	if r.hold != nil {
		r.arrived <- struct{}{}
		select {
		case <-r.hold:
		case <-request.Context().Done():
		}
	}
	name := repo + ":" + ref
	if strings.HasPrefix(ref, "sha256:") {
		name = repo + "@" + ref
	}
	r.mu.Lock()
	content, ok := r.manifests[name]
	r.mu.Unlock()
	if !ok {
		notFound(w, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	var kind struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(content, &kind)
	w.Header().Set("Content-Type", kind.MediaType)
	_, _ = w.Write(content)
}

func (r *registry) serveBlob(w http.ResponseWriter, repo string, d digest.Digest) {
	content, ok := r.blobs[repo+"@"+d.String()]
	if !ok {
		notFound(w, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	if r.corrupt[d] {
		content = append([]byte("x"), content[1:]...)
	}
	_, _ = w.Write(content)
}

func notFound(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, code, message))
}

// count tells how often a path with this part in it was asked for.
func (r *registry) count(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, path := range r.requests {
		if strings.Contains(path, part) {
			n++
		}
	}
	return n
}

// image is the content of a test image: layers by content, made unique by its name.
type image struct {
	config, layer   imgspecv1.Descriptor
	manifest, index digest.Digest
}

// push stores a two-level image (index, linux/amd64 child, config, one layer) as repo:tag.
func (r *registry) push(repo, tag, content string) image {
	var i image
	i.layer = r.blob(repo, imgspecv1.MediaTypeImageLayerGzip, []byte("layer of "+content))
	config, _ := json.Marshal(imgspecv1.Image{Platform: imgspecv1.Platform{OS: "linux", Architecture: "amd64"},
		Author: content})
	i.config = r.blob(repo, imgspecv1.MediaTypeImageConfig, config)
	child := r.manifest(repo, imgspecv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imgspecv1.MediaTypeImageManifest,
		Config: i.config, Layers: []imgspecv1.Descriptor{i.layer},
	})
	child.Platform = &imgspecv1.Platform{OS: "linux", Architecture: "amd64"}
	child.MediaType = imgspecv1.MediaTypeImageManifest
	index := r.manifest(repo, imgspecv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imgspecv1.MediaTypeImageIndex,
		Manifests: []imgspecv1.Descriptor{child},
	})
	i.manifest, i.index = child.Digest, index.Digest
	r.manifests[repo+":"+tag] = r.manifests[repo+"@"+index.Digest.String()]
	return i
}

func (r *registry) manifest(repo string, content any) imgspecv1.Descriptor {
	body, _ := json.Marshal(content)
	d := digest.FromBytes(body)
	r.manifests[repo+"@"+d.String()] = body
	return imgspecv1.Descriptor{Digest: d, Size: int64(len(body))}
}

func (r *registry) blob(repo, mediaType string, content []byte) imgspecv1.Descriptor {
	d := digest.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(content)))
	r.blobs[repo+"@"+d.String()] = content
	return imgspecv1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}
