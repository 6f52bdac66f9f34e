package observe

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// operatorNamespace is where the Secrets are that a spec names.
const operatorNamespace = "safe-mirror-operator"

// errDown is what a read of a broken cluster fails with.
var errDown = errors.New("connection refused")

// newObserver looks at a cluster of these objects.
func newObserver(objects ...client.Object) *Observer {
	return newObserverWith(interceptor.Funcs{}, objects...)
}

func newObserverWith(funcs interceptor.Funcs, objects ...client.Object) *Observer {
	return observerOn(minicluster.Client(funcs, objects...))
}

func observerOn(c client.Client) *Observer {
	return &Observer{
		Client: c, API: c, Namespace: operatorNamespace, DryRun: dryrun.New(c), Transfers: idle{}, PullChecks: idle{},
		Kinds: NewCachedKinds(minicluster.Scheme()),
		Now:   func() time.Time { return minicluster.StartTime },
	}
}

// idle is an executor that has started nothing.
type idle struct{}

func (idle) Snapshot() map[string]mirror.Result   { return nil }
func (idle) Started() (plan string, copying bool) { return "", false }
func (idle) Probes() pullcheck.Checks             { return pullcheck.Checks{} }
func (idle) Canaries() pullcheck.CanaryChecks     { return pullcheck.CanaryChecks{} }

// mustObserve is what the observer sees of the rollout shop.
func mustObserve(t *testing.T, observer *Observer) *Observation {
	t.Helper()
	obs, err := observer.Observe(context.Background(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return obs
}

// mustKnow is a part of the look that has to be known.
func mustKnow[T any](t *testing.T, k rollout.Value[T]) T {
	t.Helper()
	v, ok := k.Get()
	if !ok {
		t.Fatalf("unknown: %s", k.Why())
	}
	return v
}

// poolOf is the pool of that name in the look.
func poolOf(t *testing.T, obs *Observation, name string) rollout.Pool {
	t.Helper()
	pools := mustKnow(t, obs.Observed.Pools)
	i := slices.IndexFunc(pools, func(p rollout.Pool) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("no pool %s in %v", name, pools)
	}
	return pools[i]
}

// cluster is a cluster at rest with the rollout shop.
func cluster(more ...client.Object) []client.Object {
	return append(append(minicluster.Objects("worker-0", "worker-1"), minicluster.Rollout("shop")), more...)
}

// replace takes the object of the same type and name out, and puts this one in.
func replace[T client.Object](objects []client.Object, by T) []client.Object {
	return append(drop[T](objects, by.GetName()), by)
}

// drop takes the object of that type and name out.
func drop[T client.Object](objects []client.Object, name string) []client.Object {
	return slices.DeleteFunc(slices.Clone(objects), func(o client.Object) bool {
		_, same := o.(T)
		return same && o.GetName() == name
	})
}

// rendered lets the worker pool's rendered MachineConfig write these files.
func rendered(objects []client.Object, files ...minicluster.File) []client.Object {
	return replace[*mcfgv1.MachineConfig](objects,
		minicluster.MachineConfig(minicluster.FirstRendered("worker"), files...))
}

// countReads notes how often each object was read by its name.
func countReads(reads map[string]int) interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object,
			opts ...client.GetOption) error {
			reads[key.Name]++
			return c.Get(ctx, key, o, opts...)
		},
	}
}

// withoutKinds is a cluster that does not have these kinds.
func withoutKinds(objects []client.Object, kinds ...string) client.Client {
	absent := interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			kind, err := apiutil.GVKForObject(list, c.Scheme())
			if err != nil {
				return err
			}
			if name := strings.TrimSuffix(kind.Kind, "List"); slices.Contains(kinds, name) {
				return &meta.NoKindMatchError{GroupKind: kind.GroupKind()}
			}
			return c.List(ctx, list, opts...)
		},
	}
	return minicluster.Client(absent, objects...)
}
