package mirror

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/ref"
)

// Client copies and verifies images with a fixed set of accesses. It may be used by many goroutines
// at once. When credentials or CAs change, make a new one.
type Client struct {
	source, push, node *registryClient
	shared             *sharedState
	writeGate          <-chan struct{} // see Until; nil for copies that may write at once
}

// NewClient makes a client. It does not contact anybody.
func NewClient(a Accesses) *Client { return newSharedState().newClient(a) }

// WithAccesses makes a client with other accesses that keeps what this one has learnt, which other
// credentials do not change: which repositories of a registry hold which blobs, and what manifests
// say. Proofs are not kept.
func (c *Client) WithAccesses(a Accesses) *Client { return c.shared.newClient(a) }

// WithWriteGate gives the same client, whose copies read and look at once, and begin to write when
// allowed is closed: what has to be found out about the targets takes no time of its own then.
func (c *Client) WithWriteGate(gate <-chan struct{}) *Client {
	gated := *c
	gated.writeGate = gate
	return &gated
}

// waitForWriteGate waits until it is allowed.
func (c *Client) waitForWriteGate(ctx context.Context, target *repository) *Error {
	if c.writeGate == nil {
		return nil
	}
	if err := await(ctx, c.writeGate); err != nil {
		return target.classify(ctx, partPush, err, &operationRecord{})
	}
	return nil
}

// sharedState is what has been learnt about registries, and whose turn it is at them. Clients whose
// credentials are replaced hand it on.
type sharedState struct {
	locations   *blobLocations
	resumeHints *resumeHints
	manifests   *manifestCache
	schemes     *schemeCache
	slots       *hostSlots
	uploads     *keyedLock[uploadKey]
	mountTests  *keyedLock[hostUser]
	blobChecks  *keyedLock[checkKey]
	traffic     *traffic
}

func newSharedState() *sharedState {
	return &sharedState{
		locations: newBlobLocations(), resumeHints: newResumeHints(), manifests: newManifestCache(),
		schemes: newSchemeCache(), slots: newHostSlots(),
		uploads: newKeyedLock[uploadKey](), mountTests: newKeyedLock[hostUser](), blobChecks: newKeyedLock[checkKey](),
		traffic: newTraffic(),
	}
}

func (m *sharedState) newClient(a Accesses) *Client {
	a = a.withTraffic(m.traffic)
	seen := newCheckCache()
	return &Client{
		source: newRegistryClient(a.Source, m, seen), push: newRegistryClient(a.Push, m, seen),
		node:   newRegistryClient(a.Node, m, seen),
		shared: m,
	}
}

// Digest gives the digest that the first of the references to answer has right now, and which one
// that was, with the source access. The error is an *Error.
func (c *Client) Digest(ctx context.Context, refs []string) (dgst, endpoint string, err error) {
	dgst, endpoint, failure := c.source.digest(ctx, refs, false)
	if failure != nil {
		return "", "", failure
	}
	return dgst, endpoint, nil
}

// digest resolves by HEAD; with soon, the manifest is needed anyway and read at once.
func (g *registryClient) digest(ctx context.Context, refs []string, withManifest bool) (dgst, endpoint string,
	failure *Error) {
	var tried []*Error
	for _, endpoint := range refs {
		r, failure := g.open(ctx, endpoint)
		if failure == nil && withManifest {
			dgst, failure = r.readDigest(ctx, r.ref)
		} else if failure == nil {
			dgst, failure = r.resolveDigest(ctx, r.ref)
		}
		if failure == nil {
			return dgst, endpoint, nil
		}
		if ctx.Err() != nil {
			return "", "", failure
		}
		tried = append(tried, failure)
	}
	return "", "", allFailed(tried)
}

// Ping tells whether the registry of an endpoint (a reference, a repository or a host) answers /v2/
// in time, with the node access. Being asked to log in is an answer. The error is an *Error.
func (c *Client) Ping(ctx context.Context, endpoint string) error {
	if failure := c.node.pingEndpoint(ctx, endpoint); failure != nil {
		return failure
	}
	return nil
}

// unknownBlob is the content nobody has: a registry can only answer that it wants it uploaded.
var unknownBlob = digest.FromString("safe-mirror-operator asks whether it may push here")

// CanPush tells whether the push access may write to a repository ("mirror.example.com/acme/app"):
// it starts an upload and cancels it, and leaves nothing behind. The error is an *Error.
func (c *Client) CanPush(ctx context.Context, repository string) error {
	r, failure := c.push.open(ctx, repository)
	if failure == nil {
		failure = r.do(ctx, partPush, r.openUpload)
	}
	if failure != nil {
		failure.Part = partPush
		return failure
	}
	return nil
}

// openUpload offers a blob. This is regclient's only call that opens an upload session and closes
// it again: POST /v2/<name>/blobs/uploads/?mount=<digest>, answered 202 with a location, then
// DELETE of that location.
func (r *repository) openUpload(ctx context.Context) error {
	nowhere := ref.Ref{Scheme: "reg", Registry: "nowhere.invalid", Repository: "none"} // another registry: no "from"
	err := r.conn.rc.BlobMount(ctx, nowhere, r.ref, descriptor.Descriptor{Digest: unknownBlob})
	if errors.Is(err, errs.ErrMountReturnedLocation) {
		return nil
	}
	return err
}
