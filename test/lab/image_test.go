package lab

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

func TestImageIsDeterministic(t *testing.T) {
	first := build(t, Image{}, "acme/router:v1")
	again := build(t, Image{}, "acme/router:v1")
	other := build(t, Image{}, "acme/router:v2")
	same := build(t, Image{Seed: "acme/router:v1"}, "mirror/acme-router:copied")
	if first.top().digest != again.top().digest || first.top().digest != same.top().digest {
		t.Error("equal descriptions give different digests")
	}
	if first.top().digest == other.top().digest {
		t.Error("two references give the same image")
	}
}

// Every digest and size that a manifest names must be that of something pushed, and a child must
// come before the index: a registry refuses anything else.
func TestImageIsComplete(t *testing.T) {
	b := build(t, Image{Layers: 3, LayerSize: 1000}, "acme/router:v1")
	if len(b.manifests) != 3 || len(b.blobs) != 8 {
		t.Fatalf("%d manifests and %d blobs, want 3 and 8", len(b.manifests), len(b.blobs))
	}
	sizes := map[digest.Digest]int{}
	for _, blob := range b.blobs {
		sizes[blob.digest] = len(blob.bytes)
	}
	for _, c := range b.manifests {
		var m manifest
		if err := json.Unmarshal(c.bytes, &m); err != nil {
			t.Fatal(err)
		}
		named := append(m.Manifests, m.Layers...)
		if m.Config != nil {
			named = append(named, *m.Config)
		}
		for _, d := range named {
			if size, ok := sizes[d.Digest]; !ok || size != d.Size {
				t.Errorf("%s names %s of %d bytes, pushed before it: %t, %d bytes", m.MediaType, d.Digest, d.Size,
					ok, size)
			}
		}
		sizes[c.digest] = len(c.bytes)
	}
}

func TestImagePlainHasNoIndex(t *testing.T) {
	b := build(t, Image{Plain: true}, "acme/router:v1")
	if len(b.manifests) != 1 || b.top().mediaType != mediaManifest {
		t.Errorf("%d manifests, the top one is %s", len(b.manifests), b.top().mediaType)
	}
}

func TestLayerIsATar(t *testing.T) {
	layer, err := layerTar("seed", 1000)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(layer))
	header, err := r.Next()
	if err != nil || header.Size != 1000 {
		t.Fatalf("%v, %v", header, err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the file: %v, want the end", err)
	}
}

func build(t *testing.T, image Image, reference string) builtImage {
	t.Helper()
	b, err := image.withDefaults(reference).build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
