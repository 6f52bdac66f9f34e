package mirror

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/manifest"
)

// VerifyOptions says what must be found.
type VerifyOptions struct {
	// Digest is the expected digest of the top manifest. "" accepts any.
	Digest string
	// Platforms must be present when the image is an index, "linux/amd64" for example.
	Platforms []string
	// Only limits what is looked at beneath an index to these platforms: the rest need not be there. nil means everything.
	Only []string
	// Download says what is downloaded and its digest recomputed, instead of comparing sizes by HEAD.
	Download Download
	// Seed chooses the sample of DownloadSample.
	Seed uint64
	// Cache looks at a pull-through cache: what a node would pull (Platforms) is downloaded, one thing at a time. HEAD says nothing
	// there, and a storm of requests would become a storm at the origin.
	Cache bool
}

// Proof is what was found when an image was proven pullable.
type Proof struct {
	Endpoint string // which endpoint serves it
	Digest   string // of the top manifest
	// Digests are of the top manifest and of every manifest beneath it that was looked at, sorted. A runtime reports one of them for
	// what it runs: CRI-O the index's or that of the index's child for the node's platform.
	Digests   []string
	MediaType string   // of the top manifest
	Platforms []string // of an index; empty for a single image
	Blobs     int      // different configs and layers
	Bytes     int64    // their size together, as their descriptors give it
	// At is when the oldest look was begun that the proof rests on: what changed later is not in it.
	At time.Time
	// Slowest is the longest that the endpoint took to begin an answer. A node waits for ever, but users do not.
	Slowest time.Duration
	Skipped []*Error // endpoints before the one that served, and why a node would go past them
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
	proof, failure := c.node.verify(ctx, endpoints, want, newPass(), nil)
	if failure != nil {
		return Proof{}, failure
	}
	return proof, nil
}

// pass is one round of looking at many images. What was seen in it, at or after since, is not looked at again.
type pass struct {
	since time.Time
	now   func() time.Time
}

// newPass begins a round by the real clock.
func newPass() pass { return pass{since: time.Now(), now: time.Now} }

// known is what was seen at an endpoint a moment ago: all of it, or its top manifest.
type known struct {
	found *evidence
	first *glance
}

// verify walks the endpoints. seen is what is known about them, by endpoint.
func (g *registries) verify(ctx context.Context, endpoints []string, want VerifyOptions, p pass, seen map[string]known) (Proof, *Error) {
	var skipped []*Error
	for _, endpoint := range endpoints {
		found, failure := seen[endpoint].found, (*Error)(nil)
		if found == nil {
			found, failure = g.prove(ctx, endpoint, want, p, seen[endpoint].first)
		}
		if failure == nil {
			return found.proof(endpoint, skipped), nil
		}
		if failure.final || ctx.Err() != nil {
			return Proof{}, failure
		}
		skipped = append(skipped, failure)
	}
	return Proof{}, afterAll(skipped)
}

// glance is the first look at an endpoint: its top manifest.
type glance struct {
	repository *repository
	top        manifest.Manifest
	at         time.Time
	slowness   *slowness
	failure    *Error
}

// glance asks for the top manifest, whatever it is; whether it is the right one, see prove.
func (g *registries) glance(ctx context.Context, endpoint string, cache bool, p pass) *glance {
	first := &glance{at: p.now(), slowness: &slowness{}}
	ctx = measuring(ctx, first.slowness)
	if first.repository, first.failure = g.open(ctx, endpoint); first.failure != nil {
		return first
	}
	if cache {
		first.repository = first.repository.in(g.memory.schedule.single(first.repository.site.host))
	}
	first.top, first.failure = first.repository.manifest(ctx, partManifest, first.repository.ref, "", -1)
	if first.failure == nil {
		g.checks.gotManifest(first.repository, first.at)
	}
	return first
}

// evidence is what was seen at one endpoint.
type evidence struct {
	tree    *tree
	oldest  time.Time
	slowest time.Duration
}

// prove checks one endpoint down to the last blob. first is the top manifest if it has been asked for already.
func (g *registries) prove(ctx context.Context, endpoint string, want VerifyOptions, p pass, first *glance) (*evidence, *Error) {
	if first == nil {
		first = g.glance(ctx, endpoint, want.Cache, p)
	}
	if first.failure != nil {
		return nil, first.failure
	}
	r := first.repository
	if err := checkManifest(first.top, digest.Digest(want.Digest), -1); err != nil {
		return nil, &Error{Class: Corrupt, Endpoint: endpoint, Part: partManifest, Err: err, final: true}
	}
	only := want.Only
	if want.Cache && only == nil {
		only = want.Platforms
	}
	look := &look{repository: r, pass: p, oldest: first.at}
	ctx = measuring(ctx, first.slowness)
	t, failure := r.loadTree(ctx, first.top, only, look.child)
	if failure != nil {
		return nil, failure
	}
	if lacking := t.lacking(want.Platforms); len(lacking) > 0 && first.top.IsList() {
		return nil, &Error{
			Class: Incomplete, Endpoint: endpoint, Part: partManifest, final: true,
			Err: &PlatformError{Missing: lacking, Present: t.platforms},
		}
	}
	if failure := look.blobs(ctx, t.blobs, want); failure != nil {
		return nil, beneath(failure)
	}
	return &evidence{tree: t, oldest: look.oldest, slowest: first.slowness.get()}, nil
}

func (e *evidence) proof(endpoint string, skipped []*Error) Proof {
	t := e.tree
	proof := Proof{
		Endpoint:  endpoint,
		Digest:    t.top.desc.Digest.String(),
		Digests:   t.digests(),
		MediaType: t.top.desc.MediaType,
		Platforms: t.platforms,
		Blobs:     len(t.blobs),
		At:        e.oldest,
		Slowest:   e.slowest,
		Skipped:   skipped,
	}
	for _, b := range t.blobs {
		proof.Bytes += max(b.size, 0)
	}
	return proof
}

// look is one proof under way at one repository.
type look struct {
	repository *repository
	pass       pass

	mu     sync.Mutex
	oldest time.Time
	own    bool // a blob was seen with this access and no other
}

// seen tells whether a part was seen in this pass, fully where that is wanted, and if so rests the proof on it.
func (l *look) seen(d digest.Digest, size int64, full bool) (by *registries, ok bool) {
	s := l.repository.by.checks.since(l.pass.since, l.repository, d)
	if s == nil || full && !s.full || size >= 0 && s.size >= 0 && s.size != size {
		return nil, false
	}
	l.rest(s.at)
	return s.by, true
}

func (l *look) rest(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Before(l.oldest) {
		l.oldest = at
	}
}

// saw notes a part that was looked at just now.
func (l *look) saw(d digest.Digest, size int64, full bool, begun time.Time) {
	r := l.repository
	r.by.checks.record(r, d, sight{at: begun, by: r.by, size: size, full: full})
	l.rest(begun)
}

// child gets a manifest beneath the top one. One that was seen here in this pass is taken from memory.
func (l *look) child(ctx context.Context, n *node) (manifest.Manifest, *Error) {
	r := l.repository
	if m, ok := r.by.memory.manifests.get(n.desc.Digest); ok {
		if _, seen := l.seen(n.desc.Digest, n.size(), false); seen {
			return m, nil
		}
	}
	begun := l.pass.now()
	m, failure := r.manifest(ctx, n.part(), r.ref.SetDigest(n.desc.Digest.String()), n.desc.Digest, n.size())
	if failure == nil {
		l.saw(n.desc.Digest, m.GetDescriptor().Size, false, begun)
	}
	return m, failure
}

// blobs looks at what was not seen in this pass yet. When all of it was, but with another access only (the one that has just
// uploaded it), the smallest is looked at all the same, once for each registry: that this access gets blobs there at all, which often
// are at another host than the manifests, must be seen.
func (l *look) blobs(ctx context.Context, blobs []blob, want VerifyOptions) *Error {
	download := want.Download
	if want.Cache {
		download = DownloadFull
	}
	full := download.downloads(blobs, want.Seed)
	failure := parallel(ctx, len(blobs), func(ctx context.Context, i int) *Error { return l.blob(ctx, blobs[i], full[i]) })
	if failure != nil || l.own || len(blobs) == 0 || l.gotBlobs() {
		return failure
	}
	return l.ask(ctx, slices.MinFunc(blobs, func(a, b blob) int { return cmp.Compare(a.size, b.size) }), false)
}

// blob looks at one blob, unless another image has done so in this pass or is just doing it.
func (l *look) blob(ctx context.Context, b blob, full bool) *Error {
	for {
		if by, seen := l.seen(b.digest, b.size, full); seen {
			l.mine(by)
			return nil
		}
		leave, err := l.repository.by.memory.looks.take(ctx, l.repository.checkKey(b.digest))
		if err != nil {
			return l.repository.classify(ctx, b.part(), err, &exchange{})
		}
		if leave != nil {
			defer leave()
			return l.ask(ctx, b, full)
		}
	}
}

func (l *look) ask(ctx context.Context, b blob, full bool) *Error {
	begun := l.pass.now()
	if failure := l.repository.checkBlob(ctx, b, full); failure != nil {
		l.repository.by.checks.forget(l.repository, b.digest)
		return failure
	}
	l.saw(b.digest, b.size, full, begun)
	l.mine(l.repository.by)
	l.repository.by.checks.gotBlob(l.repository, begun)
	return nil
}

// mine notes with whose access a blob was seen.
func (l *look) mine(by *registries) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = l.own || by == l.repository.by
}

// gotBlobs tells whether this access has got a blob of the registry in this pass, whichever repository it was in.
func (l *look) gotBlobs() bool {
	at, ok := l.repository.by.checks.blobsOf(l.repository)
	if !ok || at.Before(l.pass.since) {
		return false
	}
	l.rest(at)
	return true
}
