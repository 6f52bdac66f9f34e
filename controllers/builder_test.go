package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// errDown is what a call to a broken cluster fails with.
var errDown = errors.New("connection refused")

// clock is set by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// eventRecorder gathers events.
type eventRecorder struct{ events []string }

func (r *eventRecorder) Eventf(regarding, _ runtime.Object, eventtype, reason, _, note string, args ...any) {
	name := ""
	if o, ok := regarding.(client.Object); ok {
		name = o.GetName()
	}
	r.events = append(r.events, fmt.Sprintf("%s %s %s: %s", name, eventtype, reason, fmt.Sprintf(note, args...)))
}

// reconciler is the rollout controller on that client.
func reconciler(c client.Client, now func() time.Time) (*Reconciler, *eventRecorder) {
	transfers, pulls := &execute.Transfers{Engine: mirror.NewEngine(mirror.EngineOptions{})}, &execute.PullChecks{}
	live := &observe.Observer{
		Client: c, API: c, Namespace: "safe-mirror-operator", DryRun: dryrun.New(c), Transfers: transfers,
		PullChecks: pulls,
		Kinds:      observe.NewCachedKinds(minicluster.Scheme()), Now: now,
	}
	executor := &execute.Executor{Client: c, API: c, Observer: live, Transfers: transfers, PullChecks: pulls}
	events := &eventRecorder{}
	return &Reconciler{Client: c, Observer: live, Executor: executor, Recorder: events}, events
}

func request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Name: name}}
}

func get[T client.Object](t *testing.T, c client.Client, name string, into T) T {
	t.Helper()
	if err := c.Get(context.Background(), client.ObjectKey{Name: name}, into); err != nil {
		t.Fatal(err)
	}
	return into
}

func getPool(t *testing.T, c client.Client, name string) *mcfgv1.MachineConfigPool {
	t.Helper()
	return get(t, c, name, &mcfgv1.MachineConfigPool{})
}

func getRollout(t *testing.T, c client.Client) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	return get(t, c, "shop", &v1alpha1.SafeMirrorRollout{})
}

func pauseRecordOf(t *testing.T, c client.Client, name string) *rollout.PauseRecord {
	t.Helper()
	record, err := pool.ReadPauseRecord(getPool(t, c, name))
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func somePauseRecord() rollout.PauseRecord {
	return rollout.PauseRecord{Rollout: "shop", UID: "uid-shop", Since: minicluster.StartTime,
		PriorMaxUnavailable: "10%", Undo: "oc patch …"}
}

// openPauseRecord is that of a pool that is open for one node, for a minute.
func openPauseRecord() rollout.PauseRecord {
	record := somePauseRecord()
	record.Release = &rollout.UnpauseWindow{IntendedAt: minicluster.StartTime,
		Deadline: minicluster.StartTime.Add(time.Minute), Target: minicluster.FirstRendered("worker"), UpdatedBefore: 2}
	return record
}

// withPauseRecord puts the pause record on the worker pool.
func withPauseRecord(objects []client.Object, record rollout.PauseRecord) []client.Object {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	previous := intstr.Parse(record.PriorMaxUnavailable)
	return minicluster.Edit(objects, "worker", func(p *mcfgv1.MachineConfigPool) {
		p.Spec.MaxUnavailable = &previous
		p.Annotations = map[string]string{pool.PauseRecordAnnotation: string(text)}
	})
}

// patchCounter counts the patches of objects, and of their status; each may be refused.
type patchCounter struct {
	objects, statuses []string
	refuse            func(o client.Object) error
}

func (p *patchCounter) funcs() interceptor.Funcs {
	refuse := func(o client.Object) error {
		if p.refuse == nil {
			return nil
		}
		return p.refuse(o)
	}
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch,
			opts ...client.PatchOption) error {
			p.objects = append(p.objects, o.GetName())
			if err := refuse(o); err != nil {
				return err
			}
			return c.Patch(ctx, o, patch, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch,
			opts ...client.SubResourcePatchOption) error {
			p.statuses = append(p.statuses, o.GetName())
			if err := refuse(o); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, o, patch, opts...)
		},
	}
}
