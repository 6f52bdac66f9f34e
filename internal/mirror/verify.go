package mirror

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
)

// VerifyOptions says what must be found.
type VerifyOptions struct {
	// Digest is the expected digest of the top manifest. "" accepts any.
	Digest string
	// Platforms must be present when the image is an index, "linux/amd64" for example.
	Platforms []string
	// FullDownload downloads every blob and recomputes its digest, instead of comparing sizes by HEAD.
	FullDownload bool
}

// Proof is what was found when an image was proven pullable.
type Proof struct {
	Endpoint  string    // which endpoint serves it
	Digest    string    // of the top manifest
	MediaType string    // of the top manifest
	Platforms []string  // of an index; empty for a single image
	Blobs     int       // different configs and layers
	Bytes     int64     // their size together, as their descriptors give it
	At        time.Time // when the proof was begun: what changed later is not in it
	Skipped   []*Error  // endpoints before the one that served, and why a node would go past them
}

// Verify walks the endpoints in order as a node does. The first one that serves the top manifest must serve everything
// beneath it; the next one is only tried when the top manifest cannot be had:
//
//	404, 401, 403, 429, 5xx, TLS failure, refused, no connection in time    -> the next endpoint
//	a child or blob is missing, a wrong digest, not a manifest at all       -> an Error at once
//	the connection stands but no answer comes                               -> an Error at once: a node hangs on it
//
// The error is always an *Error.
func (c *Client) Verify(ctx context.Context, endpoints []string, want VerifyOptions) (Proof, error) {
	proof, failure := c.node.verify(ctx, endpoints, want)
	if failure != nil {
		return Proof{}, failure
	}
	return proof, nil
}

func (g *registries) verify(ctx context.Context, endpoints []string, want VerifyOptions) (Proof, *Error) {
	begun := time.Now()
	var skipped []*Error
	for _, endpoint := range endpoints {
		t, failure := g.prove(ctx, endpoint, want)
		if failure == nil {
			return newProof(endpoint, t, begun, skipped), nil
		}
		if failure.final || ctx.Err() != nil {
			return Proof{}, failure
		}
		skipped = append(skipped, failure)
	}
	return Proof{}, afterAll(skipped)
}

// prove checks one endpoint down to the last blob.
func (g *registries) prove(ctx context.Context, endpoint string, want VerifyOptions) (*tree, *Error) {
	r, failure := g.open(ctx, endpoint)
	if failure != nil {
		return nil, failure
	}
	top, failure := r.manifest(ctx, partManifest, r.ref, digest.Digest(want.Digest), -1)
	if failure != nil {
		return nil, failure
	}
	t, failure := r.loadTree(ctx, top)
	if failure != nil {
		return nil, failure
	}
	if lacking := t.lacking(want.Platforms); len(lacking) > 0 && top.IsList() {
		return nil, &Error{
			Class: Incomplete, Endpoint: endpoint, Part: partManifest, final: true,
			Err: &PlatformError{Missing: lacking, Present: t.platforms},
		}
	}
	failure = parallel(ctx, len(t.blobs), func(ctx context.Context, i int) *Error {
		return r.checkBlob(ctx, t.blobs[i], want.FullDownload)
	})
	if failure != nil {
		return nil, beneath(failure)
	}
	return t, nil
}

func newProof(endpoint string, t *tree, begun time.Time, skipped []*Error) Proof {
	proof := Proof{
		Endpoint:  endpoint,
		Digest:    t.top.desc.Digest.String(),
		MediaType: t.top.desc.MediaType,
		Platforms: t.platforms,
		Blobs:     len(t.blobs),
		At:        begun,
		Skipped:   skipped,
	}
	for _, b := range t.blobs {
		proof.Bytes += max(b.size, 0)
	}
	return proof
}
