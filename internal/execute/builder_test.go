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
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// errDown is what a call to a broken cluster fails with.
var errDown = errors.New("connection refused")

// setup is a cluster, an executor that acts on it, and what was written since the last look.
type setup struct {
	*Executor
	t      *testing.T
	writes *[]string
	// afterWrite looks at the cluster after each write.
	afterWrite func()
	// failAfter is after how many writes no other one gets through; 0 means never.
	failAfter int
}

// newSetup makes a site of these objects.
func newSetup(t *testing.T, objects ...client.Object) *setup {
	t.Helper()
	s := &setup{t: t, writes: new([]string)}
	c := minicluster.Client(s.recording(), objects...)
	transfers, pulls := &Transfers{Engine: mirror.NewEngine(mirror.EngineOptions{})}, &PullChecks{}
	live := &observe.Observer{
		Client: c, API: c, Namespace: "safe-mirror-operator", DryRun: dryrun.New(c), Transfers: transfers,
		PullChecks: pulls, Kinds: observe.NewCachedKinds(minicluster.Scheme()),
		Now: func() time.Time { return minicluster.StartTime },
	}
	s.Executor = &Executor{Client: c, API: c, Observer: live, Transfers: transfers, PullChecks: pulls}
	return s
}

// recording notes every write in the order in which they are made.
func (s *setup) recording() interceptor.Funcs {
	alive := func(do func() error) error {
		if s.failAfter > 0 && len(*s.writes) >= s.failAfter {
			return errDown
		}
		return do()
	}
	note := func(verb string, kind, name any, err error) error {
		if err == nil {
			*s.writes = append(*s.writes, fmt.Sprintf("%s %s %s", verb, kind, name))
			if s.afterWrite != nil {
				s.afterWrite()
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
		Apply: func(ctx context.Context, c client.WithWatch, what runtime.ApplyConfiguration,
			opts ...client.ApplyOption) error {
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
			return note("apply", applied.Kind, applied.Metadata.Name,
				alive(func() error { return c.Apply(ctx, what, opts...) }))
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return note("delete", kindOf(o), o.GetName(), alive(func() error { return c.Delete(ctx, o, opts...) }))
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch,
			opts ...client.PatchOption) error {
			return note("patch", kindOf(o), o.GetName(), alive(func() error { return c.Patch(ctx, o, p, opts...) }))
		},
	}
}

// observe is what the observer sees of the rollout shop now; the writes so far are forgotten.
func (s *setup) observe() *observe.Observation {
	s.t.Helper()
	obs, err := s.Observer.Observe(context.Background(), "shop")
	if err != nil {
		s.t.Fatal(err)
	}
	*s.writes = nil
	return obs
}

// editAsUser edits an object in the cluster, as somebody else would.
func editAsUser[T client.Object](s *setup, o T, name string, edit func(T)) {
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

// poolState is what a pool is like as far as a rollout goes.
type poolState struct {
	Paused         bool
	MaxUnavailable string
	Record         *rollout.PauseRecord
}

func (s *setup) poolState(name string) poolState {
	s.t.Helper()
	mcp := &mcfgv1.MachineConfigPool{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Name: name}, mcp); err != nil {
		s.t.Fatal(err)
	}
	out := poolState{Paused: mcp.Spec.Paused}
	if m := mcp.Spec.MaxUnavailable; m != nil {
		out.MaxUnavailable = m.String()
	}
	var err error
	if out.Record, err = pool.ReadPauseRecord(mcp); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func somePauseRecord() rollout.PauseRecord {
	return rollout.PauseRecord{Rollout: "shop", UID: "uid-shop", Since: minicluster.StartTime,
		PriorMaxUnavailable: "10%", Undo: "oc patch …"}
}

// pausedPool is the worker pool, paused with the pause record on it.
func pausedPool(objects []client.Object, record rollout.PauseRecord) []client.Object {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	for _, o := range objects {
		if mcp, ok := o.(*mcfgv1.MachineConfigPool); ok && mcp.Name == "worker" {
			previous := intstr.Parse(record.PriorMaxUnavailable)
			mcp.Spec.Paused, mcp.Spec.MaxUnavailable = true, &previous
			mcp.Annotations = map[string]string{pool.PauseRecordAnnotation: string(text)}
		}
	}
	return objects
}

// readyToRelease is a cluster in which everything is proven, applied and rendered, and the release
// of one node is on record.
func readyToRelease(t *testing.T) *setup {
	t.Helper()
	ctx, shop := context.Background(), minicluster.Rollout("shop")
	shop.Finalizers = []string{rollout.Finalizer}
	objects := append(minicluster.Objects("worker-0", "worker-1"), shop, mirrorset.IDMS(shop), mirrorset.ITMS(shop))
	s := newSetup(t, pausedPool(objects, somePauseRecord())...)
	if err := minicluster.RenderPools(ctx, s.Client); err != nil {
		t.Fatal(err)
	}
	obs := s.observe()
	s.Transfers.Start(obs, true, time.Time{})
	began, after := metav1.NewTime(minicluster.StartTime), obs.Rollout.DeepCopy()
	after.Status.Record = v1alpha1.Record{
		StartedAt: &began, AppliedPlanHash: obs.Plan.Digest,
		Pools:   []v1alpha1.PoolRecord{{Name: "worker", MaxUnavailable: "10%"}},
		Release: &v1alpha1.ReleaseRecord{Pool: "worker", IntendedAt: began, TargetConfig: s.rendered()},
	}
	if err := s.Client.Status().Update(ctx, after); err != nil {
		t.Fatal(err)
	}
	return s
}

// rendered is the name of the worker pool's rendered MachineConfig.
func (s *setup) rendered() string {
	s.t.Helper()
	mcp := &mcfgv1.MachineConfigPool{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Name: "worker"}, mcp); err != nil {
		s.t.Fatal(err)
	}
	return mcp.Spec.Configuration.Name
}

// nextAction is the one action that the core wants.
func (s *setup) nextAction(obs *observe.Observation) rollout.Action {
	s.t.Helper()
	d := rollout.Decide(obs.Observed)
	if len(d.Actions) != 1 {
		s.t.Fatalf("%s: %s: %v, want one action", d.Phase, d.Why, d.Actions)
	}
	return d.Actions[0]
}
