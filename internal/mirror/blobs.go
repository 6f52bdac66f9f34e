package mirror

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	regblob "github.com/regclient/regclient/types/blob"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/ref"
)

// uploadKey says what must not be uploaded twice at once: a blob to a registry, or to one repository of a registry that does not
// take over blobs from one repository to another.
type uploadKey struct {
	site       site
	repository string
	digest     digest.Digest
}

// blob brings one blob to the target repository. In the order of cost:
//
//	the ledger says that this repository has it         nothing to do
//	the ledger says that another one has it             POST mount from there
//	another image is bringing it to the registry        wait for it, then as above
//	nobody knows                                        POST that asks and opens an upload in one, then GET and PUT
//
// Where the registry does not mount, or the image is known to be damaged, the repository is asked by HEAD first.
func (j *transfer) blob(ctx context.Context, b blob) *Error {
	force := false
	if j.state == damaged || !j.mountsWork() {
		there, wrong, failure := j.look(ctx, b)
		if there {
			j.live.expect(-max(b.size, 0))
		}
		if there || failure != nil {
			return failure
		}
		force = wrong
	}
	uploaded, failure := j.bring(ctx, b, force)
	if failure == nil && !uploaded {
		j.live.expect(-max(b.size, 0))
	}
	return failure
}

// bring has the blob in one of the ways above. With force it is uploaded whatever the ledger says.
func (j *transfer) bring(ctx context.Context, b blob, force bool) (uploaded bool, failure *Error) {
	for {
		if !force && j.takeOver(ctx, b) {
			return false, nil
		}
		leave, err := j.memory.uploads.take(ctx, j.uploadKey(b))
		if err != nil {
			return false, j.target.classify(ctx, partPush+" "+b.part(), err, &exchange{})
		}
		if leave == nil {
			continue
		}
		if !force && j.promised(b) {
			leave() // between the look and the take, somebody has brought it
			continue
		}
		defer leave()
		if !force && j.mountsWork() && j.resume(ctx, b) {
			return false, nil
		}
		return j.upload(ctx, b, j.state != damaged && j.mountsWork())
	}
}

// resume asks for the blob where a process before this one may have brought it.
func (j *transfer) resume(ctx context.Context, b blob) bool {
	for _, repository := range j.memory.resumed.candidates(j.target.site, j.target.ref.Repository, b) {
		if j.mount(ctx, b, repository) == nil {
			return true
		}
	}
	return false
}

func (j *transfer) mountsWork() bool { return j.memory.ledger.mounting(j.target.site) == mountsWork }

func (j *transfer) uploadKey(b blob) uploadKey {
	key := uploadKey{site: j.target.site, digest: b.digest}
	if !j.mountsWork() {
		key.repository = j.target.ref.Repository
	}
	return key
}

// look asks the target repository for a blob. wrong is a blob of another size than it should have.
func (j *transfer) look(ctx context.Context, b blob) (there, wrong bool, failure *Error) {
	begun := j.pass.now()
	size, failure := j.target.headBlob(ctx, b)
	switch {
	case failure == nil && (b.size < 0 || size < 0 || size == b.size):
		j.have(b)
		j.confirm(b.digest, size, begun)
		j.memory.resumed.found(j.target.site)
		return true, false, nil
	case failure == nil:
		j.forget(b)
		return false, true, nil
	case pushMayHelp(failure):
		j.forget(b)
		return false, false, nil
	}
	return false, false, failure
}

func (j *transfer) have(b blob) {
	j.memory.ledger.record(j.target.site, j.target.ref.Repository, b.digest)
}

func (j *transfer) forget(b blob) {
	j.memory.ledger.forget(j.target.site, j.target.ref.Repository, b.digest)
	j.target.by.checks.forget(j.target, b.digest)
}

// promised tells whether the ledger knows a way without an upload.
func (j *transfer) promised(b blob) bool {
	return j.memory.ledger.holds(j.target.site, j.target.ref.Repository, b.digest) || j.donor(b) != ""
}

// donor names the repository of the target's registry that the blob can be mounted from: one that got it before, or the source's own.
func (j *transfer) donor(b blob) string {
	switch own := j.target.ref.Repository; {
	case j.memory.ledger.mounting(j.target.site) == mountsFail:
		return ""
	case ref.EqualRegistry(j.source.ref, j.target.ref) && j.source.ref.Repository != own && !j.refused(b):
		return j.source.ref.Repository
	default:
		return j.memory.ledger.elsewhere(j.target.site, own, b.digest)
	}
}

// takeOver has the blob without an upload, as far as the ledger knows. What turns out wrong is forgotten.
func (j *transfer) takeOver(ctx context.Context, b blob) bool {
	for {
		if j.memory.ledger.holds(j.target.site, j.target.ref.Repository, b.digest) {
			return true
		}
		from := j.donor(b)
		if from == "" || ctx.Err() != nil {
			return false
		}
		if j.mount(ctx, b, from) == nil {
			return true
		}
	}
}

// mount asks the registry to take the blob over from another of its repositories. No is a normal answer: the push login may
// not read there, the blob may be gone, or the registry does not do it.
func (j *transfer) mount(ctx context.Context, b blob, from string) *Error {
	begun := j.pass.now()
	failure := j.target.once(ctx, partPush+" "+b.part(), func(ctx context.Context) error {
		return j.target.link.rc.BlobMount(ctx, j.sibling(from), j.target.ref, b.sized())
	})
	if failure != nil {
		j.memory.ledger.forget(j.target.site, from, b.digest)
		j.refusals.Store(refusal{from, b.digest}, true)
		return failure
	}
	j.pushed.Store(true)
	j.have(b)
	j.confirm(b.digest, b.size, begun)
	return nil
}

// sibling is another repository of the target's registry.
func (j *transfer) sibling(repository string) ref.Ref {
	other := j.target.ref
	other.Repository = repository
	return other
}

type refusal struct {
	from   string
	digest digest.Digest
}

func (j *transfer) refused(b blob) bool {
	_, refused := j.refusals.Load(refusal{j.source.ref.Repository, b.digest})
	return refused
}

// upload brings a blob over the wire, when its turn has come. With ask, the registry may answer that it has it already.
func (j *transfer) upload(ctx context.Context, b blob, ask bool) (uploaded bool, failure *Error) {
	failure = j.target.retry(ctx, func(ctx context.Context) *Error {
		release, err := j.memory.schedule.transfer(ctx, j.source.site.host, j.target.site.host, b.size)
		if err != nil {
			return j.target.classify(ctx, partPush+" "+b.part(), err, &exchange{})
		}
		defer release()
		uploaded, failure = j.stream(ctx, b, ask)
		return failure
	})
	return uploaded, failure
}

// stream uploads one blob once, and downloads it at the same time, without storing it. A registry that is not asked whether it has
// the blob cannot answer that it has it, which it would about one that is damaged.
func (j *transfer) stream(ctx context.Context, b blob, ask bool) (uploaded bool, failure *Error) {
	from, x := withExchange(ctx)
	in := &incoming{live: j.live, open: func() (regblob.Reader, error) { return j.source.download(from, b) }}
	announced := b.sized()
	if b.size < 0 {
		in.body, in.failed = in.open()
		if in.failed == nil {
			announced.Size = max(lengthOf(in.body), 0)
		}
	}
	begun := j.pass.now()
	failure = j.target.in(nil).once(ctx, partPush+" "+b.part(), func(ctx context.Context) error {
		if in.failed != nil {
			return in.failed
		}
		if ask {
			ctx = askingForOwn(ctx, j.target.ref.Repository)
		}
		got, err := j.target.link.rc.BlobPut(ctx, j.target.ref, announced, in)
		if err == nil && got.Digest != b.digest {
			return &DigestError{Want: b.digest.String(), Got: got.Digest.String()}
		}
		return err
	})
	read, failed := in.finish(failure == nil)
	if failure != nil && failed != nil && ctx.Err() == nil {
		// The upload broke because the download did: the source is to blame.
		return false, beneath(j.source.classify(from, b.part(), failed, x))
	}
	if failure != nil {
		return false, failure
	}
	j.have(b)
	uploaded = read > 0 || b.size == 0
	if !uploaded {
		j.memory.resumed.found(j.target.site)
	} else {
		j.bytes.Add(read)
		j.pushed.Store(true)
		j.confirm(b.digest, b.size, begun)
	}
	return uploaded, nil
}

// download begins to read a blob, and compares the size that the registry announces.
func (r *repository) download(ctx context.Context, b blob) (regblob.Reader, error) {
	body, err := r.link.rc.BlobGet(ctx, r.ref, b.descriptor())
	if err != nil {
		return nil, err
	}
	if length := lengthOf(body); length >= 0 {
		if wrong := b.compare(r, length); wrong != nil {
			_ = body.Close()
			return nil, wrong
		}
	}
	return body, nil
}

// learnMounting finds out, once for each registry and login, whether blobs can be mounted: it brings the smallest blob of the image
// and asks for a mount of what is certainly there.
//
//	201    mounts work, so an upload can begin with the question whether the blob is there
//	202    they do not, and what is there has to be found out by HEAD, for each blob
func (j *transfer) learnMounting(ctx context.Context, largestFirst []blob) *Error {
	for j.state != damaged && len(largestFirst) > 0 && j.memory.ledger.mounting(j.target.site) == mountsUnknown {
		leave, err := j.memory.probes.take(ctx, j.target.site)
		if err != nil {
			return j.target.classify(ctx, partPush, err, &exchange{})
		}
		if leave != nil {
			defer leave()
			return j.probe(ctx, largestFirst[len(largestFirst)-1])
		}
	}
	return nil
}

// probe leaves the question open when the answer is neither yes nor no; the next image asks again.
func (j *transfer) probe(ctx context.Context, b blob) *Error {
	if j.memory.ledger.mounting(j.target.site) != mountsUnknown {
		return nil
	}
	there, _, failure := j.look(ctx, b)
	if failure == nil && !there {
		if from := j.donor(b); from != "" && j.mount(ctx, b, from) == nil {
			j.memory.ledger.setMounting(j.target.site, mountsWork)
			return nil
		}
		_, failure = j.upload(ctx, b, false)
		j.live.expect(max(b.size, 0))
	}
	if failure != nil {
		return failure
	}
	refused := j.mount(ctx, b, j.target.ref.Repository)
	j.have(b)
	switch {
	case refused == nil:
		j.memory.ledger.setMounting(j.target.site, mountsWork)
	case errors.Is(refused, errs.ErrMountReturnedLocation) || isStatus(refused, 400, 499) && refused.Class != RateLimited:
		j.memory.ledger.setMounting(j.target.site, mountsFail)
	}
	return nil
}

func isStatus(e *Error, from, to int) bool {
	var status *StatusError
	return errors.As(e, &status) && from <= status.Status && status.Status <= to
}
