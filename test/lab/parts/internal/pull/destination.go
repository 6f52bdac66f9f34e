package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// destination takes the place of containers-storage in copy.Image: it reads every byte, keeps
// only digests and sizes, and says about itself what containers-storage says, so that
// copy.Image goes the same way.
type destination struct {
	name  reference.Named
	store *store

	mu       sync.Mutex
	blobs    map[digest.Digest]int64
	config   digest.Digest
	manifest digest.Digest // of the image itself, never of an index
	top      digest.Digest // of what the reference names: the index if there is one
	files    atomic.Int64  // only for the file name in an error
	bytes    atomic.Int64  // that came over the wire
}

func newDestination(name reference.Named, s *store) *destination {
	return &destination{name: name, store: s, blobs: map[digest.Digest]int64{}}
}

// image is what the finished copy is stored as.
func (d *destination) image() Image {
	return Image{
		ID:      d.config.String(),
		Names:   []string{d.name.String()},
		Digests: union([]digest.Digest{d.manifest}, []digest.Digest{d.top}),
		Blobs:   d.blobs,
	}
}

func (d *destination) SupportedManifestMIMETypes() []string {
	return []string{
		imgspecv1.MediaTypeImageManifest,
		manifest.DockerV2Schema2MediaType,
		manifest.DockerV2Schema1SignedMediaType,
		manifest.DockerV2Schema1MediaType,
	}
}

func (d *destination) DesiredLayerCompression() types.LayerCompression { return types.PreserveOriginal }
func (d *destination) SupportsSignatures(context.Context) error        { return nil }
func (d *destination) AcceptsForeignLayerURLs() bool                   { return false }
func (d *destination) IgnoresEmbeddedDockerReference() bool            { return true }
func (d *destination) HasThreadSafePutBlob() bool                      { return true }

// MustMatchRuntimeOS makes copy.Image read the config first, so that a mirror without it fails
// there.
func (d *destination) MustMatchRuntimeOS() bool { return true }

// PutBlob reads a blob to its end. The stream verifies the digest and fails at the last byte.
func (d *destination) PutBlob(_ context.Context, stream io.Reader, info types.BlobInfo, _ types.BlobInfoCache,
	isConfig bool) (types.BlobInfo, error) {
	file := d.files.Add(1)
	read, err := io.Copy(io.Discard, stream)
	d.bytes.Add(read)
	if err != nil {
		return types.BlobInfo{}, fmt.Errorf("storing blob to file \"/var/tmp/container_images_storage/%d\": %w",
			file, err)
	}
	if info.Size >= 0 && read != info.Size {
		return types.BlobInfo{}, fmt.Errorf("blob %s has %d bytes, the manifest says %d", info.Digest, read, info.Size)
	}
	d.keep(info.Digest, read, isConfig)
	return types.BlobInfo{Digest: info.Digest, Size: read}, nil
}

// TryReusingBlob finds layers that another image of the node has. They are not downloaded again.
func (d *destination) TryReusingBlob(_ context.Context, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (bool,
	types.BlobInfo, error) {
	size, ok := d.store.blob(info.Digest)
	if !ok {
		return false, types.BlobInfo{}, nil
	}
	d.keep(info.Digest, size, false)
	return true, types.BlobInfo{Digest: info.Digest, Size: size}, nil
}

func (d *destination) keep(blob digest.Digest, size int64, isConfig bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blobs[blob] = size
	if isConfig {
		d.config = blob
	}
}

// PutManifest receives the manifest of the one image that was copied.
func (d *destination) PutManifest(_ context.Context, m []byte, _ *digest.Digest) error {
	got, err := manifest.Digest(m)
	d.manifest = got
	return err
}

// PutSignatures has nothing to do: the policy has looked at them already.
func (d *destination) PutSignatures(context.Context, [][]byte, *digest.Digest) error { return nil }

// Commit learns which manifest the reference led to, before a child was chosen from it.
func (d *destination) Commit(ctx context.Context, top types.UnparsedImage) error {
	m, _, err := top.Manifest(ctx)
	if err != nil {
		return err
	}
	d.top, err = manifest.Digest(m)
	return err
}

func (d *destination) Reference() types.ImageReference { return destinationReference{d} }
func (d *destination) Close() error                    { return nil }

// destinationReference is the name under which copy.Image opens the destination.
type destinationReference struct{ *destination }

func (r destinationReference) NewImageDestination(context.Context, *types.SystemContext) (types.ImageDestination,
	error) {
	return r.destination, nil
}

func (r destinationReference) Transport() types.ImageTransport         { return transport{} }
func (r destinationReference) StringWithinTransport() string           { return r.name.String() }
func (r destinationReference) DockerReference() reference.Named        { return r.name }
func (r destinationReference) PolicyConfigurationIdentity() string     { return "" }
func (r destinationReference) PolicyConfigurationNamespaces() []string { return nil }

var errWriteOnly = errors.New("the store of a simulated node keeps no content")

func (r destinationReference) NewImage(context.Context, *types.SystemContext) (types.ImageCloser, error) {
	return nil, errWriteOnly
}

func (r destinationReference) NewImageSource(context.Context, *types.SystemContext) (types.ImageSource, error) {
	return nil, errWriteOnly
}

func (r destinationReference) DeleteImage(context.Context, *types.SystemContext) error {
	return errWriteOnly
}

type transport struct{}

func (transport) Name() string { return "containers-storage" }

func (transport) ParseReference(string) (types.ImageReference, error) { return nil, errWriteOnly }

func (transport) ValidatePolicyConfigurationScope(string) error { return nil }
