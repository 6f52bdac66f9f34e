package execute

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// fenceOf is the fence of process op-1 with that lease; ended counts the ends.
func fenceOf(holder string, left time.Duration, err error) (fence *Fence, ended *int) {
	ended = new(int)
	return &Fence{Identity: "op-1", End: func() { *ended++ },
		Lease: func(context.Context) (Lease, error) { return Lease{Holder: holder, Left: left}, err }}, ended
}

// A pool is opened only by the holder of the lease, and only while it is sure to be there to pause
// it again (R1). A renewal by another process is not its own.
func TestReleaseNeedsLease(t *testing.T) {
	cases := map[string]struct {
		holder string
		left   time.Duration
		err    error
		want   string
		ends   int
	}{
		"long enough": {holder: "op-1", left: time.Minute},
		"just enough": {holder: "op-1", left: leadershipMargin},
		"too short": {holder: "op-1", left: leadershipMargin - time.Millisecond,
			want: "this process holds the leader lease for 5s only"},
		"expired":    {holder: "op-1", left: -time.Second, want: "this process holds the leader lease for -1s only"},
		"unreadable": {left: time.Minute, err: errDown, want: "reading the leader lease before release-one/worker: connection refused"},
		"released":   {left: time.Minute, want: "the leader lease has no holder"},
		"another process": {holder: "op-2", left: time.Minute, ends: 1,
			want: "op-2 holds the leader lease, and not this process (op-1), which ends"},
		"another process, expired": {holder: "op-2", left: -time.Minute, ends: 1, want: "op-2 holds the leader lease"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := readyToRelease(t)
			var ended *int
			s.Fence, ended = fenceOf(c.holder, c.left, c.err)
			obs := s.observe()
			err := s.Execute(t.Context(), obs, s.nextAction(obs))
			var refused *Refused
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) ||
				errors.As(err, &refused) != (c.want != "" && c.err == nil) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if got := s.poolState("worker").Paused; got != (c.want != "") || *ended != c.ends {
				t.Errorf("paused %t, ended %d times; want %d", got, *ended, c.ends)
			}
		})
	}
}

// The lease can be lost while the cluster is read again: the fence is after that, not before.
func TestLeaseLostDuringFreshReads(t *testing.T) {
	s := readyToRelease(t)
	obs := s.observe()
	action := s.nextAction(obs)
	reads := 0
	now := s.Observer.Now
	s.Observer.Now = func() time.Time { reads++; return now() }
	ended := false
	s.Fence = &Fence{Identity: "op-1", End: func() { ended = true }, Lease: func(context.Context) (Lease, error) {
		if reads == 0 {
			return Lease{Holder: "op-1", Left: time.Minute}, nil
		}
		return Lease{Holder: "op-2", Left: time.Minute}, nil
	}}
	var refused *Refused
	if err := s.Execute(t.Context(), obs, action); !errors.As(err, &refused) || !ended || len(*s.writes) > 0 {
		t.Errorf("error %v, ended %t, writes %v", err, ended, *s.writes)
	}
}

// Everything that changes the cluster needs the lease, whether it disrupts or restores.
func TestEveryWriteNeedsLease(t *testing.T) {
	for _, a := range []rollout.Action{rollout.EnsureFinalizer{}, rollout.RemoveFinalizer{}, rollout.SavePrevious{},
		rollout.EnsurePullChecks{}, rollout.EnsureCanaryPulls{}, rollout.PausePool{Pool: "worker"},
		rollout.Uncordon{Remedy: cordonOf}, rollout.ScaleDown{Remedy: scaleOf}, rollout.EnsurePolicy{},
		rollout.RestorePolicy{}, rollout.ApplyMirrorSets{}, rollout.FinishMirrorSets{}, rollout.ReleaseNodes{},
		rollout.TargetNodes{}, rollout.RestorePool{}, rollout.Cordon{}, rollout.DeletePod{}, rollout.AddTrustedCA{},
		rollout.ScaleUp{}} {
		s := newRemedySetup(t)
		var ended *int
		s.Fence, ended = fenceOf("op-2", time.Minute, nil)
		var refused *Refused
		if err := s.checkFence(t.Context(), a); !errors.As(err, &refused) || *ended != 1 {
			t.Errorf("%T: error %v, ended %d times", a, err, *ended)
		}
	}
}

// Pausing never waits: only another holder refuses it, and that one pauses the pool itself.
func TestPauseNeverWaits(t *testing.T) {
	for name, c := range map[string]struct {
		holder  string
		left    time.Duration
		err     error
		refused bool
	}{
		"expired":         {holder: "op-1", left: -time.Hour},
		"released":        {},
		"unreadable":      {err: errDown},
		"another process": {holder: "op-2", left: time.Minute, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRemedySetup(t)
			s.Fence, _ = fenceOf(c.holder, c.left, c.err)
			var refused *Refused
			err := s.checkFence(t.Context(), rollout.PausePool{Pool: "worker"})
			if errors.As(err, &refused) != c.refused || (err != nil) != c.refused {
				t.Errorf("error %v, want it refused: %t", err, c.refused)
			}
		})
	}
}

// The lease is read before each node of a batch.
func TestLeaseLostWithinBatch(t *testing.T) {
	s := readyToTarget(t)
	a, ok := s.nextAction(s.observe()).(rollout.TargetNodes)
	if !ok {
		t.Fatal("no TargetNodes")
	}
	s.Fence, _ = fenceOf("op-1", time.Minute, nil)
	s.Fence.Lease = func(context.Context) (Lease, error) {
		n := read(s, &corev1.Node{}, "", "worker-0")
		if s.desired(n.Name) == s.rendered() {
			return Lease{Holder: "op-2", Left: time.Minute}, nil
		}
		return Lease{Holder: "op-1", Left: time.Minute}, nil
	}
	var refused *Refused
	if err := s.targetNodes(t.Context(), a); !errors.As(err, &refused) || s.desired("worker-1") == s.rendered() {
		t.Errorf("error %v, worker-1 has %s", err, s.desired("worker-1"))
	}
}
