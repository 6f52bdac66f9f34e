package mirror

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
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
	copied, failure := c.copyTo(ctx, from, to, want)
	if failure != nil {
		return Copied{}, failure
	}
	return copied, nil
}

func (c *Client) copyTo(ctx context.Context, from []string, to, want string) (Copied, *Error) {
	target, failure := c.push.open(ctx, to)
	if failure != nil {
		return Copied{}, failure
	}
	var tried []*Error
	for _, source := range from {
		if source == to {
			continue // an image cannot be repaired from itself
		}
		copied, failure := c.copyFrom(ctx, source, target, want)
		if failure == nil {
			return copied, nil
		}
		if failure.Endpoint == to || ctx.Err() != nil {
			return Copied{}, failure // another source would not help
		}
		tried = append(tried, failure)
	}
	return Copied{}, afterAll(tried)
}

func (c *Client) copyFrom(ctx context.Context, from string, target *repository, want string) (Copied, *Error) {
	source, failure := c.source.open(ctx, from)
	if failure != nil {
		return Copied{}, failure
	}
	at := source.ref
	if want != "" {
		at = at.SetDigest(want)
	}
	top, failure := source.manifest(ctx, partManifest, at, digest.Digest(want), -1)
	if failure != nil {
		return Copied{}, failure
	}
	t, failure := source.loadTree(ctx, top)
	if failure != nil {
		return Copied{}, failure
	}
	job := &transfer{source: source, target: target}
	if failure := job.push(ctx, t, target.ref); failure != nil {
		return Copied{}, failure
	}
	if failure := job.signatures(ctx, t); failure != nil {
		return Copied{}, failure
	}
	return Copied{
		From: from, To: target.endpoint, Digest: t.top.desc.Digest.String(),
		Bytes: job.bytes.Load(), Pushed: job.pushed.Load(),
	}, nil
}

// transfer is one copy under way.
type transfer struct {
	source, target *repository
	bytes          atomic.Int64
	pushed         atomic.Bool
}

// push brings a tree to a reference of the target: blobs, then manifests from the leaves up, the top one last. Until
// then the target answers 404 and a node would go on to its next endpoint, which is harmless.
func (j *transfer) push(ctx context.Context, t *tree, to ref.Ref) *Error {
	failure := parallel(ctx, len(t.blobs), func(ctx context.Context, i int) *Error {
		return j.blob(ctx, t.blobs[i])
	})
	if failure != nil {
		return failure
	}
	changed := map[*node]bool{}
	for _, n := range t.childrenFirst() {
		at := j.target.ref.SetDigest(n.desc.Digest.String())
		if n == t.top {
			at = to
		}
		below := false
		for _, child := range n.children {
			below = below || changed[child]
		}
		pushed, failure := j.manifest(ctx, n, at, below)
		if failure != nil {
			return failure
		}
		changed[n] = pushed
	}
	return nil
}

// manifest pushes one manifest unless the target serves it already. force pushes it all the same: some registries only
// link children that exist when their index arrives.
func (j *transfer) manifest(ctx context.Context, n *node, at ref.Ref, force bool) (pushed bool, failure *Error) {
	if !force {
		_, failure := j.target.manifest(ctx, partManifest, at, n.desc.Digest, -1)
		if failure == nil || !pushMayHelp(failure) {
			return false, failure
		}
	}
	failure = j.target.do(ctx, partPush+" manifest "+n.desc.Digest.String(), func(ctx context.Context) error {
		return j.target.link.rc.ManifestPut(ctx, at, n.manifest)
	})
	if failure != nil {
		return false, failure
	}
	j.pushed.Store(true)
	return true, nil
}

// pushMayHelp tells whether a part that the target does not serve properly should be pushed. Denied is among it: a push
// secret may be allowed to write and not to read, and if it is not, the push says so better.
func pushMayHelp(e *Error) bool {
	return e.Class == Denied || e.Class == Corrupt || headMayBeWrong(e)
}

// blob brings one blob to the target if it is not there in its right size: within the registry when source and target
// share one, else by download and upload at the same time, without storing it.
func (j *transfer) blob(ctx context.Context, b blob) *Error {
	size, failure := j.target.headBlob(ctx, b)
	if failure == nil && (b.size < 0 || size < 0 || size == b.size) {
		return nil
	}
	if failure != nil && !pushMayHelp(failure) {
		return failure
	}
	damaged := failure == nil
	if !damaged && ref.EqualRegistry(j.source.ref, j.target.ref) && j.mount(ctx, b) {
		j.pushed.Store(true)
		return nil
	}
	failure = j.target.retry(ctx, func(ctx context.Context) *Error { return j.stream(ctx, b, damaged) })
	if failure == nil {
		j.pushed.Store(true)
	}
	return failure
}

// mount asks the registry to take the blob over from the source's repository. No is a normal answer: the push login may
// not read there, or the registry does not do it.
func (j *transfer) mount(ctx context.Context, b blob) bool {
	return nil == j.target.once(ctx, partPush+" "+b.part(), func(ctx context.Context) error {
		d := b.descriptor()
		d.Size = max(b.size, 0)
		return j.target.link.rc.BlobMount(ctx, j.source.ref, j.target.ref, d)
	})
}

// stream downloads and uploads one blob once. A damaged blob is uploaded without announcing its digest, so that the
// registry cannot answer that it has it.
func (j *transfer) stream(ctx context.Context, b blob, damaged bool) *Error {
	from, x := withExchange(ctx)
	body, err := j.source.link.rc.BlobGet(from, j.source.ref, b.descriptor())
	if err != nil {
		return beneath(j.source.classify(from, b.part(), err, x))
	}
	defer func() { _ = body.Close() }()
	if length := lengthOf(body); length >= 0 {
		if wrong := b.compare(j.source, length); wrong != nil {
			return wrong
		}
	}
	announced := body.GetDescriptor()
	if damaged {
		announced.Size = 0 // regclient announces a digest only together with a size
	}
	counted := &countingReader{body: body}
	failure := j.target.once(ctx, partPush+" "+b.part(), func(ctx context.Context) error {
		got, err := j.target.link.rc.BlobPut(ctx, j.target.ref, announced, counted)
		if err == nil && got.Digest != b.digest {
			return &DigestError{Want: b.digest.String(), Got: got.Digest.String()}
		}
		return err
	})
	if failure == nil {
		j.bytes.Add(counted.read)
		return nil
	}
	if counted.failed != nil && ctx.Err() == nil {
		// The upload broke because the download did: the source is to blame.
		return beneath(j.source.classify(from, b.part(), counted.failed, x))
	}
	return failure
}

// countingReader counts what passes and remembers if reading, not writing, was what failed.
type countingReader struct {
	body   io.ReadSeeker
	read   int64
	failed error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	c.read += int64(n)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrong digest at the end of a blob wraps io.EOF
		c.failed = err
	}
	return n, err
}

// Seek lets regclient start over with a chunked upload where a registry, or a proxy before it, does not take the blob
// in one piece.
func (c *countingReader) Seek(offset int64, whence int) (int64, error) {
	at, err := c.body.Seek(offset, whence)
	if err == nil {
		c.read = at
	}
	return at, err
}
