package mirror

import (
	"slices"
	"sync"
)

// resumption is what helps a copy that goes on after its process was killed. The ledger is gone then, so a layer that one image had
// brought to the registry would be uploaded again for another one:
//
//	before    acme/app and acme/shop share sha256:base; it was uploaded to acme/app, and the process was killed
//	after     acme/shop comes first, and asks for a mount from acme/app, because acme/app wants the same layer
//
// That costs requests, so it is only done at registries where something was found that this process has not brought.
type resumption struct {
	mu     sync.Mutex
	begun  map[site]bool
	wanted *recent[held, []string]
}

// wantersKept is how many repositories are remembered to want a blob: the first ones, whose turn came first before as well.
const wantersKept = 8

func newResumption() *resumption {
	return &resumption{begun: map[site]bool{}, wanted: newRecent[held, []string](ledgerBlobs)}
}

// found notes that a registry had something before this process brought it.
func (r *resumption) found(s site) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun[s] = true
}

// wants notes that an image in a repository needs the blobs.
func (r *resumption) wants(s site, repository string, blobs []blob) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range blobs {
		key := held{s, b.digest}
		known, _ := r.wanted.get(key)
		if len(known) < wantersKept && !slices.Contains(known, repository) {
			r.wanted.put(key, append(slices.Clone(known), repository), 1)
		}
	}
}

// candidates names the other repositories that may have been given a blob by a process before this one.
func (r *resumption) candidates(s site, repository string, b blob) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun[s] {
		return nil
	}
	known, _ := r.wanted.get(held{s, b.digest})
	return slices.DeleteFunc(slices.Clone(known), func(other string) bool { return other == repository })
}
