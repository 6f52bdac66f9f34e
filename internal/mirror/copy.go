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

// Copied tells what a copy did.
type Copied struct {
	From, To string
	Digest   string // of the top manifest
	Bytes    int64  // uploaded; what the target had, or took over within its registry, is not counted
	Pushed   bool   // false when the target had everything already
}

// Copy brings an image to a reference (tagged or by digest) from the first of the sources that serves all of it: the
// whole index, every child and blob, and the cosign signatures that nodes look for. want is the digest to copy, ""
// for whatever the source has; with a digest the sources are read by digest, so a tag that moves cannot mix two images.
//
// Every part is checked at the target even when its top manifest is right already: a copy of something complete pushes
// nothing, a copy of something damaged repairs it. The error is an *Error; its Endpoint tells source from target.
func (c *Client) Copy(ctx context.Context, from []string, to, want string) (Copied, error) {
	order := copyOrder{from: from, to: to, want: digest.Digest(want)}
	target, failure := c.push.open(ctx, to)
	if failure == nil {
		top, missing := target.manifest(ctx, partManifest, target.ref, "", -1)
		order.state = stateOf(top, missing, order.want)
	}
	copied, failure := c.copyTo(ctx, order, newPass(), nil)
	if failure != nil {
		return Copied{}, failure
	}
	return copied.Copied, nil
}

// copied is what a copy did, and the top manifest if the registry has acknowledged it.
type copied struct {
	Copied
	top *acknowledged
}

// copyOrder is what to copy, and how.
type copyOrder struct {
	from      []string
	to        string
	want      digest.Digest
	only      []string // platforms; nil for all
	referrers bool
	// childSignatures: see Job.ChildSignatures
	childSignatures bool
	state           state
}

// state is what the target is known to have of the image when the copy begins. It decides how to ask for the rest:
//
//	absent     its top manifest is not there: what the ledger knows is believed, manifests are pushed unasked
//	different  another image is under the tag: the same, but manifests are looked at before they are pushed
//	damaged    the right top manifest is there and something beneath it is not: every part is looked at
type state int

const (
	damaged state = iota
	different
	absent
)

func stateOf(top manifest.Manifest, failure *Error, want digest.Digest) state {
	switch {
	case failure == nil && (want == "" || top.GetDescriptor().Digest == want):
		return damaged
	case failure == nil || failure.Class == Denied || is[*DigestError](failure):
		return different
	case failure.Class == Missing:
		return absent
	default:
		return damaged
	}
}

func (c *Client) copyTo(ctx context.Context, order copyOrder, p pass, l *live) (copied, *Error) {
	target, failure := c.push.open(ctx, order.to)
	if failure != nil {
		return copied{}, failure
	}
	var tried []*Error
	for _, source := range order.from {
		if source == order.to {
			continue // an image cannot be repaired from itself
		}
		done, failure := c.copyFrom(ctx, source, target, order, p, l)
		if failure == nil {
			return done, nil
		}
		if failure.Endpoint == order.to || ctx.Err() != nil {
			return copied{}, failure // another source would not help
		}
		tried = append(tried, failure)
	}
	return copied{}, afterAll(tried)
}

func (c *Client) copyFrom(ctx context.Context, from string, target *repository, order copyOrder, p pass, l *live) (copied, *Error) {
	source, t, failure := c.sourceTree(ctx, from, order.want, order.only)
	if failure != nil {
		return copied{}, failure
	}
	if failure := c.mayWrite(ctx, target); failure != nil {
		return copied{}, failure
	}
	job := &transfer{memory: c.memory, source: source, target: target, state: order.state, pass: p, live: l}
	attached := job.findAttached(ctx, t, order)
	if failure := job.push(ctx, t, target.ref); failure != nil {
		attached.stop()
		return copied{}, failure
	}
	if failure := job.accompany(ctx, t, attached, order.referrers); failure != nil {
		return copied{}, failure
	}
	return copied{top: job.top.Load(), Copied: Copied{
		From: from, To: target.endpoint, Digest: t.top.desc.Digest.String(),
		Bytes: job.bytes.Load(), Pushed: job.pushed.Load(),
	}}, nil
}

// sourceTree reads all manifests of an image at one source.
func (c *Client) sourceTree(ctx context.Context, from string, want digest.Digest, only []string) (*repository, *tree, *Error) {
	source, failure := c.source.open(ctx, from)
	if failure != nil {
		return nil, nil, failure
	}
	at := source.ref
	if want != "" {
		at = at.SetDigest(want.String())
	}
	top, failure := source.known(ctx, partManifest, at, want, -1)
	if failure != nil {
		return nil, nil, failure
	}
	t, failure := source.loadTree(ctx, top, only, source.child)
	return source, t, failure
}

// transfer is one copy under way.
type transfer struct {
	memory         *memory
	source, target *repository
	state          state
	pass           pass
	live           *live
	bytes          atomic.Int64
	pushed         atomic.Bool
	refusals       sync.Map // mounts that were refused, refusal -> true
	top            atomic.Pointer[acknowledged]
}

// push brings a tree to a reference of the target. When the registry then says that it lacks a blob which the ledger or a mount
// promised, everything is looked at, once.
func (j *transfer) push(ctx context.Context, t *tree, to ref.Ref) *Error {
	failure := j.pushAll(ctx, t, to)
	if failure == nil || j.state == damaged || !lacksBlob(failure) {
		return failure
	}
	j.distrust(t)
	j.live.begin()
	careful := &transfer{memory: j.memory, source: j.source, target: j.target, state: damaged, pass: j.pass, live: j.live}
	failure = careful.pushAll(ctx, t, to)
	j.bytes.Add(careful.bytes.Load())
	if top := careful.top.Load(); top != nil {
		j.top.Store(top)
	}
	return failure
}

// lacksBlob reads the refusal of a manifest. Some registries say NotFound without a code; those are not tried again.
func lacksBlob(e *Error) bool {
	var status *StatusError
	return errors.As(e, &status) && (status.Code == "MANIFEST_BLOB_UNKNOWN" || status.Code == "BLOB_UNKNOWN")
}

// distrust forgets what was believed about the blobs of a tree.
func (j *transfer) distrust(t *tree) {
	for _, b := range t.blobs {
		j.forget(b)
	}
}

// pushAll brings blobs, the largest first, then manifests from the leaves up, the top one last. Until then the target answers 404
// and a node would go on to its next endpoint, which is harmless.
func (j *transfer) pushAll(ctx context.Context, t *tree, to ref.Ref) *Error {
	blobs := slices.Clone(t.blobs)
	slices.SortStableFunc(blobs, func(a, b blob) int { return cmp.Compare(b.size, a.size) })
	for _, b := range blobs {
		j.live.expect(max(b.size, 0))
	}
	j.memory.resumed.wants(j.target.site, j.target.ref.Repository, blobs)
	if failure := j.learnMounting(ctx, blobs); failure != nil {
		return failure
	}
	if failure := j.first(ctx, blobs); failure != nil {
		return failure
	}
	failure := parallel(ctx, len(blobs), func(ctx context.Context, i int) *Error { return j.blob(ctx, blobs[i]) })
	if failure != nil {
		return failure
	}
	return j.manifests(ctx, t, to)
}

// first brings the smallest blob before all others: when it is there already, a process before this one has begun the image, and
// everybody knows before anything large is uploaded, see resumption.
func (j *transfer) first(ctx context.Context, largestFirst []blob) *Error {
	last := len(largestFirst) - 1
	if j.state == damaged || last < 1 {
		return nil
	}
	failure := j.blob(ctx, largestFirst[last])
	if failure == nil {
		j.live.expect(max(largestFirst[last].size, 0)) // it is met again with the others, and found
	}
	return failure
}

func (j *transfer) manifests(ctx context.Context, t *tree, to ref.Ref) *Error {
	var mu sync.Mutex
	changed := map[*node]bool{}
	for _, level := range t.levels() {
		failure := parallel(ctx, len(level), func(ctx context.Context, i int) *Error {
			n := level[i]
			at := j.target.ref.SetDigest(n.desc.Digest.String())
			if n == t.top {
				at = to
			}
			mu.Lock()
			below := slices.ContainsFunc(n.children, func(child *node) bool { return changed[child] })
			mu.Unlock()
			pushed, failure := j.manifest(ctx, n, at, below)
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

// manifest pushes one manifest unless the target serves it already. force pushes it all the same: some registries only
// link children that exist when their index arrives.
func (j *transfer) manifest(ctx context.Context, n *node, at ref.Ref, force bool) (pushed bool, failure *Error) {
	if !force && j.state != absent {
		_, failure := j.target.manifest(ctx, partManifest, at, n.desc.Digest, -1)
		if failure == nil || !pushMayHelp(failure) {
			return false, failure
		}
	}
	begun := j.pass.now()
	ctx, taken := withReceipt(ctx)
	failure = j.target.do(ctx, partPush+" manifest "+n.desc.Digest.String(), func(ctx context.Context) error {
		return j.target.link.rc.ManifestPut(ctx, at, n.manifest)
	})
	if failure != nil {
		return false, failure
	}
	j.pushed.Store(true)
	j.confirm(n.desc.Digest, n.manifest.GetDescriptor().Size, begun)
	if at == j.target.ref && taken.isFor(n.desc.Digest) {
		j.top.Store(&acknowledged{top: n.manifest, at: begun, to: j.target})
	}
	return true, nil
}

// confirm notes what the registry has taken in and acknowledged.
func (j *transfer) confirm(d digest.Digest, size int64, begun time.Time) {
	j.target.by.checks.record(j.target, d, sight{at: begun, by: j.target.by, size: size})
}

// pushMayHelp tells whether a part that the target does not serve properly should be pushed. Denied is among it: a push
// secret may be allowed to write and not to read, and if it is not, the push says so better.
func pushMayHelp(e *Error) bool {
	return e.Class == Denied || e.Class == Corrupt || headMayBeWrong(e)
}
