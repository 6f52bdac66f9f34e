package observe

import (
	"context"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
)

// CachedKinds knows which of the kinds that name images the manager's caches serve. A cache waits
// for ever for a kind that the cluster does not have or that the operator may not list, so it is
// asked only for those that were found to be there and readable.
type CachedKinds struct {
	mu     sync.Mutex
	cached map[schema.GroupVersionKind]bool
	// refused are the answers for kinds that cannot be read, with the time at which they were
	// given.
	refused map[schema.GroupVersionKind]refusal
}

type refusal struct {
	at  time.Time
	err error
}

// refusalMaxAge is how long the API server's word is good for that a kind is not there, or not for
// us to read.
const refusalMaxAge = time.Minute

// NewCachedKinds knows the kinds without which there is no inventory; they are always asked of the
// caches.
func NewCachedKinds(scheme *runtime.Scheme) *CachedKinds {
	k := &CachedKinds{cached: map[schema.GroupVersionKind]bool{}, refused: map[schema.GroupVersionKind]refusal{}}
	for _, kind := range inventory.Kinds() {
		if gvk, err := apiutil.GVKForObject(kind.Object, scheme); err == nil && kind.Essential {
			k.cached[gvk] = true
		}
	}
	return k
}

// MarkCached notes that the caches hold the kind from now on.
func (k *CachedKinds) MarkCached(kind schema.GroupVersionKind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cached[kind] = true
}

// reader reads the kinds that are served from the cache, and the others from the API server, whose
// refusals it remembers for a while.
func (k *CachedKinds) reader(cached, api client.Reader, scheme *runtime.Scheme, now time.Time) client.Reader {
	return &kindReader{Reader: cached, kinds: k, api: api, scheme: scheme, now: now}
}

type kindReader struct {
	client.Reader
	kinds  *CachedKinds
	api    client.Reader
	scheme *runtime.Scheme
	now    time.Time
}

// List implements client.Reader.
func (r *kindReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, r.scheme)
	if err != nil {
		return err
	}
	kind := gvk.GroupVersion().WithKind(strings.TrimSuffix(gvk.Kind, "List"))
	r.kinds.mu.Lock()
	served, refused := r.kinds.cached[kind], r.kinds.refused[kind]
	r.kinds.mu.Unlock()
	switch {
	case served:
		return r.Reader.List(ctx, list, opts...)
	case refused.err != nil && r.now.Sub(refused.at) < refusalMaxAge:
		return refused.err
	}
	err = r.api.List(ctx, list, opts...)
	if meta.IsNoMatchError(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		r.kinds.mu.Lock()
		r.kinds.refused[kind] = refusal{at: r.now, err: err}
		r.kinds.mu.Unlock()
	}
	return err
}
