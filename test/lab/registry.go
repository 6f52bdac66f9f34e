package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	regdescriptor "github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/errs"
	regmanifest "github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"
)

// Registry is one of the lab's registries, seen from a scenario that fills and damages it. It is
// reached directly and not over the Wire: a Cut does not stop a scenario, and what a scenario
// pushes is not in the Wire's Traffic.
//
// References are repository and tag or digest, without a host: "acme/router:v1",
// "acme/router@sha256:...".
type Registry struct {
	// Name is public, mirror or second.
	Name string
	// Hosts are the names it is known by on the Wire.
	Hosts []string

	address        string
	storage        string
	ca             []byte
	user, password string

	granted    string // the password that the pull secret holds, while another one is in force
	distrusted bool   // while its certificate is of an authority that nobody knows
}

// Registry returns the registry that answers to host, or to the name public, mirror or second. It
// panics for a host that is none of the lab's: a mistake in the test.
func (l *Lab) Registry(host string) *Registry {
	for _, r := range l.registries {
		if r.Name == host || slices.Contains(r.Hosts, host) {
			return r
		}
	}
	panic("lab: no registry is called " + host)
}

// Credentials are the user and password the registry asks for; empty if it is anonymous.
func (r *Registry) Credentials() (user, password string) { return r.user, r.password }

// CA is the certificate of the authority that signed the registry's own.
func (r *Registry) CA() []byte { return r.ca }

// Push makes an image up and pushes it to "repository:tag". It returns the digest of the top
// manifest.
func (r *Registry) Push(ctx context.Context, reference string, image Image) (string, error) {
	b, err := image.withDefaults(reference).build()
	if err != nil {
		return "", err
	}
	client := r.client()
	tagged, err := r.ref(reference)
	if err != nil {
		return "", err
	}
	defer client.Close(ctx, tagged)
	for _, blob := range b.blobs {
		d := regdescriptor.Descriptor{MediaType: blob.mediaType, Digest: blob.digest, Size: int64(len(blob.bytes))}
		if _, err := client.BlobPut(ctx, tagged, d, bytes.NewReader(blob.bytes)); err != nil {
			return "", fmt.Errorf("pushing a blob of %s to the registry %s: %w", reference, r.Name, err)
		}
	}
	for i, m := range b.manifests {
		target := tagged.SetDigest(m.digest.String())
		if i == len(b.manifests)-1 {
			target = tagged
		}
		if err := putManifest(ctx, client, target, m); err != nil {
			return "", fmt.Errorf("pushing %s to the registry %s: %w", reference, r.Name, err)
		}
	}
	return b.top().digest.String(), nil
}

func putManifest(ctx context.Context, client *regclient.RegClient, target ref.Ref, c content) error {
	d := regdescriptor.Descriptor{MediaType: c.mediaType, Digest: c.digest, Size: int64(len(c.bytes))}
	m, err := regmanifest.New(regmanifest.WithRaw(c.bytes), regmanifest.WithDesc(d))
	if err != nil {
		return err
	}
	return client.ManifestPut(ctx, target, m)
}

// Digest returns the digest of the top manifest of reference.
func (r *Registry) Digest(ctx context.Context, reference string) (string, error) {
	target, err := r.ref(reference)
	if err != nil {
		return "", err
	}
	m, err := r.client().ManifestHead(ctx, target, regclient.WithManifestRequireDigest())
	if err != nil {
		return "", fmt.Errorf("%s in the registry %s: %w", reference, r.Name, err)
	}
	return m.GetDescriptor().Digest.String(), nil
}

// Has says whether the top manifest of reference is there. It does not look at what the manifest
// names.
func (r *Registry) Has(ctx context.Context, reference string) (bool, error) {
	_, err := r.Digest(ctx, reference)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Children returns the digests of the manifests an index names, by platform ("linux/amd64").
func (r *Registry) Children(ctx context.Context, reference string) (map[string]string, error) {
	m, err := r.manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	index, ok := m.(regmanifest.Indexer)
	if !ok {
		return nil, fmt.Errorf("%s in the registry %s is not an index", reference, r.Name)
	}
	list, err := index.GetManifestList()
	if err != nil {
		return nil, err
	}
	children := map[string]string{}
	for _, child := range list {
		children[child.Platform.String()] = child.Digest.String()
	}
	return children, nil
}

// Blobs returns the digests of what a single manifest names: the config first, then the layers.
func (r *Registry) Blobs(ctx context.Context, reference string) ([]string, error) {
	m, err := r.manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	image, ok := m.(regmanifest.Imager)
	if !ok {
		return nil, fmt.Errorf("%s in the registry %s is not an image manifest", reference, r.Name)
	}
	config, err := image.GetConfig()
	if err != nil {
		return nil, err
	}
	layers, err := image.GetLayers()
	if err != nil {
		return nil, err
	}
	blobs := []string{config.Digest.String()}
	for _, layer := range layers {
		blobs = append(blobs, layer.Digest.String())
	}
	return blobs, nil
}

func (r *Registry) manifest(ctx context.Context, reference string) (regmanifest.Manifest, error) {
	target, err := r.ref(reference)
	if err != nil {
		return nil, err
	}
	m, err := r.client().ManifestGet(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("%s in the registry %s: %w", reference, r.Name, err)
	}
	return m, nil
}

// DeleteManifest removes one manifest of a repository, through the registry's API. Removing a child
// leaves the index and its tag: the damage that an equal top digest does not show.
func (r *Registry) DeleteManifest(ctx context.Context, repository, digest string) error {
	target, err := r.ref(repository + "@" + digest)
	if err != nil {
		return err
	}
	return r.client().ManifestDelete(ctx, target)
}

// DeleteBlob removes a config or layer from the disk. The registry's own API would only unlink it
// from the repository; this is the torn upload, the lost volume. It is gone from every repository
// that shares it.
func (r *Registry) DeleteBlob(repository, blob string) error {
	d, err := digest.Parse(blob)
	if err != nil {
		return err
	}
	root := filepath.Join(r.storage, "docker", "registry", "v2")
	data := filepath.Join(root, "blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded())
	if _, err := os.Stat(data); err != nil {
		return fmt.Errorf("blob %s is not in the registry %s: %w", blob, r.Name, err)
	}
	link := filepath.Join(root, "repositories", filepath.FromSlash(repository), "_layers", d.Algorithm().String(),
		d.Encoded())
	return errors.Join(os.RemoveAll(link), os.RemoveAll(data))
}

// Wipe empties the registry.
func (r *Registry) Wipe() error {
	return os.RemoveAll(filepath.Join(r.storage, "docker"))
}

// client makes a fresh client each time: one that lives would remember what a scenario deletes.
func (r *Registry) client() *regclient.RegClient {
	host := config.HostNewName(r.address)
	host.RegCert = string(r.ca)
	host.User, host.Pass = r.user, r.password
	return regclient.New(regclient.WithConfigHost(*host))
}

func (r *Registry) ref(reference string) (ref.Ref, error) {
	if strings.HasPrefix(reference, "/") || slices.Contains(r.Hosts, strings.Split(reference, "/")[0]) {
		return ref.Ref{}, fmt.Errorf("%q: name the repository without its host", reference)
	}
	return ref.New(r.address + "/" + reference)
}
