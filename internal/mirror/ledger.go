package mirror

import (
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// What the ledger remembers at most: blobs, and repositories for each. A blob takes about 200 bytes.
const (
	ledgerBlobs        = 1 << 16
	ledgerRepositories = 4
)

// ledger knows which repositories of a registry hold which blobs, so that a blob that several images share is uploaded once and
// mounted everywhere else:
//
//	acme/app  has pushed    sha256:base    -> acme/app
//	acme/shop needs         sha256:base    -> POST /v2/acme/shop/blobs/uploads/?mount=sha256:base&from=acme/app
//
// What it says is a hint and never a proof: registries collect garbage. A manifest that is refused, or a look at the blobs, decides;
// what turns out wrong is forgotten and the blob uploaded. It stays when credentials are replaced.
type ledger struct {
	mu     sync.Mutex
	blobs  *recent[held, []string] // repositories, the latest last
	mounts map[site]mounting
}

// site is a registry as one user sees it: what one may mount, another may not even see.
type site struct{ host, user string }

type held struct {
	site   site
	digest digest.Digest
}

// mounting tells whether a registry takes blobs over from one repository to another, and answers truly whether it could.
type mounting int

const (
	mountsUnknown mounting = iota
	mountsWork
	mountsFail
)

func newLedger() *ledger {
	return &ledger{blobs: newRecent[held, []string](ledgerBlobs), mounts: map[site]mounting{}}
}

func (l *ledger) record(s site, repository string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := held{s, d}
	known, _ := l.blobs.get(key)
	if slices.Contains(known, repository) {
		return
	}
	if len(known) == ledgerRepositories {
		known = known[1:]
	}
	l.blobs.put(key, append(slices.Clone(known), repository), 1)
}

func (l *ledger) holds(s site, repository string, d digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, _ := l.blobs.get(held{s, d})
	return slices.Contains(known, repository)
}

// elsewhere names another repository of the registry that has the blob, "" when none is known.
func (l *ledger) elsewhere(s site, repository string, d digest.Digest) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, _ := l.blobs.get(held{s, d})
	for _, other := range slices.Backward(known) {
		if other != repository {
			return other
		}
	}
	return ""
}

func (l *ledger) forget(s site, repository string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := held{s, d}
	known, _ := l.blobs.get(key)
	left := slices.DeleteFunc(slices.Clone(known), func(r string) bool { return r == repository })
	if len(left) == 0 {
		l.blobs.drop(key)
		return
	}
	l.blobs.put(key, left, 1)
}

func (l *ledger) mounting(s site) mounting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mounts[s]
}

func (l *ledger) setMounting(s site, m mounting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mounts[s] = m
}
