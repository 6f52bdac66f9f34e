package mirror

import (
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/manifest"
)

// manifestCacheBytes is how many bytes of manifests are kept; in memory they take about three times
// as much.
const manifestCacheBytes = 16 << 20

// manifestCache keeps what was read, by digest, so that each manifest of a source is read once:
// where pulls are counted, as on Docker Hub, each read is one of them. What a digest names never
// changes.
type manifestCache struct {
	mu    sync.Mutex
	cache *lruCache[digest.Digest, manifest.Manifest]
}

func newManifestCache() *manifestCache {
	return &manifestCache{cache: newLRUCache[digest.Digest, manifest.Manifest](manifestCacheBytes)}
}

func (m *manifestCache) get(d digest.Digest) (manifest.Manifest, bool) {
	if m == nil || d == "" {
		return nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cache.get(d)
}

// put keeps a manifest whose digest has been recomputed.
func (m *manifestCache) put(found manifest.Manifest) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := found.GetDescriptor()
	m.cache.put(d.Digest, found, d.Size)
}
