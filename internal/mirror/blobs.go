package mirror

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	regblob "github.com/regclient/regclient/types/blob"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/ref"
)

// uploadKey says what must not be uploaded twice at once: a blob to a registry, or to one
// repository of a registry that does not take over blobs from one repository to another.
type uploadKey struct {
	hostUser   hostUser
	repository string
	digest     digest.Digest
}

// ensureBlob brings one blob to the target repository. In the order of cost:
//
//	the ledger says that this repository has it         nothing to do
//	the ledger says that another one has it             POST mount from there
//	another image is bringing it to the registry        wait for it, then as above
//	nobody knows                                        POST that asks and opens an upload in one, then GET and PUT
//
// Where the registry does not mount, or the image is known to be damaged, the repository is asked
// by HEAD first.
func (j *transfer) ensureBlob(ctx context.Context, b blob) *Error {
	force := false
	if j.targetState == targetDamaged || !j.canMount() {
		found, wrongSize, failure := j.headTarget(ctx, b)
		if found {
			j.progress.addNeeded(-max(b.size, 0))
		}
		if found || failure != nil {
			return failure
		}
		force = wrongSize
	}
	uploaded, failure := j.obtainBlob(ctx, b, force)
	if failure == nil && !uploaded {
		j.progress.addNeeded(-max(b.size, 0))
	}
	return failure
}

// obtainBlob has the blob in one of the ways above. With force it is uploaded whatever the ledger
// says.
func (j *transfer) obtainBlob(ctx context.Context, b blob, force bool) (uploaded bool, failure *Error) {
	for {
		if !force && j.mountFromKnown(ctx, b) {
			return false, nil
		}
		release, err := j.shared.uploads.acquireOrWait(ctx, j.uploadKey(b))
		if err != nil {
			return false, j.target.classify(ctx, partPush+" "+b.part(), err, &operationRecord{})
		}
		if release == nil {
			continue
		}
		if !force && j.hasLocation(b) {
			release() // between the look and the take, somebody has brought it
			continue
		}
		defer release()
		if !force && j.canMount() && j.mountFromEarlierRun(ctx, b) {
			return false, nil
		}
		return j.uploadBlob(ctx, b, j.targetState != targetDamaged && j.canMount())
	}
}

// mountFromEarlierRun asks for the blob where a process before this one may have brought it.
func (j *transfer) mountFromEarlierRun(ctx context.Context, b blob) bool {
	for _, repository := range j.shared.resumeHints.candidates(j.target.hostUser, j.target.ref.Repository, b) {
		if j.mount(ctx, b, repository) == nil {
			return true
		}
	}
	return false
}

func (j *transfer) canMount() bool {
	return j.shared.locations.mountSupport(j.target.hostUser) == mountSupported
}

func (j *transfer) uploadKey(b blob) uploadKey {
	key := uploadKey{hostUser: j.target.hostUser, digest: b.digest}
	if !j.canMount() {
		key.repository = j.target.ref.Repository
	}
	return key
}

// headTarget asks the target repository for a blob. wrong is a blob of another size than it should
// have.
func (j *transfer) headTarget(ctx context.Context, b blob) (found, wrongSize bool, failure *Error) {
	started := j.round.now()
	size, failure := j.target.headBlob(ctx, b)
	switch {
	case failure == nil && (b.size < 0 || size < 0 || size == b.size):
		j.recordLocation(b)
		j.recordCheck(b.digest, size, started)
		j.shared.resumeHints.markResumed(j.target.hostUser)
		return true, false, nil
	case failure == nil:
		j.forgetBlob(b)
		return false, true, nil
	case pushMayHelp(failure):
		j.forgetBlob(b)
		return false, false, nil
	}
	return false, false, failure
}

func (j *transfer) recordLocation(b blob) {
	j.shared.locations.record(j.target.hostUser, j.target.ref.Repository, b.digest)
}

func (j *transfer) forgetBlob(b blob) {
	j.shared.locations.forget(j.target.hostUser, j.target.ref.Repository, b.digest)
	j.target.client.checks.forget(j.target, b.digest)
}

// hasLocation tells whether the ledger knows a way without an upload.
func (j *transfer) hasLocation(b blob) bool {
	return j.shared.locations.has(j.target.hostUser, j.target.ref.Repository, b.digest) || j.mountSource(b) != ""
}

// mountSource names the repository of the target's registry that the blob can be mounted from: one
// that got it before, or the source's own.
func (j *transfer) mountSource(b blob) string {
	switch own := j.target.ref.Repository; {
	case j.shared.locations.mountSupport(j.target.hostUser) == mountUnsupported:
		return ""
	case ref.EqualRegistry(j.source.ref, j.target.ref) && j.source.ref.Repository != own && !j.mountRefused(b):
		return j.source.ref.Repository
	default:
		return j.shared.locations.otherRepository(j.target.hostUser, own, b.digest)
	}
}

// mountFromKnown has the blob without an upload, as far as the ledger knows. What turns out wrong
// is forgotten.
func (j *transfer) mountFromKnown(ctx context.Context, b blob) bool {
	for {
		if j.shared.locations.has(j.target.hostUser, j.target.ref.Repository, b.digest) {
			return true
		}
		from := j.mountSource(b)
		if from == "" || ctx.Err() != nil {
			return false
		}
		if j.mount(ctx, b, from) == nil {
			return true
		}
	}
}

// mount asks the registry to take the blob over from another of its repositories. No is a normal
// answer: the push login may not read there, the blob may be gone, or the registry does not do it.
func (j *transfer) mount(ctx context.Context, b blob, from string) *Error {
	started := j.round.now()
	failure := j.target.tryOnce(ctx, partPush+" "+b.part(), func(ctx context.Context) error {
		return j.target.conn.rc.BlobMount(ctx, j.siblingRef(from), j.target.ref, b.sizedDescriptor())
	})
	if failure != nil {
		j.shared.locations.forget(j.target.hostUser, from, b.digest)
		j.mountRefusals.Store(mountRefusal{from, b.digest}, true)
		return failure
	}
	j.pushed.Store(true)
	j.recordLocation(b)
	j.recordCheck(b.digest, b.size, started)
	return nil
}

// siblingRef is another repository of the target's registry.
func (j *transfer) siblingRef(repository string) ref.Ref {
	other := j.target.ref
	other.Repository = repository
	return other
}

type mountRefusal struct {
	from   string
	digest digest.Digest
}

func (j *transfer) mountRefused(b blob) bool {
	_, refused := j.mountRefusals.Load(mountRefusal{j.source.ref.Repository, b.digest})
	return refused
}

// uploadBlob brings a blob over the wire, when its turn has come. With ask, the registry may answer
// that it has it already.
func (j *transfer) uploadBlob(ctx context.Context, b blob, ask bool) (uploaded bool, failure *Error) {
	failure = j.target.retry(ctx, func(ctx context.Context) *Error {
		release, err := j.shared.slots.acquireTransfer(ctx, j.source.hostUser.host, j.target.hostUser.host, b.size)
		if err != nil {
			return j.target.classify(ctx, partPush+" "+b.part(), err, &operationRecord{})
		}
		defer release()
		uploaded, failure = j.streamBlob(ctx, b, ask)
		return failure
	})
	return uploaded, failure
}

// streamBlob uploads one blob once, and downloads it at the same time, without storing it. A
// registry that is not asked whether it has the blob cannot answer that it has it, which it would
// about one that is damaged.
func (j *transfer) streamBlob(ctx context.Context, b blob, ask bool) (uploaded bool, failure *Error) {
	from, record := withOperationRecord(ctx)
	in := &sourceReader{progress: j.progress,
		open: func() (regblob.Reader, error) { return j.source.download(from, b) }}
	announced := b.sizedDescriptor()
	if b.size < 0 {
		in.body, in.failed = in.open()
		if in.failed == nil {
			announced.Size = max(contentLength(in.body), 0)
		}
	}
	started := j.round.now()
	failure = j.target.withSlots(nil).tryOnce(ctx, partPush+" "+b.part(), func(ctx context.Context) error {
		if in.failed != nil {
			return in.failed
		}
		if ask {
			ctx = withMountFrom(ctx, j.target.ref.Repository)
		}
		got, err := j.target.conn.rc.BlobPut(ctx, j.target.ref, announced, in)
		if err == nil && got.Digest != b.digest {
			return &DigestError{Want: b.digest.String(), Got: got.Digest.String()}
		}
		return err
	})
	read, failed := in.finish(failure == nil)
	if failure != nil && failed != nil && ctx.Err() == nil {
		// The upload broke because the download did: the source is to blame.
		return false, belowTopManifest(j.source.classify(from, b.part(), failed, record))
	}
	if failure != nil {
		return false, failure
	}
	j.recordLocation(b)
	uploaded = read > 0 || b.size == 0
	if !uploaded {
		j.shared.resumeHints.markResumed(j.target.hostUser)
	} else {
		j.bytes.Add(read)
		j.pushed.Store(true)
		j.recordCheck(b.digest, b.size, started)
	}
	return uploaded, nil
}

// download begins to read a blob, and compares the size that the registry announces.
func (r *repository) download(ctx context.Context, b blob) (regblob.Reader, error) {
	body, err := r.conn.rc.BlobGet(ctx, r.ref, b.descriptor())
	if err != nil {
		return nil, err
	}
	if length := contentLength(body); length >= 0 {
		if wrongSize := b.checkSize(r, length); wrongSize != nil {
			_ = body.Close()
			return nil, wrongSize
		}
	}
	return body, nil
}

// detectMountSupport finds out, once for each registry and login, whether blobs can be mounted: it
// brings the smallest blob of the image and asks for a mount of what is certainly there.
//
//	201    mounts work, so an upload can begin with the question whether the blob is there
//	202    they do not, and what is there has to be found out by HEAD, for each blob
func (j *transfer) detectMountSupport(ctx context.Context, largestFirst []blob) *Error {
	for j.targetState != targetDamaged && len(largestFirst) > 0 &&
		j.shared.locations.mountSupport(j.target.hostUser) == mountUnknown {
		release, err := j.shared.mountTests.acquireOrWait(ctx, j.target.hostUser)
		if err != nil {
			return j.target.classify(ctx, partPush, err, &operationRecord{})
		}
		if release != nil {
			defer release()
			return j.testMount(ctx, largestFirst[len(largestFirst)-1])
		}
	}
	return nil
}

// testMount leaves the question open when the answer is neither yes nor no; the next image asks
// again.
func (j *transfer) testMount(ctx context.Context, b blob) *Error {
	if j.shared.locations.mountSupport(j.target.hostUser) != mountUnknown {
		return nil
	}
	found, _, failure := j.headTarget(ctx, b)
	if failure == nil && !found {
		if from := j.mountSource(b); from != "" && j.mount(ctx, b, from) == nil {
			j.shared.locations.setMountSupport(j.target.hostUser, mountSupported)
			return nil
		}
		_, failure = j.uploadBlob(ctx, b, false)
		j.progress.addNeeded(max(b.size, 0))
	}
	if failure != nil {
		return failure
	}
	refused := j.mount(ctx, b, j.target.ref.Repository)
	j.recordLocation(b)
	switch {
	case refused == nil:
		j.shared.locations.setMountSupport(j.target.hostUser, mountSupported)
	case errors.Is(refused, errs.ErrMountReturnedLocation) || isStatus(refused, 400, 499) &&
		refused.Class != RateLimited:
		j.shared.locations.setMountSupport(j.target.hostUser, mountUnsupported)
	}
	return nil
}

func isStatus(e *Error, from, to int) bool {
	var status *StatusError
	return errors.As(e, &status) && from <= status.Status && status.Status <= to
}
