package mirror

import (
	"slices"
	"sync"
)

// resumeHints is what helps a copy that goes on after its process was killed. The ledger is gone
// then, so a layer that one image had brought to the registry would be uploaded again for another
// one:
//
//	before    acme/app and acme/shop share sha256:base; it was uploaded to acme/app, and the process was killed
//	after     acme/shop comes first, and asks for a mount from acme/app, because acme/app wants the same layer
//
// That costs requests, so it is only done at registries where something was found that this process
// has not brought.
type resumeHints struct {
	mu      sync.Mutex
	resumed map[hostUser]bool
	wanted  *lruCache[blobKey, []string]
}

// maxRepositoriesPerBlob is how many repositories are remembered to want a blob: the first ones,
// whose turn came first before as well.
const maxRepositoriesPerBlob = 8

func newResumeHints() *resumeHints {
	return &resumeHints{resumed: map[hostUser]bool{}, wanted: newLRUCache[blobKey, []string](maxLocatedBlobs)}
}

// markResumed notes that a registry had something before this process brought it.
func (r *resumeHints) markResumed(s hostUser) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resumed[s] = true
}

// addWanted notes that an image in a repository needs the blobs.
func (r *resumeHints) addWanted(s hostUser, repository string, blobs []blob) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range blobs {
		key := blobKey{s, b.digest}
		known, _ := r.wanted.get(key)
		if len(known) < maxRepositoriesPerBlob && !slices.Contains(known, repository) {
			r.wanted.put(key, append(slices.Clone(known), repository), 1)
		}
	}
}

// candidates names the other repositories that may have been given a blob by a process before this
// one.
func (r *resumeHints) candidates(s hostUser, repository string, b blob) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.resumed[s] {
		return nil
	}
	known, _ := r.wanted.get(blobKey{s, b.digest})
	return slices.DeleteFunc(slices.Clone(known), func(other string) bool { return other == repository })
}
