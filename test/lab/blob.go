package lab

import (
	"context"
	"errors"

	digest "github.com/opencontainers/go-digest"
	regdescriptor "github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/errs"
)

// HasBlob tells whether the registry serves the blob in the repository.
func (r *Registry) HasBlob(ctx context.Context, repository, blob string) (bool, error) {
	target, err := r.ref(repository + "@" + blob)
	if err != nil {
		return false, err
	}
	d, err := digest.Parse(blob)
	if err != nil {
		return false, err
	}
	reader, err := r.client().BlobHead(ctx, target, regdescriptor.Descriptor{Digest: d})
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, reader.Close()
}
