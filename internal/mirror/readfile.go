package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	regblob "github.com/regclient/regclient/types/blob"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/manifest"
)

// ReadFile reads one file out of an image: "release-manifests/image-references" of a release
// payload, for example. It asks the first of the references that serves the image, with the source
// access, and reads layers from the top down until one has the file or removes it, streaming:
// nothing but the file is kept. A layer is read to its end, to compare its digest. platform chooses
// from an index ("linux/amd64"); "" takes its first image.
//
// A file of more than limit bytes is a *SizeError, one that is not there of class Missing. The
// error is always an *Error.
func (c *Client) ReadFile(ctx context.Context, refs []string, platform, path string, limit int64) ([]byte, error) {
	var tried []*Error
	for _, endpoint := range refs {
		content, failure := c.readFile(ctx, endpoint, platform, path, limit)
		if failure == nil {
			return content, nil
		}
		if failure.noFallback || ctx.Err() != nil {
			return nil, failure
		}
		tried = append(tried, failure)
	}
	return nil, allFailed(tried)
}

func (c *Client) readFile(ctx context.Context, endpoint, platform, path string, limit int64) ([]byte, *Error) {
	r, failure := c.source.open(ctx, endpoint)
	if failure != nil {
		return nil, failure
	}
	top, failure := r.manifest(ctx, partManifest, r.ref, "", -1)
	if failure != nil {
		return nil, failure
	}
	layers, failure := r.layers(ctx, top, platform)
	if failure != nil {
		return nil, failure
	}
	for _, layer := range slices.Backward(layers) {
		content, failure := r.findInLayer(ctx, layer, path, limit)
		if failure == nil || !errors.Is(failure, errs.ErrFileNotFound) {
			return content, failure
		}
	}
	return nil, r.fileNotFound(path)
}

func (r *repository) fileNotFound(path string) *Error {
	return &Error{Class: Missing, Endpoint: r.endpoint, Part: "file " + path, Err: errs.ErrFileNotFound,
		noFallback: true}
}

// layers lists the layers of the image for a platform, the lowest first.
func (r *repository) layers(ctx context.Context, top manifest.Manifest, platform string) ([]blob, *Error) {
	var platforms []string
	if platform != "" {
		platforms = []string{platform}
	}
	t, failure := r.loadTree(ctx, top, platforms, r.fetchChild)
	if failure != nil {
		return nil, failure
	}
	for _, n := range t.childrenFirst() {
		image, ok := n.manifest.(manifest.Imager)
		if !ok || n != t.top && (n.desc.Platform == nil || n.desc.Platform.OS == "unknown") {
			continue
		}
		descriptors, err := image.GetLayers()
		if err != nil {
			return nil, &Error{Class: Corrupt, Endpoint: r.endpoint, Part: n.part(), Err: redact(err), noFallback: true}
		}
		var layers []blob
		for _, d := range descriptors {
			layers = append(layers, blob{digest: d.Digest, size: d.Size, mediaType: d.MediaType})
		}
		return layers, nil
	}
	return nil, &Error{
		Class: Missing, Endpoint: r.endpoint, Part: partManifest, noFallback: true,
		Err: &PlatformError{Missing: platforms, Present: platformsOf(t.top)},
	}
}

// findInLayer reads a file from one layer. errs.ErrFileNotFound means that a lower layer may have
// it.
func (r *repository) findInLayer(ctx context.Context, layer blob, path string, limit int64) (content []byte,
	failure *Error) {
	var outcome error
	failure = r.do(ctx, layer.part(), func(ctx context.Context) error {
		body, err := r.conn.rc.BlobGet(ctx, r.ref, layer.descriptor())
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }()
		tarball, err := body.ToTarReader()
		if err != nil {
			return err
		}
		header, file, err := tarball.ReadFile(path)
		if outcome = err; errors.Is(err, errs.ErrFileNotFound) || errors.Is(err, errs.ErrFileDeleted) {
			return drainLayer(body)
		}
		if err != nil {
			return err
		}
		if header.Size > limit {
			return fmt.Errorf("%s %w", path, &SizeError{Want: limit, Got: header.Size})
		}
		if content, err = io.ReadAll(io.LimitReader(file, limit)); err != nil {
			return err
		}
		return drainLayer(body)
	})
	switch {
	case failure != nil:
		return nil, belowTopManifest(failure)
	case errors.Is(outcome, errs.ErrFileDeleted):
		failure = r.fileNotFound(path)
		failure.Err = errs.ErrFileDeleted
		return nil, failure
	case outcome != nil:
		return nil, r.fileNotFound(path)
	}
	return content, nil
}

// drainLayer reads a layer to its end, because only then its digest is known. What was read through
// the tar reader counts for the digest, but not for the length that regclient compares too.
func drainLayer(body regblob.Reader) error {
	_, err := io.Copy(io.Discard, body)
	if errors.Is(err, errs.ErrShortRead) && !errors.Is(err, errs.ErrDigestMismatch) {
		return nil
	}
	return err
}
