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
	// RequiredPlatforms must be present when the image is an index, "linux/amd64" for example.
	RequiredPlatforms []string
	// Platforms limits what is looked at beneath an index to these platforms: the rest need not be
	// there. nil means everything.
	Platforms []string
	// Download says what is downloaded and its digest recomputed, instead of comparing sizes by
	// HEAD.
	Download Download
	// Seed chooses the sample of DownloadSample.
	Seed uint64
	// PullThroughCache looks at a pull-through cache: what a node would pull (Platforms) is
	// downloaded, one thing at a time. HEAD says nothing there, and a storm of requests would
	// become a storm at the origin.
	PullThroughCache bool
}

// Proof is what was found when an image was proven pullable.
type Proof struct {
	Endpoint string // which endpoint serves it
	Digest   string // of the top manifest
	// Digests are of the top manifest and of every manifest beneath it that was looked at, sorted.
	// A runtime reports one of them for what it runs: CRI-O the index's or that of the index's
	// child for the node's platform.
	Digests   []string
	MediaType string   // of the top manifest
	Platforms []string // of an index; empty for a single image
	Blobs     int      // different configs and layers
	Bytes     int64    // their size together, as their descriptors give it
	// At is when the oldest look was begun that the proof rests on: what changed later is not in
	// it.
	At time.Time
	// SlowestResponse is the longest that the endpoint took to begin an answer. A node waits for
	// ever, but users do not.
	SlowestResponse time.Duration
	Skipped         []*Error // endpoints before the one that served, and why a node would go past them
}

// Verify walks the endpoints in order as a node does. The first one that serves the top manifest
// must serve everything beneath it; the next one is only tried when the top manifest cannot be had:
//
//	404, 401, 403, 429, 5xx, TLS failure, refused, no connection in time    -> the next endpoint
//	a child or blob is missing, a wrong digest, not a manifest at all       -> an Error at once
//	the connection stands but no answer comes                               -> an Error at once: a node hangs on it
//
// The error is always an *Error.
func (c *Client) Verify(ctx context.Context, endpoints []string, want VerifyOptions) (Proof, error) {
	proof, failure := c.node.verify(ctx, endpoints, want, newCheckRound(), nil)
	if failure != nil {
		return Proof{}, failure
	}
	return proof, nil
}

// checkRound is one round of looking at many images. What was seen in it, at or after since, is not
// looked at again.
type checkRound struct {
	since time.Time
	now   func() time.Time
}

// newCheckRound begins a round by the real clock.
func newCheckRound() checkRound { return checkRound{since: time.Now(), now: time.Now} }

// endpointState is what was seen at an endpoint a moment ago: all of it, or its top manifest.
type endpointState struct {
	verified *verifiedImage
	manifest *manifestCheck
}

// verify walks the endpoints. seen is what is known about them, by endpoint.
func (g *registryClient) verify(ctx context.Context, endpoints []string, want VerifyOptions, round checkRound,
	seen map[string]endpointState) (Proof, *Error) {
	var skipped []*Error
	for _, endpoint := range endpoints {
		found, failure := seen[endpoint].verified, (*Error)(nil)
		if found == nil {
			found, failure = g.verifyEndpoint(ctx, endpoint, want, round, seen[endpoint].manifest)
		}
		if failure == nil {
			return found.proof(endpoint, skipped), nil
		}
		if failure.noFallback || ctx.Err() != nil {
			return Proof{}, failure
		}
		skipped = append(skipped, failure)
	}
	return Proof{}, allFailed(skipped)
}

// manifestCheck is the first look at an endpoint: its top manifest.
type manifestCheck struct {
	repository *repository
	top        manifest.Manifest
	checkedAt  time.Time
	latency    *hostLatency
	failure    *Error
}

// checkTopManifest asks for the top manifest, whatever it is; whether it is the right one, see
// prove.
func (g *registryClient) checkTopManifest(ctx context.Context, endpoint string, cache bool,
	round checkRound) *manifestCheck {
	first := &manifestCheck{checkedAt: round.now(), latency: &hostLatency{}}
	ctx = withHostLatency(ctx, first.latency)
	if first.repository, first.failure = g.open(ctx, endpoint); first.failure != nil {
		return first
	}
	if cache {
		first.repository = first.repository.withSlots(g.shared.slots.singleSlot(first.repository.hostUser.host))
	}
	first.top, first.failure = first.repository.manifest(ctx, partManifest, first.repository.ref, "", -1)
	if first.failure == nil {
		g.checks.recordManifestRead(first.repository, first.checkedAt)
	}
	return first
}

// verifiedImage is what was seen at one endpoint.
type verifiedImage struct {
	tree            *tree
	oldestCheck     time.Time
	slowestResponse time.Duration
}

// verifyEndpoint checks one endpoint down to the last blob. first is the top manifest if it has
// been asked for already.
func (g *registryClient) verifyEndpoint(ctx context.Context, endpoint string, want VerifyOptions, round checkRound,
	first *manifestCheck) (*verifiedImage, *Error) {
	if first == nil {
		first = g.checkTopManifest(ctx, endpoint, want.PullThroughCache, round)
	}
	if first.failure != nil {
		return nil, first.failure
	}
	r := first.repository
	if err := checkManifest(first.top, digest.Digest(want.Digest), -1); err != nil {
		return nil, &Error{Class: Corrupt, Endpoint: endpoint, Part: partManifest, Err: err, noFallback: true}
	}
	platforms := want.Platforms
	if want.PullThroughCache && platforms == nil {
		platforms = want.RequiredPlatforms
	}
	check := &endpointCheck{repository: r, round: round, oldestCheck: first.checkedAt}
	ctx = withHostLatency(ctx, first.latency)
	t, failure := r.loadTree(ctx, first.top, platforms, check.fetchChild)
	if failure != nil {
		return nil, failure
	}
	if missing := t.missingPlatforms(want.RequiredPlatforms); len(missing) > 0 && first.top.IsList() {
		return nil, &Error{
			Class: Incomplete, Endpoint: endpoint, Part: partManifest, noFallback: true,
			Err: &PlatformError{Missing: missing, Present: t.platforms},
		}
	}
	if failure := check.checkBlobs(ctx, t.blobs, want); failure != nil {
		return nil, belowTopManifest(failure)
	}
	return &verifiedImage{tree: t, oldestCheck: check.oldestCheck, slowestResponse: first.latency.get()}, nil
}

func (e *verifiedImage) proof(endpoint string, skipped []*Error) Proof {
	t := e.tree
	proof := Proof{
		Endpoint:        endpoint,
		Digest:          t.top.desc.Digest.String(),
		Digests:         t.digests(),
		MediaType:       t.top.desc.MediaType,
		Platforms:       t.platforms,
		Blobs:           len(t.blobs),
		At:              e.oldestCheck,
		SlowestResponse: e.slowestResponse,
		Skipped:         skipped,
	}
	for _, b := range t.blobs {
		proof.Bytes += max(b.size, 0)
	}
	return proof
}

// endpointCheck is one proof in progress at one repository.
type endpointCheck struct {
	repository *repository
	round      checkRound

	mu          sync.Mutex
	oldestCheck time.Time
	ownClient   bool // a blob was seen with this access and no other
}

// cached tells whether a part was seen in this pass, fully where that is wanted, and if so rests
// the proof on it.
func (l *endpointCheck) cached(d digest.Digest, size int64, full bool) (client *registryClient, ok bool) {
	s := l.repository.client.checks.newerThan(l.round.since, l.repository, d)
	if s == nil || full && !s.downloaded || size >= 0 && s.size >= 0 && s.size != size {
		return nil, false
	}
	l.noteCheckTime(s.checkedAt)
	return s.client, true
}

func (l *endpointCheck) noteCheckTime(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Before(l.oldestCheck) {
		l.oldestCheck = at
	}
}

// record notes a part that was looked at just now.
func (l *endpointCheck) record(d digest.Digest, size int64, full bool, started time.Time) {
	r := l.repository
	r.client.checks.record(r, d, checkRecord{checkedAt: started, client: r.client, size: size, downloaded: full})
	l.noteCheckTime(started)
}

// fetchChild gets a manifest beneath the top one. One that was seen here in this pass is taken from
// memory.
func (l *endpointCheck) fetchChild(ctx context.Context, n *manifestNode) (manifest.Manifest, *Error) {
	r := l.repository
	if m, ok := r.client.shared.manifests.get(n.desc.Digest); ok {
		if _, seen := l.cached(n.desc.Digest, n.descriptorSize(), false); seen {
			return m, nil
		}
	}
	started := l.round.now()
	m, failure := r.manifest(ctx, n.part(), r.ref.SetDigest(n.desc.Digest.String()), n.desc.Digest, n.descriptorSize())
	if failure == nil {
		l.record(n.desc.Digest, m.GetDescriptor().Size, false, started)
	}
	return m, failure
}

// checkBlobs looks at what was not seen in this pass yet. When all of it was, but with another
// access only (the one that has just uploaded it), the smallest is looked at all the same, once for
// each registry: that this access gets blobs there at all, which often are at another host than the
// manifests, must be seen.
func (l *endpointCheck) checkBlobs(ctx context.Context, blobs []blob, want VerifyOptions) *Error {
	download := want.Download
	if want.PullThroughCache {
		download = DownloadFull
	}
	full := download.selectBlobs(blobs, want.Seed)
	failure := parallel(ctx, len(blobs),
		func(ctx context.Context, i int) *Error { return l.checkBlobOnce(ctx, blobs[i], full[i]) })
	if failure != nil || l.ownClient || len(blobs) == 0 || l.hasRecentBlobRead() {
		return failure
	}
	return l.checkBlob(ctx, slices.MinFunc(blobs, func(a, b blob) int { return cmp.Compare(a.size, b.size) }), false)
}

// checkBlobOnce looks at one blob, unless another image has done so in this pass or is just doing
// it.
func (l *endpointCheck) checkBlobOnce(ctx context.Context, b blob, full bool) *Error {
	for {
		if client, seen := l.cached(b.digest, b.size, full); seen {
			l.noteClient(client)
			return nil
		}
		release, err := l.repository.client.shared.blobChecks.acquireOrWait(ctx, l.repository.checkKey(b.digest))
		if err != nil {
			return l.repository.classify(ctx, b.part(), err, &operationRecord{})
		}
		if release != nil {
			defer release()
			return l.checkBlob(ctx, b, full)
		}
	}
}

func (l *endpointCheck) checkBlob(ctx context.Context, b blob, full bool) *Error {
	started := l.round.now()
	if failure := l.repository.checkBlob(ctx, b, full); failure != nil {
		l.repository.client.checks.forget(l.repository, b.digest)
		return failure
	}
	l.record(b.digest, b.size, full, started)
	l.noteClient(l.repository.client)
	l.repository.client.checks.recordBlobRead(l.repository, started)
	return nil
}

// noteClient notes with whose access a blob was seen.
func (l *endpointCheck) noteClient(client *registryClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ownClient = l.ownClient || client == l.repository.client
}

// hasRecentBlobRead tells whether this access has got a blob of the registry in this pass,
// whichever repository it was in.
func (l *endpointCheck) hasRecentBlobRead() bool {
	at, ok := l.repository.client.checks.lastBlobRead(l.repository)
	if !ok || at.Before(l.round.since) {
		return false
	}
	l.noteCheckTime(at)
	return true
}
