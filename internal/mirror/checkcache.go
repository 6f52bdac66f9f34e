package mirror

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// maxCachedChecks is how many checks are remembered, about 300 bytes each.
const maxCachedChecks = 1 << 17

// checkCache remembers what was seen at a registry and when, so that what many images share is
// looked at once in a pass:
//
//	app:v1 and app:v2 share 20 layers    the second one's proof rests on the first one's looks, and is as old as they are
//
// A blob that the registry has just taken in and confirmed counts as seen; a node's own access must
// still see part of it.
type checkCache struct {
	mu        sync.Mutex
	records   *lruCache[checkKey, checkRecord]
	blobReads map[accessHost]time.Time // when one got a blob of a host last

	manifestReads map[accessHost]time.Time // the same of manifests
	manifestLocks *keyedLock[accessHost]   // see registries.vouched
}

// accessHost is a host as one login of one access sees it.
type accessHost struct {
	client   *registryClient
	hostUser hostUser
}

type checkKey struct {
	host, repository string
	digest           digest.Digest
}

// checkRecord is one look.
type checkRecord struct {
	checkedAt  time.Time
	client     *registryClient // whose access it was taken with
	size       int64           // in bytes; -1 when the registry did not say
	downloaded bool            // whether the content was downloaded and its digest recomputed
}

func newCheckCache() *checkCache {
	return &checkCache{
		records: newLRUCache[checkKey, checkRecord](maxCachedChecks), blobReads: map[accessHost]time.Time{},
		manifestReads: map[accessHost]time.Time{},
		manifestLocks: newKeyedLock[accessHost](),
	}
}

func (c *checkCache) record(r *repository, d digest.Digest, s checkRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records.put(r.checkKey(d), s, 1)
}

// newerThan gives a look that is not older than oldest, nil when there is none.
func (c *checkCache) newerThan(oldest time.Time, r *repository, d digest.Digest) *checkRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.records.get(r.checkKey(d))
	if !ok || s.checkedAt.Before(oldest) {
		return nil
	}
	return &s
}

// forget is for what turned out not to be there.
func (c *checkCache) forget(r *repository, d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records.remove(r.checkKey(d))
}

func (r *repository) checkKey(d digest.Digest) checkKey {
	return checkKey{r.ref.Registry, r.ref.Repository, d}
}

func (c *checkCache) recordBlobRead(r *repository, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobReads[accessHost{r.client, r.hostUser}] = at
}

func (c *checkCache) lastBlobRead(r *repository) (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok = c.blobReads[accessHost{r.client, r.hostUser}]
	return at, ok
}

func (c *checkCache) recordManifestRead(r *repository, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.manifestReads[accessHost{r.client, r.hostUser}] = at
}

func (c *checkCache) lastManifestRead(r *repository) (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok = c.manifestReads[accessHost{r.client, r.hostUser}]
	return at, ok
}
