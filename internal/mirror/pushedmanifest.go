package mirror

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/manifest"
)

// pushedDigest is the digest under which a registry has taken a manifest in:
//
//	PUT /v2/acme/app/manifests/v1
//	201, Docker-Content-Digest: sha256:0a1b...
//
// It is empty where the registry says something else, or nothing.
type pushedDigest struct{ digest atomic.Pointer[digest.Digest] }

type pushedDigestKey struct{}

func withPushedDigest(ctx context.Context) (context.Context, *pushedDigest) {
	r := &pushedDigest{}
	return context.WithValue(ctx, pushedDigestKey{}, r), r
}

// recordPushedDigest keeps what the last answer says, should whoever sent the request want a
// receipt.
func recordPushedDigest(req *http.Request, resp *http.Response) {
	r, wanted := req.Context().Value(pushedDigestKey{}).(*pushedDigest)
	if !wanted || req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/manifests/") {
		return
	}
	var d digest.Digest
	if resp.StatusCode == http.StatusCreated {
		d = digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	}
	r.digest.Store(&d)
}

func (r *pushedDigest) matches(d digest.Digest) bool {
	got := r.digest.Load()
	return got != nil && *got == d
}

// pushedManifest is a top manifest that a registry has confirmed to serve from now on.
type pushedManifest struct {
	top        manifest.Manifest
	started    time.Time // when the request began
	repository *repository
}

// checkPushed is the first look at an endpoint whose top manifest was acknowledged to the push
// access. Where this access is the same party to the registry, that is as good as a look of its
// own, and saves a request per image. One manifest per registry and pass is asked for all the same:
// that reading works at all must be seen. nil when the parties are not the same, and nothing
// follows from what one has been told.
func (g *registryClient) checkPushed(ctx context.Context, endpoint string, known *pushedManifest, cache bool,
	round checkRound) *manifestCheck {
	r, failure := g.open(ctx, endpoint)
	if failure != nil || !r.sameAccess(known.repository) {
		return nil
	}
	for {
		if at, ok := g.checks.lastManifestRead(r); ok && !at.Before(round.since) {
			if known.started.Before(at) {
				at = known.started
			}
			return &manifestCheck{repository: r, top: known.top, checkedAt: at, latency: &hostLatency{}}
		}
		release, err := g.checks.manifestLocks.acquireOrWait(ctx, accessHost{r.client, r.hostUser})
		if err != nil {
			return nil
		}
		if release != nil {
			defer release()
			return g.checkTopManifest(ctx, endpoint, cache, round)
		}
	}
}

// sameAccess tells whether a registry cannot tell the two apart, nor they it: the same login, and
// the same trust.
func (r *repository) sameAccess(other *repository) bool {
	return r.conn.key == other.conn.key && r.client.access.sameTrust(other.client.access, r.conn.key.host)
}

func (a Access) sameTrust(b Access, host string) bool {
	return a.Transport == nil && b.Transport == nil && bytes.Equal(a.ExtraCAs, b.ExtraCAs) &&
		bytes.Equal(a.CAs[host], b.CAs[host]) &&
		(host != dockerHub || bytes.Equal(a.CAs[dockerHubAPI], b.CAs[dockerHubAPI]))
}
