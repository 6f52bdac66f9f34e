package lab

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Image describes an image to make up. Equal descriptions give equal bytes and digests in every
// registry and every lab: pushing one Image to a source and to its mirror is a perfect mirroring.
type Image struct {
	// Layers is the number of layers per platform; 2 when zero.
	Layers int
	// LayerSize is the size of each in bytes; 128 KiB when zero.
	LayerSize int
	// Seed makes the content differ from other images'. Empty: the reference it is pushed to, host
	// excluded.
	Seed string
	// Platforms are like "linux/amd64"; amd64 and arm64 when empty.
	Platforms []string
	// Plain makes one manifest of the first platform, without an index above it.
	Plain bool
}

const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// builtImage is an image ready to push. Manifests are in the order a registry accepts them:
// children first, the top one last.
type builtImage struct {
	blobs     []content
	manifests []content
}

type content struct {
	mediaType string
	bytes     []byte
	digest    digest.Digest
}

func (b builtImage) top() content { return b.manifests[len(b.manifests)-1] }

type descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    digest.Digest     `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

func (i Image) withDefaults(reference string) Image {
	if i.Layers == 0 {
		i.Layers = 2
	}
	if i.LayerSize == 0 {
		i.LayerSize = 128 << 10
	}
	if i.Seed == "" {
		i.Seed = reference
	}
	if len(i.Platforms) == 0 {
		i.Platforms = []string{"linux/amd64", "linux/arm64"}
	}
	if i.Plain {
		i.Platforms = i.Platforms[:1]
	}
	return i
}

func (i Image) build() (builtImage, error) {
	var b builtImage
	index := manifest{SchemaVersion: 2, MediaType: mediaIndex}
	for _, platform := range i.Platforms {
		child, err := i.buildPlatform(&b, platform)
		if err != nil {
			return builtImage{}, err
		}
		index.Manifests = append(index.Manifests, child)
	}
	if i.Plain {
		return b, nil
	}
	_, err := b.addManifest(mediaIndex, index)
	return b, err
}

func (i Image) buildPlatform(b *builtImage, platform string) (descriptor, error) {
	os, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return descriptor{}, fmt.Errorf("platform %q is not like linux/amd64", platform)
	}
	m := manifest{SchemaVersion: 2, MediaType: mediaManifest}
	var diffIDs []digest.Digest
	for n := range i.Layers {
		layer, err := layerTar(fmt.Sprintf("%s %s layer %d", i.Seed, platform, n), i.LayerSize)
		if err != nil {
			return descriptor{}, err
		}
		d := b.addBlob(mediaLayer, layer)
		m.Layers = append(m.Layers, d)
		diffIDs = append(diffIDs, d.Digest) // a layer that is not compressed is its own diff
	}
	config, err := json.Marshal(map[string]any{
		"architecture": arch,
		"os":           os,
		"config":       map[string]any{"Cmd": []string{"/payload"}, "Labels": map[string]string{"seed": i.Seed}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	if err != nil {
		return descriptor{}, err
	}
	d := b.addBlob(mediaConfig, config)
	m.Config = &d
	child, err := b.addManifest(mediaManifest, m)
	child.Platform = map[string]string{"os": os, "architecture": arch}
	return child, err
}

func (b *builtImage) addBlob(mediaType string, data []byte) descriptor {
	c := content{mediaType: mediaType, bytes: data, digest: digest.FromBytes(data)}
	b.blobs = append(b.blobs, c)
	return c.descriptor()
}

func (b *builtImage) addManifest(mediaType string, m manifest) (descriptor, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return descriptor{}, err
	}
	c := content{mediaType: mediaType, bytes: data, digest: digest.FromBytes(data)}
	b.manifests = append(b.manifests, c)
	return c.descriptor(), nil
}

func (c content) descriptor() descriptor {
	return descriptor{MediaType: c.mediaType, Digest: c.digest, Size: len(c.bytes)}
}

// layerTar is a valid layer: a tar with one file of bytes that follow from the seed and do not
// compress.
func layerTar(seed string, size int) ([]byte, error) {
	var key [32]byte
	copy(key[:], digest.FromString(seed).Encoded())
	random := io.LimitReader(rand.NewChaCha8(key), int64(size))

	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	header := &tar.Header{Name: "payload", Mode: 0o755, Size: int64(size), ModTime: time.Unix(0, 0),
		Format: tar.FormatUSTAR}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, random); err != nil {
		return nil, err
	}
	err := w.Close() // writes the end of the archive
	return layer.Bytes(), err
}
