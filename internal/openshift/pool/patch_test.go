package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// poolState is what a pool is like as far as the patches go.
type poolState struct {
	Paused         bool
	MaxUnavailable *intstr.IntOrString
	Record         *rollout.PauseRecord
}

func changed(record rollout.PauseRecord, change func(*rollout.PauseRecord)) *rollout.PauseRecord {
	change(&record)
	return &record
}

func closedWindow() *rollout.UnpauseWindow {
	p := someWindow()
	p.Closed = true
	return p
}

// patched applies the patch to a pool in a cluster and returns what it is like after.
func patched(t *testing.T, p poolBuilder,
	do func(context.Context, client.Client, *mcfgv1.MachineConfigPool) error) (poolState, error) {
	t.Helper()
	ctx, c := context.Background(), fakeCluster(p.MachineConfigPool)
	fresh := get(t, c, p.Name)
	fresh.ManagedFields = p.ManagedFields // the fake keeps none
	err := do(ctx, c, fresh)
	after := get(t, c, p.Name)
	record, recordErr := ReadPauseRecord(after)
	if recordErr != nil && err == nil {
		t.Fatal(recordErr)
	}
	if after.Spec.Configuration.Name != p.Spec.Configuration.Name {
		t.Errorf("configuration %q, want it as it was", after.Spec.Configuration.Name)
	}
	return poolState{after.Spec.Paused, after.Spec.MaxUnavailable, record}, err
}

func get(t *testing.T, c client.Client, name string) *mcfgv1.MachineConfigPool {
	t.Helper()
	out := &mcfgv1.MachineConfigPool{}
	if err := c.Get(context.Background(), client.ObjectKey{Name: name}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func number(n int) *intstr.IntOrString {
	v := intstr.FromInt(n)
	return &v
}

func percent(s string) *intstr.IntOrString {
	v := intstr.FromString(s)
	return &v
}

func TestPause(t *testing.T) {
	ours := somePauseRecord()
	open := changed(ours, func(record *rollout.PauseRecord) { record.Release = someWindow() })
	closed := changed(ours, func(record *rollout.PauseRecord) { record.Release = closedWindow() })
	lost := changed(ours, func(record *rollout.PauseRecord) {
		record.PriorMaxUnavailable, record.Unavailable, record.Undo = "1", nil, ""
	})
	books := rollout.PauseRecord{Rollout: "books", PriorMaxUnavailable: "3"}
	cases := map[string]struct {
		mcp     poolBuilder
		record  rollout.PauseRecord
		want    poolState
		notOurs bool
	}{
		"a pool":       {newPool("worker").maxUnavailable("10%"), ours, poolState{true, percent("10%"), &ours}, false},
		"a pool twice": {newPool("worker").paused().record(ours), ours, poolState{true, nil, &ours}, false},
		"the prior values on the pool are never lost": {newPool("worker").maxUnavailable("1").record(ours), *lost,
			poolState{true, number(1), &ours}, false},
		"an open pool is closed": {newPool("worker").maxUnavailable("1").record(*open), *closed,
			poolState{true, number(1), closed}, false},
		"whatever unpause window is on it": {newPool("worker").record(*open), ours,
			poolState{true, nil, closed}, false},
		"an unpause by others is counted": {newPool("worker").record(ours),
			*changed(ours, func(record *rollout.PauseRecord) { record.Repaused = 1 }),
			poolState{true, nil, changed(ours, func(record *rollout.PauseRecord) { record.Repaused = 1 })}, false},
		"and never counted down": {newPool("worker").record(*changed(ours,
			func(record *rollout.PauseRecord) { record.Repaused = 1 })), ours,
			poolState{true, nil, changed(ours, func(record *rollout.PauseRecord) { record.Repaused = 1 })}, false},
		"a pause record that was taken off is written again": {newPool("worker").paused().written(FieldManager,
			pausedField,
			1), ours, poolState{true, nil, &ours}, false},
		"a pool that somebody has paused first": {newPool("worker").paused().written("kubectl-patch",
			pausedField, 1), ours, poolState{true, nil, nil}, true},
		"a pool that another rollout holds": {newPool("worker").paused().record(books), ours,
			poolState{true, nil, &books}, true},
		"a pool that was restored meanwhile": {newPool("worker").maxUnavailable("10%"), *closed,
			poolState{false, percent("10%"), nil}, true},
		"a pool that was restored meanwhile, too": {newPool("worker"),
			*changed(ours, func(record *rollout.PauseRecord) { record.Repaused = 1 }),
			poolState{false, nil, nil}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client,
				p *mcfgv1.MachineConfigPool) error {
				return Pause(ctx, cl, p, c.record)
			})
			check(t, c.want, got, err, c.notOurs)
		})
	}
}

func check(t *testing.T, want, got poolState, err error, notOurs bool) {
	t.Helper()
	var foreign *NotOwnedError
	if errors.As(err, &foreign) != notOurs || (err != nil && !notOurs) {
		t.Errorf("error %v; somebody else's: %t", err, notOurs)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
}

func TestUnpause(t *testing.T) {
	ours := somePauseRecord()
	open := changed(ours, func(record *rollout.PauseRecord) { record.Release = someWindow() })
	lost := changed(*open, func(record *rollout.PauseRecord) {
		record.PriorMaxUnavailable, record.Unavailable, record.Repaused = "1", nil, 0
	})
	again := changed(ours, func(record *rollout.PauseRecord) { record.Repaused, record.Release = 1, closedWindow() })
	books := rollout.PauseRecord{Rollout: "books"}
	cases := map[string]struct {
		mcp     poolBuilder
		record  rollout.PauseRecord
		want    poolState
		notOurs bool
	}{
		"a held pool": {newPool("worker").paused().maxUnavailable("10%").record(ours), *open,
			poolState{false, number(2), open}, false},
		"a second time": {newPool("worker").paused().record(*again), *open,
			poolState{false, number(2), changed(*open,
				func(record *rollout.PauseRecord) { record.Repaused = 1 })}, false},
		"the prior values on the pool stay": {newPool("worker").paused().record(ours), *lost,
			poolState{false, number(2), open}, false},
		"a pool without a pause record": {newPool("worker").paused(), *open, poolState{true, nil, nil}, true},
		"a pool of another rollout": {newPool("worker").paused().record(books), *open,
			poolState{true, nil, &books}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client,
				p *mcfgv1.MachineConfigPool) error {
				return Unpause(ctx, cl, p, c.record, 2)
			})
			check(t, c.want, got, err, c.notOurs)
		})
	}
}

func TestRepause(t *testing.T) {
	ours := somePauseRecord()
	open := changed(ours, func(record *rollout.PauseRecord) { record.Release = someWindow() })
	closed := changed(ours, func(record *rollout.PauseRecord) { record.Release = closedWindow() })
	cases := map[string]struct {
		mcp  poolBuilder
		want poolState
	}{
		"an open pool": {newPool("worker").maxUnavailable("2").record(*open),
			poolState{true, number(2), closed}},
		"a closed pool":                    {newPool("worker").paused().record(*closed), poolState{true, nil, closed}},
		"a pool without an unpause window": {newPool("worker").record(ours), poolState{false, nil, &ours}},
		"a pool without a pause record":    {newPool("worker"), poolState{false, nil, nil}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, Repause)
			check(t, c.want, got, err, false)
		})
	}
}

func TestRestore(t *testing.T) {
	untouched := somePauseRecord()
	ours := *changed(untouched, func(record *rollout.PauseRecord) { record.Release = closedWindow() })
	cases := map[string]struct {
		mcp      poolBuilder
		paused   bool
		previous string
		want     poolState
	}{
		"a number is a number": {newPool("worker").paused().maxUnavailable("2").record(ours), false,
			"3", poolState{false, number(3), nil}},
		"a percentage is a string": {newPool("worker").paused().maxUnavailable("2").record(ours), false,
			"10%", poolState{false, percent("10%"), nil}},
		"what was not set is not set": {newPool("worker").paused().maxUnavailable("2").record(ours), false,
			"", poolState{false, nil, nil}},
		"what was paused is paused": {newPool("worker").paused().maxUnavailable("2").record(ours), true, "",
			poolState{true, nil, nil}},
		"what somebody has changed since stays": {newPool("worker").paused().maxUnavailable("5").record(ours), false,
			"3", poolState{false, number(5), nil}},
		"what we never changed stays": {newPool("worker").paused().maxUnavailable("5").record(untouched),
			false, "3", poolState{false, number(5), nil}},
		"what we wrote before the pause record was lost is ours": {newPool("worker").paused().maxUnavailable("2").written(FieldManager, maxField, 1).record(untouched),
			false, "3", poolState{false, number(3), nil}},
		"what somebody wrote over it is theirs": {newPool("worker").paused().maxUnavailable("2").written(FieldManager,
			maxField, 1).written("kubectl", maxField, 2).record(untouched),
			false, "3", poolState{false, number(2), nil}},
		"restored before is left": {newPool("worker").maxUnavailable("7"), true, "3",
			poolState{false, number(7), nil}},
		"so is one that the user paused": {newPool("worker").paused(), false, "3", poolState{true, nil, nil}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client,
				p *mcfgv1.MachineConfigPool) error {
				return Restore(ctx, cl, p, c.paused, c.previous)
			})
			check(t, c.want, got, err, false)
		})
	}
}

// A pool that somebody has changed since it was read is looked at again, never overwritten.
func TestPatchesCarryTheResourceVersion(t *testing.T) {
	ours := somePauseRecord()
	open := changed(ours, func(record *rollout.PauseRecord) { record.Release = someWindow() })
	patches := map[string]func(context.Context, client.Client, *mcfgv1.MachineConfigPool) error{
		"pause": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Pause(ctx, c, p, ours)
		},
		"open": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Unpause(ctx, c, p, *open, 1)
		},
		"close": Repause,
		"restore": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Restore(ctx, c, p, false, "")
		},
	}
	for name, do := range patches {
		t.Run(name, func(t *testing.T) {
			ctx, c := context.Background(), fakeCluster(newPool("worker").record(*open).MachineConfigPool)
			stale := get(t, c, "worker")
			users := stale.DeepCopy()
			users.Labels = map[string]string{"edited": "by its user"}
			if err := c.Update(ctx, users); err != nil {
				t.Fatal(err)
			}
			if err := do(ctx, c, stale); !apierrors.IsConflict(err) {
				t.Errorf("error %v, want a conflict", err)
			}
			if diff := cmp.Diff(users.Annotations, get(t, c, "worker").Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

// Nothing is written over a note that nobody can read.
func TestUnreadablePauseRecordIsKept(t *testing.T) {
	patches := map[string]func(context.Context, client.Client, *mcfgv1.MachineConfigPool) error{
		"pause": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Pause(ctx, c, p, somePauseRecord())
		},
		"open": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Unpause(ctx, c, p, somePauseRecord(), 1)
		},
		"close": Repause,
	}
	for name, do := range patches {
		t.Run(name, func(t *testing.T) {
			ctx, c := context.Background(), fakeCluster(newPool("worker").note("not a pause record").MachineConfigPool)
			if err := do(ctx, c, get(t, c, "worker")); err == nil {
				t.Error("no error")
			}
			if got := get(t, c, "worker").Annotations[PauseRecordAnnotation]; got != "not a pause record" {
				t.Errorf("the note is now %q", got)
			}
		})
	}
}

func TestPauseRecordRoundTrip(t *testing.T) {
	full := somePauseRecord()
	full.PriorPaused, full.Repaused, full.Release = true, 1, closedWindow()
	for name, record := range map[string]rollout.PauseRecord{"full": full,
		"without an unpause window": somePauseRecord(),
		"empty":                     {}} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadPauseRecord(newPool("worker").record(record).MachineConfigPool)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&record, got); diff != "" {
				t.Errorf("pause record (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if got, err := ReadPauseRecord(newPool("worker").MachineConfigPool); got != nil || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// The times on a pool are read as they were written, wherever the operator ran.
func TestPauseRecordKeepsTimes(t *testing.T) {
	record := somePauseRecord()
	record.Since = began.In(time.FixedZone("UTC+2", 7200))
	got, err := ReadPauseRecord(newPool("worker").record(record).MachineConfigPool)
	if err != nil || !got.Since.Equal(began) {
		t.Errorf("since %v (%v), want %v", got.Since, err, began)
	}
}
