package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/mediatype"
	"github.com/regclient/regclient/types/oci"
	v1 "github.com/regclient/regclient/types/oci/v1"
	"github.com/regclient/regclient/types/ref"
)

// corpus is what the source registry holds: the digest of each image's top manifest by repository,
// in a fixed order, and the bytes of all distinct blobs and manifests.
type corpus struct {
	corpusSpec
	repositories []string
	digests      map[string]digest.Digest
	unique       int64
	blobs        int
	// largest is a blob to measure the link with.
	largest descriptor.Descriptor
	home    string // a repository that has it
}

// pusher puts images into a registry, each distinct blob once.
type pusher struct {
	client *regclient.RegClient
	host   string
	// known are the layers made so far, and where their blobs are.
	known map[layer]layerDescriptor
	blobs map[digest.Digest]string // blob -> a repository that has it
	seen  map[digest.Digest]int64  // distinct blobs and manifests with their sizes
}

type layerDescriptor struct {
	descriptor descriptor.Descriptor
	diffID     digest.Digest
}

func newPusher(host string) *pusher {
	return &pusher{
		client: plainClient(host), host: host,
		known: map[layer]layerDescriptor{}, blobs: map[digest.Digest]string{}, seen: map[digest.Digest]int64{},
	}
}

// plainClient talks plain HTTP to one registry.
func plainClient(host string) *regclient.RegClient {
	h := config.HostNewName(host)
	h.TLS = config.TLSDisabled
	return regclient.New(regclient.WithConfigHost(*h))
}

func (p *pusher) push(ctx context.Context, spec corpusSpec) (*corpus, error) {
	c := &corpus{corpusSpec: spec, digests: map[string]digest.Digest{}}
	for _, image := range spec.list() {
		d, err := p.pushImage(ctx, image)
		if err != nil {
			return nil, fmt.Errorf("pushing %s to the source: %w", image.repository, err)
		}
		c.repositories = append(c.repositories, image.repository)
		c.digests[image.repository] = d
	}
	for _, size := range p.seen {
		c.unique += size
	}
	c.blobs = len(p.blobs)
	for _, made := range p.known {
		if made.descriptor.Size > c.largest.Size {
			c.largest, c.home = made.descriptor, p.blobs[made.descriptor.Digest]
		}
	}
	return c, nil
}

func (p *pusher) pushImage(ctx context.Context, image image) (digest.Digest, error) {
	at, err := ref.New(p.host + "/" + image.repository + ":" + tag)
	if err != nil {
		return "", err
	}
	defer p.client.Close(ctx, at)
	index := v1.Index{Versioned: oci.Versioned{SchemaVersion: 2}, MediaType: mediatype.OCI1ManifestList}
	for _, child := range image.children {
		m, err := p.pushChild(ctx, at, child)
		if err != nil {
			return "", err
		}
		target := at
		if len(image.children) > 1 {
			target = at.SetDigest(digest.FromBytes(m).String())
		}
		d, err := p.putManifest(ctx, target, mediatype.OCI1Manifest, m)
		if err != nil || len(image.children) == 1 {
			return d.Digest, err
		}
		d.Platform = &child.platform
		index.Manifests = append(index.Manifests, d)
	}
	top, err := json.Marshal(index)
	if err != nil {
		return "", err
	}
	d, err := p.putManifest(ctx, at, mediatype.OCI1ManifestList, top)
	return d.Digest, err
}

// pushChild pushes config and layers of an image of one platform and gives its manifest.
func (p *pusher) pushChild(ctx context.Context, at ref.Ref, c child) ([]byte, error) {
	epoch := time.Unix(0, 0).UTC()
	image := v1.Image{Created: &epoch, Platform: c.platform, RootFS: v1.RootFS{Type: "layers"}}
	// Two images may have the same layers on two platforms or by chance; their configs differ all
	// the same.
	image.Config.Labels = map[string]string{"repository": at.Repository}
	m := v1.Manifest{Versioned: oci.Versioned{SchemaVersion: 2}, MediaType: mediatype.OCI1Manifest}
	for _, l := range c.layers {
		made, err := p.pushLayer(ctx, at, l)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, made.descriptor)
		image.RootFS.DiffIDs = append(image.RootFS.DiffIDs, made.diffID)
	}
	config, err := json.Marshal(image)
	if err != nil {
		return nil, err
	}
	m.Config = descriptor.Descriptor{MediaType: mediatype.OCI1ImageConfig, Digest: digest.FromBytes(config),
		Size: int64(len(config))}
	if err := p.putBlob(ctx, at, m.Config, bytes.NewReader(config)); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// pushLayer makes a layer twice, first for its digests and then for the registry, rather than hold
// it in memory.
func (p *pusher) pushLayer(ctx context.Context, at ref.Ref, l layer) (layerDescriptor, error) {
	made, known := p.known[l]
	if !known {
		var err error
		if made, err = l.describe(); err != nil {
			return made, err
		}
		p.known[l] = made
	}
	read, write := io.Pipe()
	defer read.Close()
	go func() { write.CloseWithError(l.writeGzip(write)) }()
	return made, p.putBlob(ctx, at, made.descriptor, read)
}

func (l layer) describe() (layerDescriptor, error) {
	whole, content := digest.Canonical.Digester(), digest.Canonical.Digester()
	size := &counter{}
	if err := l.writeGzip(io.MultiWriter(whole.Hash(), size)); err != nil {
		return layerDescriptor{}, err
	}
	if err := l.writeTar(content.Hash()); err != nil {
		return layerDescriptor{}, err
	}
	d := descriptor.Descriptor{MediaType: mediatype.OCI1LayerGzip, Digest: whole.Digest(), Size: size.n}
	return layerDescriptor{descriptor: d, diffID: content.Digest()}, nil
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// putBlob uploads a blob that no repository has yet, and mounts it otherwise.
func (p *pusher) putBlob(ctx context.Context, at ref.Ref, d descriptor.Descriptor, content io.Reader) error {
	home, known := p.blobs[d.Digest]
	if known {
		from, err := ref.New(p.host + "/" + home)
		if err != nil {
			return err
		}
		return p.client.BlobMount(ctx, from, at, d)
	}
	p.blobs[d.Digest], p.seen[d.Digest] = at.Repository, d.Size
	_, err := p.client.BlobPut(ctx, at, d, content)
	return err
}

func (p *pusher) putManifest(ctx context.Context, at ref.Ref, mediaType string, body []byte) (descriptor.Descriptor,
	error) {
	d := descriptor.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	m, err := manifest.New(manifest.WithRaw(body), manifest.WithDesc(d))
	if err != nil {
		return d, err
	}
	p.seen[d.Digest] = d.Size
	return d, p.client.ManifestPut(ctx, at, m)
}

// complete tells whether a registry holds every image of the corpus below prefix: the right digest
// under every tag. What a manifest names is there then as well, since Distribution refuses a
// manifest of which a blob or a child is missing.
func (c *corpus) complete(ctx context.Context, host, prefix string) error {
	client := plainClient(host)
	wrong := 0
	var example string
	for _, repository := range c.repositories {
		r, err := ref.New(host + "/" + prefix + "/" + repository + ":" + tag)
		if err != nil {
			return err
		}
		found := "nothing"
		if m, err := client.ManifestHead(ctx, r, regclient.WithManifestRequireDigest()); err == nil {
			found = m.GetDescriptor().Digest.String()
		}
		if found != c.digests[repository].String() {
			wrong++
			example = fmt.Sprintf("%s has %s, wanted %s", r.CommonName(), found, c.digests[repository])
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d images are missing or differ; for example %s", wrong, len(c.repositories), example)
	}
	return nil
}
