package mirror

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// content is one blob or manifest.
type content struct {
	raw       []byte
	digest    string
	mediaType string
}

func newContent(mediaType string, raw []byte) content {
	return content{raw: raw, digest: digest.FromBytes(raw).String(), mediaType: mediaType}
}

// image is everything that belongs to one top manifest.
type image struct {
	top      content
	children []content // children before parents, without the top
	blobs    []content
}

type object = map[string]any

func (c content) descriptor() object {
	return object{"mediaType": c.mediaType, "digest": c.digest, "size": len(c.raw)}
}

func toJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// layerOf makes a layer; it need not be a tarball, registries do not look.
func layerOf(text string) content { return newContent(layerType, []byte("layer "+text)) }

// singleArch is an image for one architecture with a layer of its own and those given.
func singleArch(name, arch string, layers ...content) image {
	config := newContent(configType, toJSON(object{"os": "linux", "architecture": arch, "name": name}))
	layers = append(layers, layerOf(name+" "+arch))
	var descriptors []object
	for _, l := range layers {
		descriptors = append(descriptors, l.descriptor())
	}
	top := newContent(manifestType, toJSON(object{
		"schemaVersion": 2, "mediaType": manifestType, "config": config.descriptor(), "layers": descriptors,
	}))
	return image{top: top, blobs: append([]content{config}, layers...)}
}

// multiArch is an index of linux/amd64 and linux/arm64/v8 that share a layer.
//
//	children: [amd64, arm64]   blobs: [amd64 config, shared, amd64 layer, arm64 config, shared, arm64 layer]
func multiArch(name string) image {
	shared := layerOf(name + " shared")
	amd := singleArch(name, "amd64", shared)
	arm := singleArch(name, "arm64", shared)
	return indexOf(
		entry{amd, object{"os": "linux", "architecture": "amd64"}},
		entry{arm, object{"os": "linux", "architecture": "arm64", "variant": "v8"}},
	)
}

type entry struct {
	image    image
	platform object
}

func indexOf(entries ...entry) image {
	var out image
	var descriptors []object
	for _, e := range entries {
		d := e.image.top.descriptor()
		if e.platform != nil {
			d["platform"] = e.platform
		}
		descriptors = append(descriptors, d)
		out.children = append(append(out.children, e.image.children...), e.image.top)
		out.blobs = append(out.blobs, e.image.blobs...)
	}
	out.top = newContent(indexType, toJSON(object{
		"schemaVersion": 2, "mediaType": indexType, "manifests": descriptors,
	}))
	return out
}

// bytes is the size of the different blobs together.
func (img image) bytes() (count int, size int64) {
	seen := map[string]bool{}
	for _, b := range img.blobs {
		if !seen[b.digest] {
			seen[b.digest] = true
			count++
			size += int64(len(b.raw))
		}
	}
	return count, size
}

// smallest is the blob that is brought to a registry first, to find out whether it mounts.
func smallest(img image) content {
	sorted := slices.Clone(img.blobs)
	slices.SortStableFunc(sorted, func(a, b content) int { return cmp.Compare(len(b.raw), len(a.raw)) })
	return sorted[len(sorted)-1]
}

// blobOf is what a descriptor says about a blob.
func blobOf(c content) blob {
	return blob{digest: digest.Digest(c.digest), size: int64(len(c.raw)), mediaType: c.mediaType}
}

func mustJSON(t *testing.T, raw []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// digests are of all manifests of the image, sorted.
func (img image) digests() []string {
	digests := []string{img.top.digest}
	for _, child := range img.children {
		digests = append(digests, child.digest)
	}
	slices.Sort(digests)
	return digests
}
