package mirror

import (
	"encoding/binary"
	"hash/fnv"
)

// Download says how much of an image a proof downloads, to recompute digests.
type Download string

// The ways to look at blobs.
const (
	DownloadNone   Download = ""       // nothing: that a blob is there in its right size is asked by HEAD
	DownloadSample Download = "Sample" // about a tenth of the blobs, others each time, and at least one
	DownloadFull   Download = "Full"   // everything
)

// sampleDivisor is the share of blobs that a sample downloads: one in so many.
const sampleDivisor = 10

// selectBlobs tells for each blob whether it is downloaded. A sample depends on the seed and the
// blob's digest alone, so that images that share a blob agree on it, and a run can be repeated.
func (d Download) selectBlobs(blobs []blob, seed uint64) []bool {
	chosen := make([]bool, len(blobs))
	lowest, at := ^uint64(0), -1
	for i, b := range blobs {
		rank := rank(b, seed)
		chosen[i] = d == DownloadFull || d == DownloadSample && rank%sampleDivisor == 0
		if rank <= lowest {
			lowest, at = rank, i
		}
	}
	if d == DownloadSample && at >= 0 {
		chosen[at] = true
	}
	return chosen
}

func rank(b blob, seed uint64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, seed)) // a hash never fails
	_, _ = h.Write([]byte(b.digest))
	return h.Sum64()
}
