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

// receipt is the digest under which a registry has taken a manifest in:
//
//	PUT /v2/acme/app/manifests/v1
//	201, Docker-Content-Digest: sha256:0a1b...
//
// It is empty where the registry says something else, or nothing.
type receipt struct{ digest atomic.Pointer[digest.Digest] }

type receiptKey struct{}

func withReceipt(ctx context.Context) (context.Context, *receipt) {
	r := &receipt{}
	return context.WithValue(ctx, receiptKey{}, r), r
}

// note keeps what the last answer says, should whoever sent the request want a receipt.
func note(req *http.Request, resp *http.Response) {
	r, wanted := req.Context().Value(receiptKey{}).(*receipt)
	if !wanted || req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/manifests/") {
		return
	}
	var d digest.Digest
	if resp.StatusCode == http.StatusCreated {
		d = digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	}
	r.digest.Store(&d)
}

func (r *receipt) isFor(d digest.Digest) bool {
	got := r.digest.Load()
	return got != nil && *got == d
}

// acknowledged is a top manifest that a registry has confirmed to serve from now on.
type acknowledged struct {
	top manifest.Manifest
	at  time.Time // when the request began
	to  *repository
}

// vouched is the first look at an endpoint whose top manifest was acknowledged to the push access. Where this access is the same party to
// the registry, that is as good as a look of its own, and saves a request per image. One manifest per registry and pass is asked for all
// the same: that reading works at all must be seen. nil when the parties are not the same, and nothing follows from what one has been told.
func (g *registries) vouched(ctx context.Context, endpoint string, known *acknowledged, cache bool, p pass) *glance {
	r, failure := g.open(ctx, endpoint)
	if failure != nil || !r.sameParty(known.to) {
		return nil
	}
	for {
		if at, ok := g.checks.manifestsOf(r); ok && !at.Before(p.since) {
			if known.at.Before(at) {
				at = known.at
			}
			return &glance{repository: r, top: known.top, at: at, slowness: &slowness{}}
		}
		leave, err := g.checks.reading.take(ctx, party{r.by, r.site})
		if err != nil {
			return nil
		}
		if leave != nil {
			defer leave()
			return g.glance(ctx, endpoint, cache, p)
		}
	}
}

// sameParty tells whether a registry cannot tell the two apart, nor they it: the same login, and the same trust.
func (r *repository) sameParty(other *repository) bool {
	return r.link.key == other.link.key && r.by.access.trustsLike(other.by.access, r.link.key.host)
}

func (a Access) trustsLike(b Access, host string) bool {
	return a.Transport == nil && b.Transport == nil && bytes.Equal(a.ExtraCAs, b.ExtraCAs) && bytes.Equal(a.CAs[host], b.CAs[host]) &&
		(host != dockerHub || bytes.Equal(a.CAs[dockerHubAPI], b.CAs[dockerHubAPI]))
}
