package execute

import (
	"context"
	"fmt"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Fence keeps two processes from writing side by side. A leader that was suspended (SIGSTOP, a
// frozen node) continues with what it decided before, while another replica has taken the lease
// over. So whose lease it is, and for how long, is read from the API server right before each
// write, and a process that finds another holder ends.
type Fence struct {
	// Identity is this process as holder of the lease.
	Identity string
	// Lease reads the lease past the caches.
	Lease func(ctx context.Context) (Lease, error)
	// End ends this process in good order.
	End func()
}

// Lease is the state of the leader election.
type Lease struct {
	// Holder is the holder's identity; empty when the lease was released.
	Holder string
	// Left is how long the lease is valid without another renewal; not positive when it has expired.
	Left time.Duration
}

// leadershipMargin covers a slow write and the watch event that follows it.
const leadershipMargin = 5 * time.Second

// Check refuses the action unless this process holds the lease for longer than a write takes. A nil
// Fence, without a leader election, refuses nothing.
func (f *Fence) Check(ctx context.Context, action string) error {
	if f == nil {
		return nil
	}
	lease, err := f.Lease(ctx)
	if err != nil {
		return fmt.Errorf("reading the leader lease before %s: %w", action, err)
	}
	if err := f.checkHolder(lease, action); err != nil {
		return err
	}
	if lease.Left < leadershipMargin {
		return &Refused{Action: action, Why: fmt.Sprintf(
			"this process holds the leader lease for %s only and must renew it first", lease.Left.Round(time.Second))}
	}
	return nil
}

// checkPause is for pausing a pool, which never waits: only another holder refuses it. That one
// pauses the pool itself, and so does the repause guard of every replica.
func (f *Fence) checkPause(ctx context.Context, action string) error {
	if f == nil {
		return nil
	}
	lease, err := f.Lease(ctx)
	if err != nil || lease.Holder == "" {
		return nil //nolint:nilerr // unknown does not keep a pool open
	}
	return f.checkHolder(lease, action)
}

func (f *Fence) checkHolder(lease Lease, action string) error {
	switch lease.Holder {
	case f.Identity:
		return nil
	case "":
		return &Refused{Action: action, Why: "the leader lease has no holder; this process must acquire it first"}
	default:
		f.End()
		return &Refused{Action: action, Why: fmt.Sprintf(
			"%s holds the leader lease, and not this process (%s), which ends", lease.Holder, f.Identity)}
	}
}

// checkFence is the fence of one action: everything that changes the cluster needs the lease. What
// only starts work in this process does not; its own writes to registries are additions.
func (e *Executor) checkFence(ctx context.Context, a rollout.Action) error {
	switch a.(type) {
	case rollout.EnsureTransfers, rollout.RetryFailed, rollout.RetryMirroring, rollout.StepDown:
		return nil
	case rollout.PausePool:
		return e.Fence.checkPause(ctx, a.Key())
	default:
		return e.Fence.Check(ctx, a.Key())
	}
}
