package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	regblob "github.com/regclient/regclient/types/blob"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"
)

// The parts of an image and the kinds of access, as they stand in Error.Part.
const (
	partManifest = "manifest"
	partPush     = "push"
	partPing     = "ping"
)

// repository is one repository as one Access sees it.
type repository struct {
	endpoint string // as the caller wrote it, for errors
	ref      ref.Ref
	conn     *hostConn
	sleep    sleepFunc
	client   *registryClient
	hostUser hostUser
	slots    *prioritySemaphore // where each request waits for its turn; nil for none
}

// withSlots gives the same repository with other slots.
func (r *repository) withSlots(slots *prioritySemaphore) *repository {
	other := *r
	other.slots = slots
	return &other
}

// do runs one operation, again when that may help, and says what came of it in the terms of this
// package.
func (r *repository) do(ctx context.Context, part string, op func(ctx context.Context) error) *Error {
	return r.retry(ctx, func(ctx context.Context) *Error { return r.tryOnce(ctx, part, op) })
}

func (r *repository) tryOnce(ctx context.Context, part string, op func(ctx context.Context) error) *Error {
	ctx, record := withOperationRecord(ctx)
	release, err := r.slots.acquire(ctx, 0)
	if err == nil {
		defer release()
		err = op(ctx)
	}
	if err == nil {
		return nil
	}
	failure := r.classify(ctx, part, err, record)
	if r.conn.key.insecure && (failure.Class == TLS || failure.Class == Refused || failure.Class == Unknown) {
		r.client.shared.schemes.forget(r.conn.key.host)
	}
	return failure
}

// manifest gets a manifest and recomputes its digest. want is "" for whatever is there; size is -1
// when unknown.
func (r *repository) manifest(ctx context.Context, part string, at ref.Ref, want digest.Digest,
	size int64) (manifest.Manifest, *Error) {
	var m manifest.Manifest
	failure := r.do(ctx, part, func(ctx context.Context) error {
		got, err := r.conn.rc.ManifestGet(ctx, at)
		if err != nil {
			return err
		}
		m = got
		return checkManifest(got, want, size)
	})
	if failure == nil {
		r.client.shared.manifests.put(m)
		return m, nil
	}
	var status *StatusError
	if failure.Class == Unknown && !errors.As(failure, &status) && ctx.Err() == nil {
		// A 200 whose body is no manifest: a login page, say. A node takes it for the image and
		// fails on it.
		failure.Class, failure.noFallback = Corrupt, true
	}
	return nil, failure
}

// cachedManifest gives a manifest that was read before, here or elsewhere, and asks the registry
// only when it must.
func (r *repository) cachedManifest(ctx context.Context, part string, at ref.Ref, want digest.Digest,
	size int64) (manifest.Manifest, *Error) {
	if m, ok := r.client.shared.manifests.get(want); ok && (size < 0 || m.GetDescriptor().Size == size) {
		return m, nil
	}
	return r.manifest(ctx, part, at, want, size)
}

// checkManifest compares what was received with what was asked for and with what the registry
// claims it to be.
func checkManifest(m manifest.Manifest, want digest.Digest, size int64) error {
	got := m.GetDescriptor()
	if want != "" && got.Digest != want {
		return &DigestError{Want: want.String(), Got: got.Digest.String()}
	}
	if size >= 0 && got.Size != size {
		return &SizeError{Want: size, Got: got.Size}
	}
	header, err := m.RawHeaders()
	if err != nil {
		return nil
	}
	claimed, err := digest.Parse(header.Get("Docker-Content-Digest"))
	if err != nil || claimed.Algorithm() != got.Digest.Algorithm() {
		return nil // the header is optional, and may be in another algorithm than the reference
	}
	if claimed != got.Digest {
		return &DigestError{Want: claimed.String(), Got: got.Digest.String()}
	}
	return nil
}

// resolveDigest gives the digest of the reference: by HEAD, which costs nothing where pulls are
// counted, or by GET where HEAD is not answered properly.
func (r *repository) resolveDigest(ctx context.Context, at ref.Ref) (string, *Error) {
	var found digest.Digest
	failure := r.do(ctx, partManifest, func(ctx context.Context) error {
		m, err := r.conn.rc.ManifestHead(ctx, at)
		if err == nil {
			found = m.GetDescriptor().Digest
		}
		return err
	})
	if failure == nil && found != "" {
		return found.String(), nil
	}
	if failure != nil && failure.Class != Unknown {
		return "", failure
	}
	return r.readDigest(ctx, at)
}

// readDigest gives the digest of the manifest under a reference, and keeps the manifest.
func (r *repository) readDigest(ctx context.Context, at ref.Ref) (string, *Error) {
	m, failure := r.manifest(ctx, partManifest, at, "", -1)
	if failure != nil {
		return "", failure
	}
	return m.GetDescriptor().Digest.String(), nil
}

// blob is a config or layer: what its descriptor says about it. size is -1 when it says nothing
// (docker schema 1).
type blob struct {
	digest    digest.Digest
	size      int64
	mediaType string
}

func (b blob) part() string { return "blob " + b.digest.String() }

// descriptor is for requests whose size regclient must not check: a wrong length is our error to
// name, not its own.
func (b blob) descriptor() descriptor.Descriptor {
	return descriptor.Descriptor{MediaType: b.mediaType, Digest: b.digest}
}

// sizedDescriptor is for uploads: regclient announces a digest only together with a size.
func (b blob) sizedDescriptor() descriptor.Descriptor {
	d := b.descriptor()
	d.Size = max(b.size, 0)
	return d
}

// checkBlob proves that a blob is there in its right size. With full it is downloaded and its
// digest recomputed.
//
// A node never asks by HEAD, it just downloads. HEAD is cheaper, so it comes first; only where it
// gives no clear yes does the request decide that a node would make. Pull-through caches may answer
// HEAD with 404 and GET with the blob.
func (r *repository) checkBlob(ctx context.Context, b blob, full bool) *Error {
	if !full {
		size, failure := r.headBlob(ctx, b)
		if failure == nil && size >= 0 {
			return b.checkSize(r, size)
		}
		if failure != nil && !headUnreliable(failure) {
			return failure
		}
	}
	return r.getBlob(ctx, b, full)
}

func (b blob) checkSize(r *repository, size int64) *Error {
	if b.size >= 0 && size != b.size {
		return &Error{
			Class: Corrupt, Endpoint: r.endpoint, Part: b.part(), noFallback: true,
			Err: &SizeError{Want: b.size, Got: size},
		}
	}
	return nil
}

func headUnreliable(e *Error) bool {
	var status *StatusError
	return e.Class == Missing ||
		errors.As(e, &status) && (status.Status == http.StatusMethodNotAllowed ||
			status.Status == http.StatusNotImplemented)
}

// headBlob gives the size of a blob, -1 when the registry does not say.
func (r *repository) headBlob(ctx context.Context, b blob) (size int64, failure *Error) {
	failure = r.do(ctx, b.part(), func(ctx context.Context) error {
		head, err := r.conn.rc.BlobHead(ctx, r.ref, b.descriptor())
		if err == nil {
			size = contentLength(head)
		}
		return err
	})
	return size, failure
}

// contentLength is the length in an answer's header, in bytes; -1 when it is not there.
func contentLength(answer regblob.Reader) int64 {
	resp := answer.Response() //nolint:bodyclose // looks at the header only; the body is the caller's
	if resp == nil {
		return -1 // regclient has made it up: it does not ask for the blob without content
	}
	return resp.ContentLength
}

// getBlob requests a blob as a node does. Unless full, the answer's header is enough, provided it
// tells the size. Whole blobs wait for their turn among transfers, unless the registry is asked one
// thing at a time anyway.
func (r *repository) getBlob(ctx context.Context, b blob, full bool) *Error {
	if s := r.client.shared.slots; full && r.slots == s.requestSlots(r.hostUser.host) {
		release, err := s.acquireTransfer(ctx, r.hostUser.host, "", b.size)
		if err != nil {
			return r.classify(ctx, b.part(), err, &operationRecord{})
		}
		defer release()
		r = r.withSlots(nil)
	}
	return r.do(ctx, b.part(), func(ctx context.Context) error {
		body, err := r.conn.rc.BlobGet(ctx, r.ref, b.descriptor())
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }()
		size := contentLength(body)
		if size >= 0 {
			if wrong := b.checkSize(r, size); wrong != nil {
				return wrong
			}
			if !full {
				return nil
			}
		}
		read, err := io.Copy(io.Discard, body) // regclient recomputes the digest while it is read
		if err != nil && !errors.Is(err, errs.ErrDigestMismatch) {
			return err
		}
		if wrong := b.checkSize(r, read); wrong != nil {
			return wrong
		}
		return err
	})
}
