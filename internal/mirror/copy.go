package mirror

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"
)

// CopyResult tells what a copy did.
type CopyResult struct {
	From, To string
	Digest   string // of the top manifest
	Bytes    int64  // uploaded; what the target had, or took over within its registry, is not counted
	Pushed   bool   // false when the target had everything already
}

// Copy brings an image to a reference (tagged or by digest) from the first of the sources that
// serves all of it: the whole index, every child and blob, and the cosign signatures that nodes
// look for. want is the digest to copy, "" for whatever the source has; with a digest the sources
// are read by digest, so a tag that moves cannot mix two images.
//
// Every part is checked at the target even when its top manifest is right already: a copy of
// something complete pushes nothing, a copy of something damaged repairs it. The error is an
// *Error; its Endpoint tells source from target.
func (c *Client) Copy(ctx context.Context, from []string, to, want string) (CopyResult, error) {
	request := copyRequest{sources: from, target: to, digest: digest.Digest(want)}
	target, failure := c.push.open(ctx, to)
	if failure == nil {
		top, missing := target.manifest(ctx, partManifest, target.ref, "", -1)
		request.targetState = targetStateOf(top, missing, request.digest)
	}
	copied, failure := c.copyTo(ctx, request, newCheckRound(), nil)
	if failure != nil {
		return CopyResult{}, failure
	}
	return copied.CopyResult, nil
}

// pushedCopy is what a copy did, and the top manifest if the registry has acknowledged it.
type pushedCopy struct {
	CopyResult
	pushedTop *pushedManifest
}

// copyRequest is what to copy, and how.
type copyRequest struct {
	sources   []string
	target    string
	digest    digest.Digest
	platforms []string // platforms; nil for all
	referrers bool
	// childSignatures: see Job.ChildSignatures
	childSignatures bool
	targetState     targetState
}

// targetState is what the target is known to have of the image when the copy begins. It decides how
// to ask for the rest:
//
//	absent     its top manifest is not there: what the ledger knows is believed, manifests are pushed unasked
//	different  another image is under the tag: the same, but manifests are looked at before they are pushed
//	damaged    the right top manifest is there and something beneath it is not: every part is looked at
type targetState int

const (
	targetDamaged targetState = iota
	targetDifferent
	targetAbsent
)

func targetStateOf(top manifest.Manifest, failure *Error, want digest.Digest) targetState {
	switch {
	case failure == nil && (want == "" || top.GetDescriptor().Digest == want):
		return targetDamaged
	case failure == nil || failure.Class == Denied || hasType[*DigestError](failure):
		return targetDifferent
	case failure.Class == Missing:
		return targetAbsent
	default:
		return targetDamaged
	}
}

func (c *Client) copyTo(ctx context.Context, request copyRequest, round checkRound, progress *jobProgress) (pushedCopy,
	*Error) {
	target, failure := c.push.open(ctx, request.target)
	if failure != nil {
		return pushedCopy{}, failure
	}
	var tried []*Error
	for _, source := range request.sources {
		if source == request.target {
			continue // an image cannot be repaired from itself
		}
		done, failure := c.copyFrom(ctx, source, target, request, round, progress)
		if failure == nil {
			return done, nil
		}
		if failure.Endpoint == request.target || ctx.Err() != nil {
			return pushedCopy{}, failure // another source would not help
		}
		tried = append(tried, failure)
	}
	return pushedCopy{}, allFailed(tried)
}

func (c *Client) copyFrom(ctx context.Context, from string, target *repository, request copyRequest, round checkRound,
	progress *jobProgress) (pushedCopy, *Error) {
	source, t, failure := c.sourceTree(ctx, from, request.digest, request.platforms)
	if failure != nil {
		return pushedCopy{}, failure
	}
	if failure := c.waitForWriteGate(ctx, target); failure != nil {
		return pushedCopy{}, failure
	}
	run := &transfer{shared: c.shared, source: source, target: target, targetState: request.targetState, round: round,
		progress: progress}
	attached := run.findAttached(ctx, t, request)
	if failure := run.push(ctx, t, target.ref); failure != nil {
		attached.stop()
		return pushedCopy{}, failure
	}
	if failure := run.pushAttached(ctx, t, attached, request.referrers); failure != nil {
		return pushedCopy{}, failure
	}
	return pushedCopy{pushedTop: run.pushedTop.Load(), CopyResult: CopyResult{
		From: from, To: target.endpoint, Digest: t.top.desc.Digest.String(),
		Bytes: run.bytes.Load(), Pushed: run.pushed.Load(),
	}}, nil
}

// sourceTree reads all manifests of an image at one source.
func (c *Client) sourceTree(ctx context.Context, from string, want digest.Digest, platforms []string) (*repository,
	*tree, *Error) {
	source, failure := c.source.open(ctx, from)
	if failure != nil {
		return nil, nil, failure
	}
	at := source.ref
	if want != "" {
		at = at.SetDigest(want.String())
	}
	top, failure := source.cachedManifest(ctx, partManifest, at, want, -1)
	if failure != nil {
		return nil, nil, failure
	}
	t, failure := source.loadTree(ctx, top, platforms, source.fetchChild)
	return source, t, failure
}

// transfer is one copy in progress.
type transfer struct {
	shared         *sharedState
	source, target *repository
	targetState    targetState
	round          checkRound
	progress       *jobProgress
	bytes          atomic.Int64
	pushed         atomic.Bool
	mountRefusals  sync.Map // mounts that were refused, refusal -> true
	pushedTop      atomic.Pointer[pushedManifest]
}

// push brings a tree to a reference of the target. When the registry then says that it lacks a blob
// which the ledger or a mount promised, everything is looked at, once.
func (j *transfer) push(ctx context.Context, t *tree, to ref.Ref) *Error {
	failure := j.pushAll(ctx, t, to)
	if failure == nil || j.targetState == targetDamaged || !isBlobUnknown(failure) {
		return failure
	}
	j.forgetBlobs(t)
	j.progress.start()
	careful := &transfer{shared: j.shared, source: j.source, target: j.target, targetState: targetDamaged,
		round: j.round, progress: j.progress}
	failure = careful.pushAll(ctx, t, to)
	j.bytes.Add(careful.bytes.Load())
	if top := careful.pushedTop.Load(); top != nil {
		j.pushedTop.Store(top)
	}
	return failure
}

// isBlobUnknown reads the refusal of a manifest. Some registries say NotFound without a code; those
// are not tried again.
func isBlobUnknown(e *Error) bool {
	var status *StatusError
	return errors.As(e, &status) && (status.Code == "MANIFEST_BLOB_UNKNOWN" || status.Code == "BLOB_UNKNOWN")
}

// forgetBlobs forgets what was believed about the blobs of a tree.
func (j *transfer) forgetBlobs(t *tree) {
	for _, b := range t.blobs {
		j.forgetBlob(b)
	}
}

// pushAll brings blobs, the largest first, then manifests from the leaves up, the top one last.
// Until then the target answers 404 and a node would go on to its next endpoint, which is harmless.
func (j *transfer) pushAll(ctx context.Context, t *tree, to ref.Ref) *Error {
	blobs := slices.Clone(t.blobs)
	slices.SortStableFunc(blobs, func(a, b blob) int { return cmp.Compare(b.size, a.size) })
	for _, b := range blobs {
		j.progress.addNeeded(max(b.size, 0))
	}
	j.shared.resumeHints.addWanted(j.target.hostUser, j.target.ref.Repository, blobs)
	if failure := j.detectMountSupport(ctx, blobs); failure != nil {
		return failure
	}
	if failure := j.ensureSmallest(ctx, blobs); failure != nil {
		return failure
	}
	failure := parallel(ctx, len(blobs), func(ctx context.Context, i int) *Error { return j.ensureBlob(ctx, blobs[i]) })
	if failure != nil {
		return failure
	}
	return j.pushManifests(ctx, t, to)
}

// ensureSmallest brings the smallest blob before all others: when it is there already, a process
// before this one has begun the image, and everybody knows before anything large is uploaded, see
// resumption.
func (j *transfer) ensureSmallest(ctx context.Context, largestFirst []blob) *Error {
	last := len(largestFirst) - 1
	if j.targetState == targetDamaged || last < 1 {
		return nil
	}
	failure := j.ensureBlob(ctx, largestFirst[last])
	if failure == nil {
		j.progress.addNeeded(max(largestFirst[last].size, 0)) // it is met again with the others, and found
	}
	return failure
}

func (j *transfer) pushManifests(ctx context.Context, t *tree, to ref.Ref) *Error {
	var mu sync.Mutex
	changed := map[*manifestNode]bool{}
	for _, level := range t.levels() {
		failure := parallel(ctx, len(level), func(ctx context.Context, i int) *Error {
			n := level[i]
			at := j.target.ref.SetDigest(n.desc.Digest.String())
			if n == t.top {
				at = to
			}
			mu.Lock()
			below := slices.ContainsFunc(n.children, func(child *manifestNode) bool { return changed[child] })
			mu.Unlock()
			pushed, failure := j.pushManifest(ctx, n, at, below)
			mu.Lock()
			changed[n] = pushed
			mu.Unlock()
			return failure
		})
		if failure != nil {
			return failure
		}
	}
	return nil
}

// pushManifest pushes one manifest unless the target serves it already. force pushes it all the
// same: some registries only link children that exist when their index arrives.
func (j *transfer) pushManifest(ctx context.Context, n *manifestNode, at ref.Ref, force bool) (pushed bool,
	failure *Error) {
	if !force && j.targetState != targetAbsent {
		_, failure := j.target.manifest(ctx, partManifest, at, n.desc.Digest, -1)
		if failure == nil || !pushMayHelp(failure) {
			return false, failure
		}
	}
	started := j.round.now()
	ctx, taken := withPushedDigest(ctx)
	failure = j.target.do(ctx, partPush+" manifest "+n.desc.Digest.String(), func(ctx context.Context) error {
		return j.target.conn.rc.ManifestPut(ctx, at, n.manifest)
	})
	if failure != nil {
		return false, failure
	}
	j.pushed.Store(true)
	j.recordCheck(n.desc.Digest, n.manifest.GetDescriptor().Size, started)
	if at == j.target.ref && taken.matches(n.desc.Digest) {
		j.pushedTop.Store(&pushedManifest{top: n.manifest, started: started, repository: j.target})
	}
	return true, nil
}

// recordCheck notes what the registry has taken in and acknowledged.
func (j *transfer) recordCheck(d digest.Digest, size int64, started time.Time) {
	j.target.client.checks.record(j.target, d, checkRecord{checkedAt: started, client: j.target.client, size: size})
}

// pushMayHelp tells whether a part that the target does not serve properly should be pushed. Denied
// is among it: a push secret may be allowed to write and not to read, and if it is not, the push
// says so better.
func pushMayHelp(e *Error) bool {
	return e.Class == Denied || e.Class == Corrupt || headUnreliable(e)
}
