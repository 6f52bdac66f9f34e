package mirror

import (
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/manifest"
)

// manifestRoom is how many bytes of manifests are kept; in memory they take about three times as much.
const manifestRoom = 16 << 20

// manifests keeps what was read, by digest, so that each manifest of a source is read once: where pulls are counted, as on Docker Hub,
// each read is one of them. What a digest names never changes.
type manifests struct {
	mu    sync.Mutex
	known *recent[digest.Digest, manifest.Manifest]
}

func newManifests() *manifests {
	return &manifests{known: newRecent[digest.Digest, manifest.Manifest](manifestRoom)}
}

func (m *manifests) get(d digest.Digest) (manifest.Manifest, bool) {
	if m == nil || d == "" {
		return nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known.get(d)
}

// put keeps a manifest whose digest has been recomputed.
func (m *manifests) put(found manifest.Manifest) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := found.GetDescriptor()
	m.known.put(d.Digest, found, d.Size)
}
