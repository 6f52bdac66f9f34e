package mirror

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// checksKept is how many checks are remembered, about 300 bytes each.
const checksKept = 1 << 17

// checks remembers what was seen at a registry and when, so that what many images share is looked at once in a pass:
//
//	app:v1 and app:v2 share 20 layers    the second one's proof rests on the first one's looks, and is as old as they are
//
// A blob that the registry has just taken in and confirmed counts as seen; a node's own access must still see part of it.
type checks struct {
	mu    sync.Mutex
	seen  *recent[checkKey, sight]
	blobs map[party]time.Time // when one got a blob of a host last

	manifests map[party]time.Time // the same of manifests
	reading   *flights[party]     // see registries.vouched
}

// party is a host as one login of one access sees it.
type party struct {
	by   *registries
	site site
}

type checkKey struct {
	host, repository string
	digest           digest.Digest
}

// sight is one look.
type sight struct {
	at   time.Time
	by   *registries // whose access it was taken with
	size int64       // in bytes; -1 when the registry did not say
	full bool        // whether the content was downloaded and its digest recomputed
}

func newChecks() *checks {
	return &checks{
		seen: newRecent[checkKey, sight](checksKept), blobs: map[party]time.Time{}, manifests: map[party]time.Time{},
		reading: newFlights[party](),
	}
}

func (c *checks) record(r *repository, d digest.Digest, s sight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.put(r.checkKey(d), s, 1)
}

// since gives a look that is not older than oldest, nil when there is none.
func (c *checks) since(oldest time.Time, r *repository, d digest.Digest) *sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.seen.get(r.checkKey(d))
	if !ok || s.at.Before(oldest) {
		return nil
	}
	return &s
}

// forget is for what turned out not to be there.
func (c *checks) forget(r *repository, d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.drop(r.checkKey(d))
}

func (r *repository) checkKey(d digest.Digest) checkKey {
	return checkKey{r.ref.Registry, r.ref.Repository, d}
}

func (c *checks) gotBlob(r *repository, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobs[party{r.by, r.site}] = at
}

func (c *checks) blobsOf(r *repository) (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok = c.blobs[party{r.by, r.site}]
	return at, ok
}

func (c *checks) gotManifest(r *repository, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.manifests[party{r.by, r.site}] = at
}

func (c *checks) manifestsOf(r *repository) (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok = c.manifests[party{r.by, r.site}]
	return at, ok
}
