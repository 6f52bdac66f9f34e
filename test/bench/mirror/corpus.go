package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/regclient/regclient/types/platform"
)

// corpusSpec says what a corpus is made of. The same spec and seed give the same bytes.
type corpusSpec struct {
	name, title string
	seed        uint64
	images      int
	bases       int
	// baseBytes and ownBytes are what all bases, and all layers of the images' own, come to.
	baseBytes, ownBytes int64
	// ownLayers is the most layers that an image has of its own; it has one at least.
	ownLayers int
	// twoPlatforms makes the images of the last base indexes of two platforms, each with a base of
	// its own.
	twoPlatforms bool
}

// specs are the corpora by name, with the sizes of their layers times scale.
func specs(seed uint64, scale float64) map[string]corpusSpec {
	megabytes := func(n float64) int64 { return int64(n * 1e6 * scale) }
	return map[string]corpusSpec{
		"A": {
			name: "A", title: "60 images on 5 shared bases, 250 MB of distinct layers", seed: seed,
			images: 60, bases: 5, baseBytes: megabytes(60), ownBytes: megabytes(190), ownLayers: 3, twoPlatforms: true,
		},
		"B": {
			name: "B", title: "200 small images on 4 shared bases, 18 MB of distinct layers", seed: seed + 1,
			images: 200, bases: 4, baseBytes: megabytes(3), ownBytes: megabytes(15), ownLayers: 2,
		},
	}
}

// layer stands for a gzip'd tar archive with one file of random bytes.
type layer struct {
	seed uint64
	size int64 // of the file
}

// child is an image of one platform: an index, or a tag, points to it.
type child struct {
	platform platform.Platform
	layers   []layer
}

// image is one tag in a repository of its own, as most workloads have it: no layer is there because
// of another tag. More than one child makes it an index.
type image struct {
	repository string // without a host: corpus-a/app-007
	children   []child
}

const tag = "v1"

var (
	amd64 = platform.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = platform.Platform{OS: "linux", Architecture: "arm64"}
)

// list gives the images of a corpus. It holds no content; layers tell how to make that.
func (s corpusSpec) list() []image {
	random := rand.New(rand.NewPCG(s.seed, 0))
	bases := s.makeBases(random)
	images := make([]image, s.images)
	var own []*layer
	for i := range images {
		images[i].repository = fmt.Sprintf("corpus-%c/app-%03d", s.name[0]|0x20, i)
		for _, base := range bases[i%len(bases)] {
			layers := make([]layer, len(base.layers)+1+random.IntN(s.ownLayers))
			for n := copy(layers, base.layers); n < len(layers); n++ {
				own = append(own, &layers[n])
			}
			images[i].children = append(images[i].children, child{platform: base.platform, layers: layers})
		}
	}
	fillLayers(random, own, s.ownBytes)
	return images
}

// makeBases gives for each base its platforms. A base has three layers of 80, 17 and 3 percent: an
// operating system, a runtime, and something small on top.
func (s corpusSpec) makeBases(random *rand.Rand) [][]child {
	bases := make([][]child, s.bases)
	all := 0
	for i := range bases {
		bases[i] = []child{{platform: amd64}}
		if s.twoPlatforms && i == s.bases-1 {
			bases[i] = append(bases[i], child{platform: arm64})
		}
		all += len(bases[i])
	}
	each := float64(s.baseBytes) / float64(all)
	for _, base := range bases {
		for p := range base {
			for _, share := range []float64{0.80, 0.17, 0.03} {
				base[p].layers = append(base[p].layers, layer{seed: random.Uint64(), size: int64(each * share)})
			}
		}
	}
	return bases
}

// fillLayers shares total out among the layers, unevenly as in real images: log-normal, so that a
// few hold most of the bytes.
func fillLayers(random *rand.Rand, layers []*layer, total int64) {
	weights := make([]float64, len(layers))
	var sum float64
	for i := range weights {
		weights[i] = math.Exp(1.2 * random.NormFloat64())
		sum += weights[i]
	}
	for i, l := range layers {
		*l = layer{seed: random.Uint64(), size: max(512, int64(float64(total)*weights[i]/sum))}
	}
}

// writeTar writes the layer as it is before compression.
func (l layer) writeTar(w io.Writer) error {
	archive := tar.NewWriter(w)
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "content", Mode: 0o644,
		Size: l.size}); err != nil {
		return err
	}
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], l.seed)
	if _, err := io.CopyN(archive, rand.NewChaCha8(seed), l.size); err != nil {
		return err
	}
	return archive.Close()
}

// writeGzip writes the layer as a registry holds it. Random bytes do not get smaller, so they are
// only stored.
func (l layer) writeGzip(w io.Writer) error {
	compressed, err := gzip.NewWriterLevel(w, gzip.NoCompression)
	if err != nil {
		return err
	}
	if err := l.writeTar(compressed); err != nil {
		return err
	}
	return compressed.Close()
}
