package mirror

import (
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// What the ledger remembers at most: blobs, and repositories for each. A blob takes about 200
// bytes.
const (
	maxLocatedBlobs     = 1 << 16
	maxLocationsPerBlob = 4
)

// blobLocations knows which repositories of a registry hold which blobs, so that a blob that
// several images share is uploaded once and mounted everywhere else:
//
//	acme/app  has pushed    sha256:base    -> acme/app
//	acme/shop needs         sha256:base    -> POST /v2/acme/shop/blobs/uploads/?mount=sha256:base&from=acme/app
//
// What it says is a hint and never a proof: registries collect garbage. A manifest that is refused,
// or a look at the blobs, decides; what turns out wrong is forgotten and the blob uploaded. It
// stays when credentials are replaced.
type blobLocations struct {
	mu            sync.Mutex
	blobs         *lruCache[blobKey, []string] // repositories, the latest last
	mountSupports map[hostUser]mountSupport
}

// hostUser is a registry as one user sees it: what one may mount, another may not even see.
type hostUser struct{ host, user string }

type blobKey struct {
	hostUser hostUser
	digest   digest.Digest
}

// mountSupport tells whether a registry takes blobs over from one repository to another, and
// answers truly whether it could.
type mountSupport int

const (
	mountUnknown mountSupport = iota
	mountSupported
	mountUnsupported
)

func newBlobLocations() *blobLocations {
	return &blobLocations{blobs: newLRUCache[blobKey, []string](maxLocatedBlobs),
		mountSupports: map[hostUser]mountSupport{}}
}

func (l *blobLocations) record(s hostUser, repository string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := blobKey{s, d}
	known, _ := l.blobs.get(key)
	if slices.Contains(known, repository) {
		return
	}
	if len(known) == maxLocationsPerBlob {
		known = known[1:]
	}
	l.blobs.put(key, append(slices.Clone(known), repository), 1)
}

func (l *blobLocations) has(s hostUser, repository string, d digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, _ := l.blobs.get(blobKey{s, d})
	return slices.Contains(known, repository)
}

// otherRepository names another repository of the registry that has the blob, "" when none is
// known.
func (l *blobLocations) otherRepository(s hostUser, repository string, d digest.Digest) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, _ := l.blobs.get(blobKey{s, d})
	for _, other := range slices.Backward(known) {
		if other != repository {
			return other
		}
	}
	return ""
}

func (l *blobLocations) forget(s hostUser, repository string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := blobKey{s, d}
	known, _ := l.blobs.get(key)
	left := slices.DeleteFunc(slices.Clone(known), func(r string) bool { return r == repository })
	if len(left) == 0 {
		l.blobs.remove(key)
		return
	}
	l.blobs.put(key, left, 1)
}

func (l *blobLocations) mountSupport(s hostUser) mountSupport {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mountSupports[s]
}

func (l *blobLocations) setMountSupport(s hostUser, m mountSupport) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mountSupports[s] = m
}
