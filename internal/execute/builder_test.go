package execute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// errDown is what a call to a broken cluster fails with.
var errDown = errors.New("connection refused")

// site is a cluster, an executor that acts on it, and what was written since the last look.
type site struct {
	*Executor
	t      *testing.T
	writes *[]string
	// after looks at the cluster after each write.
	after func()
	// dies is after how many writes no other one gets through; 0 means never.
	dies int
}

// build makes a site of these objects.
func build(t *testing.T, objects ...client.Object) *site {
	t.Helper()
	s := &site{t: t, writes: new([]string)}
	c := minicluster.Client(s.recording(), objects...)
	transfers, pulls := &Transfers{Engine: mirror.NewEngine(mirror.EngineOptions{})}, &PullChecks{}
	live := &observe.Live{
		Client: c, API: c, Namespace: "safe-mirror-operator", DryRun: dryrun.New(c), Transfers: transfers, PullChecks: pulls, Kinds: observe.NewKinds(minicluster.Scheme()),
		Now: func() time.Time { return minicluster.Began },
	}
	s.Executor = &Executor{Client: c, API: c, Observe: live, Transfers: transfers, PullChecks: pulls}
	return s
}

// recording notes every write in the order in which they are made.
func (s *site) recording() interceptor.Funcs {
	alive := func(do func() error) error {
		if s.dies > 0 && len(*s.writes) >= s.dies {
			return errDown
		}
		return do()
	}
	note := func(verb string, kind, name any, err error) error {
		if err == nil {
			*s.writes = append(*s.writes, fmt.Sprintf("%s %s %s", verb, kind, name))
			if s.after != nil {
				s.after()
			}
		}
		return err
	}
	kindOf := func(o client.Object) string {
		gvk, err := apiutil.GVKForObject(o, minicluster.Scheme())
		if err != nil {
			s.t.Fatal(err)
		}
		return gvk.Kind
	}
	return interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, what runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if minicluster.DryRun(opts) {
				return nil
			}
			var applied struct {
				Kind     string
				Metadata struct{ Name string }
			}
			text, err := json.Marshal(what)
			if err == nil {
				err = json.Unmarshal(text, &applied)
			}
			if err != nil {
				return err
			}
			return note("apply", applied.Kind, applied.Metadata.Name, alive(func() error { return c.Apply(ctx, what, opts...) }))
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return note("delete", kindOf(o), o.GetName(), alive(func() error { return c.Delete(ctx, o, opts...) }))
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return note("patch", kindOf(o), o.GetName(), alive(func() error { return c.Patch(ctx, o, p, opts...) }))
		},
	}
}

// look is what the observer sees of the rollout shop now; the writes so far are forgotten.
func (s *site) look() *observe.World {
	s.t.Helper()
	w, err := s.Observe.Observe(context.Background(), "shop")
	if err != nil {
		s.t.Fatal(err)
	}
	*s.writes = nil
	return w
}

// change edits an object in the cluster, as somebody else would.
func change[T client.Object](s *site, o T, name string, edit func(T)) {
	s.t.Helper()
	ctx := context.Background()
	if err := s.Client.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		s.t.Fatal(err)
	}
	edit(o)
	if err := s.Client.Update(ctx, o, client.FieldOwner("kubectl-edit")); err != nil {
		s.t.Fatal(err)
	}
}

// held is what a pool is like as far as a rollout goes.
type held struct {
	Paused         bool
	MaxUnavailable string
	Ledger         *rollout.Ledger
}

func (s *site) pool(name string) held {
	s.t.Helper()
	mcp := &mcfgv1.MachineConfigPool{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Name: name}, mcp); err != nil {
		s.t.Fatal(err)
	}
	out := held{Paused: mcp.Spec.Paused}
	if m := mcp.Spec.MaxUnavailable; m != nil {
		out.MaxUnavailable = m.String()
	}
	var err error
	if out.Ledger, err = pool.ReadLedger(mcp); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func someLedger() rollout.Ledger {
	return rollout.Ledger{Rollout: "shop", UID: "uid-shop", Since: minicluster.Began, PriorMaxUnavailable: "10%", Undo: "oc patch …"}
}

// paused is the worker pool, paused with the ledger on it.
func paused(objects []client.Object, ledger rollout.Ledger) []client.Object {
	text, err := json.Marshal(ledger)
	if err != nil {
		panic(err)
	}
	for _, o := range objects {
		if mcp, ok := o.(*mcfgv1.MachineConfigPool); ok && mcp.Name == "worker" {
			prior := intstr.Parse(ledger.PriorMaxUnavailable)
			mcp.Spec.Paused, mcp.Spec.MaxUnavailable = true, &prior
			mcp.Annotations = map[string]string{pool.LedgerAnnotation: string(text)}
		}
	}
	return objects
}

// aboutToRelease is a cluster in which everything is proven, applied and rendered, and the release of one node is on record.
func aboutToRelease(t *testing.T) *site {
	t.Helper()
	ctx, shop := context.Background(), minicluster.Rollout("shop")
	shop.Finalizers = []string{rollout.Finalizer}
	objects := append(minicluster.Objects("worker-0", "worker-1"), shop, mirrorset.Digest(shop), mirrorset.Tag(shop))
	s := build(t, paused(objects, someLedger())...)
	if err := minicluster.RenderPools(ctx, s.Client); err != nil {
		t.Fatal(err)
	}
	w := s.look()
	s.Transfers.Start(w, true, time.Time{})
	began, after := metav1.NewTime(minicluster.Began), w.Rollout.DeepCopy()
	after.Status.Record = v1alpha1.Record{
		StartedAt: &began, AppliedPlanHash: w.Plan.Digest, Pools: []v1alpha1.PoolRecord{{Name: "worker", MaxUnavailable: "10%"}},
		Release: &v1alpha1.ReleaseRecord{Pool: "worker", IntendedAt: began, TargetConfig: s.rendered()},
	}
	if err := s.Client.Status().Update(ctx, after); err != nil {
		t.Fatal(err)
	}
	return s
}

// rendered is the name of the worker pool's rendered MachineConfig.
func (s *site) rendered() string {
	s.t.Helper()
	mcp := &mcfgv1.MachineConfigPool{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Name: "worker"}, mcp); err != nil {
		s.t.Fatal(err)
	}
	return mcp.Spec.Configuration.Name
}

// wanted is the one action that the core wants.
func (s *site) wanted(w *observe.World) rollout.Action {
	s.t.Helper()
	d := rollout.Decide(w.Observed)
	if len(d.Actions) != 1 {
		s.t.Fatalf("%s: %s: %v, want one action", d.Phase, d.Why, d.Actions)
	}
	return d.Actions[0]
}
