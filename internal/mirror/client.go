package mirror

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/ref"
)

// Client copies and verifies images with a fixed set of accesses. It may be used by many goroutines at once. When
// credentials or CAs change, make a new one.
type Client struct {
	source, push, node *registries
	memory             *memory
	allowed            <-chan struct{} // see Until; nil for copies that may write at once
}

// NewClient makes a client. It does not contact anybody.
func NewClient(a Accesses) *Client { return newMemory().client(a) }

// Renewed makes a client with other accesses that keeps what this one has learnt, which other credentials do not change: which
// repositories of a registry hold which blobs, and what manifests say. Proofs are not kept.
func (c *Client) Renewed(a Accesses) *Client { return c.memory.client(a) }

// Until gives the same client, whose copies read and look at once, and begin to write when allowed is closed: what has to be found out
// about the targets takes no time of its own then.
func (c *Client) Until(allowed <-chan struct{}) *Client {
	held := *c
	held.allowed = allowed
	return &held
}

// mayWrite waits until it is allowed.
func (c *Client) mayWrite(ctx context.Context, target *repository) *Error {
	if c.allowed == nil {
		return nil
	}
	if err := await(ctx, c.allowed); err != nil {
		return target.classify(ctx, partPush, err, &exchange{})
	}
	return nil
}

// memory is what has been learnt about registries, and whose turn it is at them. Clients whose credentials are replaced hand it on.
type memory struct {
	ledger    *ledger
	resumed   *resumption
	manifests *manifests
	protocols *protocols
	schedule  *schedule
	uploads   *flights[uploadKey]
	probes    *flights[site]
	looks     *flights[checkKey]
	traffic   *traffic
}

func newMemory() *memory {
	return &memory{
		ledger: newLedger(), resumed: newResumption(), manifests: newManifests(), protocols: newProtocols(), schedule: newSchedule(),
		uploads: newFlights[uploadKey](), probes: newFlights[site](), looks: newFlights[checkKey](),
		traffic: newTraffic(),
	}
}

func (m *memory) client(a Accesses) *Client {
	a = a.withTraffic(m.traffic)
	seen := newChecks()
	return &Client{
		source: newRegistries(a.Source, m, seen), push: newRegistries(a.Push, m, seen), node: newRegistries(a.Node, m, seen),
		memory: m,
	}
}

// Digest gives the digest that the first of the references to answer has right now, and which one that was, with the
// source access. The error is an *Error.
func (c *Client) Digest(ctx context.Context, refs []string) (dgst, endpoint string, err error) {
	dgst, endpoint, failure := c.source.digest(ctx, refs, false)
	if failure != nil {
		return "", "", failure
	}
	return dgst, endpoint, nil
}

// digest resolves by HEAD; with soon, the manifest is needed anyway and read at once.
func (g *registries) digest(ctx context.Context, refs []string, soon bool) (dgst, endpoint string, failure *Error) {
	var tried []*Error
	for _, endpoint := range refs {
		r, failure := g.open(ctx, endpoint)
		if failure == nil && soon {
			dgst, failure = r.read(ctx, r.ref)
		} else if failure == nil {
			dgst, failure = r.resolve(ctx, r.ref)
		}
		if failure == nil {
			return dgst, endpoint, nil
		}
		if ctx.Err() != nil {
			return "", "", failure
		}
		tried = append(tried, failure)
	}
	return "", "", afterAll(tried)
}

// Ping tells whether the registry of an endpoint (a reference, a repository or a host) answers /v2/ in time, with the
// node access. Being asked to log in is an answer. The error is an *Error.
func (c *Client) Ping(ctx context.Context, endpoint string) error {
	if failure := c.node.pingEndpoint(ctx, endpoint); failure != nil {
		return failure
	}
	return nil
}

// probed is the content nobody has: a registry can only answer that it wants it uploaded.
var probed = digest.FromString("safe-mirror-operator asks whether it may push here")

// CanPush tells whether the push access may write to a repository ("mirror.example.com/acme/app"): it starts an upload
// and cancels it, and leaves nothing behind. The error is an *Error.
func (c *Client) CanPush(ctx context.Context, repository string) error {
	r, failure := c.push.open(ctx, repository)
	if failure == nil {
		failure = r.do(ctx, partPush, r.tryUpload)
	}
	if failure != nil {
		failure.Part = partPush
		return failure
	}
	return nil
}

// tryUpload offers a blob. This is regclient's only call that opens an upload session and closes it again: POST
// /v2/<name>/blobs/uploads/?mount=<digest>, answered 202 with a location, then DELETE of that location.
func (r *repository) tryUpload(ctx context.Context) error {
	nowhere := ref.Ref{Scheme: "reg", Registry: "nowhere.invalid", Repository: "none"} // another registry: no "from"
	err := r.link.rc.BlobMount(ctx, nowhere, r.ref, descriptor.Descriptor{Digest: probed})
	if errors.Is(err, errs.ErrMountReturnedLocation) {
		return nil
	}
	return err
}
