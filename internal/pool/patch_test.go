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

// held is what a pool is like as far as the patches go.
type held struct {
	Paused         bool
	MaxUnavailable *intstr.IntOrString
	Ledger         *rollout.Ledger
}

func with(l rollout.Ledger, change func(*rollout.Ledger)) *rollout.Ledger {
	change(&l)
	return &l
}

func closedPulse() *rollout.Pulse {
	p := somePulse()
	p.Closed = true
	return p
}

// patched applies the patch to a pool in a cluster and returns what it is like after.
func patched(t *testing.T, p poolBuilder, do func(context.Context, client.Client, *mcfgv1.MachineConfigPool) error) (held, error) {
	t.Helper()
	ctx, c := context.Background(), fakeCluster(p.MachineConfigPool)
	fresh := get(t, c, p.Name)
	fresh.ManagedFields = p.ManagedFields // the fake keeps none
	err := do(ctx, c, fresh)
	after := get(t, c, p.Name)
	ledger, ledgerErr := ReadLedger(after)
	if ledgerErr != nil && err == nil {
		t.Fatal(ledgerErr)
	}
	if after.Spec.Configuration.Name != p.Spec.Configuration.Name {
		t.Errorf("configuration %q, want it as it was", after.Spec.Configuration.Name)
	}
	return held{after.Spec.Paused, after.Spec.MaxUnavailable, ledger}, err
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
	ours := someLedger()
	open := with(ours, func(l *rollout.Ledger) { l.Release = somePulse() })
	closed := with(ours, func(l *rollout.Ledger) { l.Release = closedPulse() })
	lost := with(ours, func(l *rollout.Ledger) { l.PriorMaxUnavailable, l.Unavailable, l.Undo = "1", nil, "" })
	books := rollout.Ledger{Rollout: "books", PriorMaxUnavailable: "3"}
	cases := map[string]struct {
		mcp     poolBuilder
		ledger  rollout.Ledger
		want    held
		notOurs bool
	}{
		"a pool":       {mcp("worker").maxUnavailable("10%"), ours, held{true, percent("10%"), &ours}, false},
		"a pool twice": {mcp("worker").paused().ledger(ours), ours, held{true, nil, &ours}, false},
		"the prior values on the pool are never lost": {mcp("worker").maxUnavailable("1").ledger(ours), *lost, held{true, number(1), &ours}, false},
		"an open pool is closed":                      {mcp("worker").maxUnavailable("1").ledger(*open), *closed, held{true, number(1), closed}, false},
		"whatever pulse is on it":                     {mcp("worker").ledger(*open), ours, held{true, nil, closed}, false},
		"an unpause by others is counted": {mcp("worker").ledger(ours), *with(ours, func(l *rollout.Ledger) { l.Repaused = 1 }),
			held{true, nil, with(ours, func(l *rollout.Ledger) { l.Repaused = 1 })}, false},
		"and never counted down": {mcp("worker").ledger(*with(ours, func(l *rollout.Ledger) { l.Repaused = 1 })), ours,
			held{true, nil, with(ours, func(l *rollout.Ledger) { l.Repaused = 1 })}, false},
		"a ledger that was taken off is written again": {mcp("worker").paused().written(FieldManager, pausedField, 1), ours, held{true, nil, &ours}, false},
		"a pool that somebody has paused first":        {mcp("worker").paused().written("kubectl-patch", pausedField, 1), ours, held{true, nil, nil}, true},
		"a pool that another rollout holds":            {mcp("worker").paused().ledger(books), ours, held{true, nil, &books}, true},
		"a pool that was given back meanwhile":         {mcp("worker").maxUnavailable("10%"), *closed, held{false, percent("10%"), nil}, true},
		"a pool that was given back meanwhile, too":    {mcp("worker"), *with(ours, func(l *rollout.Ledger) { l.Repaused = 1 }), held{false, nil, nil}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client, p *mcfgv1.MachineConfigPool) error {
				return Pause(ctx, cl, p, c.ledger)
			})
			judge(t, c.want, got, err, c.notOurs)
		})
	}
}

func judge(t *testing.T, want, got held, err error, notOurs bool) {
	t.Helper()
	var other *NotOurs
	if errors.As(err, &other) != notOurs || (err != nil && !notOurs) {
		t.Errorf("error %v; somebody else's: %t", err, notOurs)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
}

func TestOpen(t *testing.T) {
	ours := someLedger()
	open := with(ours, func(l *rollout.Ledger) { l.Release = somePulse() })
	lost := with(*open, func(l *rollout.Ledger) { l.PriorMaxUnavailable, l.Unavailable, l.Repaused = "1", nil, 0 })
	again := with(ours, func(l *rollout.Ledger) { l.Repaused, l.Release = 1, closedPulse() })
	books := rollout.Ledger{Rollout: "books"}
	cases := map[string]struct {
		mcp     poolBuilder
		ledger  rollout.Ledger
		want    held
		notOurs bool
	}{
		"a held pool": {mcp("worker").paused().maxUnavailable("10%").ledger(ours), *open, held{false, number(2), open}, false},
		"a second time": {mcp("worker").paused().ledger(*again), *open,
			held{false, number(2), with(*open, func(l *rollout.Ledger) { l.Repaused = 1 })}, false},
		"the prior values on the pool stay": {mcp("worker").paused().ledger(ours), *lost, held{false, number(2), open}, false},
		"a pool without a ledger":           {mcp("worker").paused(), *open, held{true, nil, nil}, true},
		"a pool of another rollout":         {mcp("worker").paused().ledger(books), *open, held{true, nil, &books}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client, p *mcfgv1.MachineConfigPool) error {
				return Open(ctx, cl, p, c.ledger, 2)
			})
			judge(t, c.want, got, err, c.notOurs)
		})
	}
}

func TestClose(t *testing.T) {
	ours := someLedger()
	open := with(ours, func(l *rollout.Ledger) { l.Release = somePulse() })
	closed := with(ours, func(l *rollout.Ledger) { l.Release = closedPulse() })
	cases := map[string]struct {
		mcp  poolBuilder
		want held
	}{
		"an open pool":            {mcp("worker").maxUnavailable("2").ledger(*open), held{true, number(2), closed}},
		"a closed pool":           {mcp("worker").paused().ledger(*closed), held{true, nil, closed}},
		"a pool without a pulse":  {mcp("worker").ledger(ours), held{false, nil, &ours}},
		"a pool without a ledger": {mcp("worker"), held{false, nil, nil}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, Close)
			judge(t, c.want, got, err, false)
		})
	}
}

func TestRestore(t *testing.T) {
	untouched := someLedger()
	ours := *with(untouched, func(l *rollout.Ledger) { l.Release = closedPulse() })
	cases := map[string]struct {
		mcp    poolBuilder
		paused bool
		prior  string
		want   held
	}{
		"a number is a number":                  {mcp("worker").paused().maxUnavailable("2").ledger(ours), false, "3", held{false, number(3), nil}},
		"a percentage is a string":              {mcp("worker").paused().maxUnavailable("2").ledger(ours), false, "10%", held{false, percent("10%"), nil}},
		"what was not set is not set":           {mcp("worker").paused().maxUnavailable("2").ledger(ours), false, "", held{false, nil, nil}},
		"what was paused is paused":             {mcp("worker").paused().maxUnavailable("2").ledger(ours), true, "", held{true, nil, nil}},
		"what somebody has changed since stays": {mcp("worker").paused().maxUnavailable("5").ledger(ours), false, "3", held{false, number(5), nil}},
		"what we never changed stays":           {mcp("worker").paused().maxUnavailable("5").ledger(untouched), false, "3", held{false, number(5), nil}},
		"what we wrote before the ledger was lost is ours": {mcp("worker").paused().maxUnavailable("2").written(FieldManager, maxField, 1).ledger(untouched),
			false, "3", held{false, number(3), nil}},
		"what somebody wrote over it is theirs": {mcp("worker").paused().maxUnavailable("2").written(FieldManager, maxField, 1).written("kubectl", maxField, 2).ledger(untouched),
			false, "3", held{false, number(2), nil}},
		"given back before is left":      {mcp("worker").maxUnavailable("7"), true, "3", held{false, number(7), nil}},
		"so is one that the user paused": {mcp("worker").paused(), false, "3", held{true, nil, nil}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.mcp, func(ctx context.Context, cl client.Client, p *mcfgv1.MachineConfigPool) error {
				return Restore(ctx, cl, p, c.paused, c.prior)
			})
			judge(t, c.want, got, err, false)
		})
	}
}

// A pool that somebody has changed since it was read is looked at again, never overwritten.
func TestPatchesCarryTheResourceVersion(t *testing.T) {
	ours := someLedger()
	open := with(ours, func(l *rollout.Ledger) { l.Release = somePulse() })
	patches := map[string]func(context.Context, client.Client, *mcfgv1.MachineConfigPool) error{
		"pause": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Pause(ctx, c, p, ours)
		},
		"open": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Open(ctx, c, p, *open, 1)
		},
		"close": Close,
		"restore": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Restore(ctx, c, p, false, "")
		},
	}
	for name, do := range patches {
		t.Run(name, func(t *testing.T) {
			ctx, c := context.Background(), fakeCluster(mcp("worker").ledger(*open).MachineConfigPool)
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
func TestAnUnreadableLedgerIsLeftAlone(t *testing.T) {
	patches := map[string]func(context.Context, client.Client, *mcfgv1.MachineConfigPool) error{
		"pause": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Pause(ctx, c, p, someLedger())
		},
		"open": func(ctx context.Context, c client.Client, p *mcfgv1.MachineConfigPool) error {
			return Open(ctx, c, p, someLedger(), 1)
		},
		"close": Close,
	}
	for name, do := range patches {
		t.Run(name, func(t *testing.T) {
			ctx, c := context.Background(), fakeCluster(mcp("worker").note("not a ledger").MachineConfigPool)
			if err := do(ctx, c, get(t, c, "worker")); err == nil {
				t.Error("no error")
			}
			if got := get(t, c, "worker").Annotations[LedgerAnnotation]; got != "not a ledger" {
				t.Errorf("the note is now %q", got)
			}
		})
	}
}

func TestLedgerRoundTrip(t *testing.T) {
	full := someLedger()
	full.PriorPaused, full.Repaused, full.Release = true, 1, closedPulse()
	for name, l := range map[string]rollout.Ledger{"full": full, "without a pulse": someLedger(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadLedger(mcp("worker").ledger(l).MachineConfigPool)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&l, got); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if got, err := ReadLedger(mcp("worker").MachineConfigPool); got != nil || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// The times on a pool are read as they were written, wherever the operator ran.
func TestLedgerKeepsTimes(t *testing.T) {
	l := someLedger()
	l.Since = began.In(time.FixedZone("UTC+2", 7200))
	got, err := ReadLedger(mcp("worker").ledger(l).MachineConfigPool)
	if err != nil || !got.Since.Equal(began) {
		t.Errorf("since %v (%v), want %v", got.Since, err, began)
	}
}
