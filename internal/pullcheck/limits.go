package pullcheck

import "time"

// Limits bound what probes may cost a node, and how long they may take.
type Limits struct {
	// BytesPerNode is how much the probes of one round download to one node at most, compressed.
	BytesPerNode int64
	// PodsPerNode is how many different images one node pulls in a round at most.
	PodsPerNode int
	// Headroom is the share of the node's disk that has to stay free beside the probes, from 0 to
	// 1.
	Headroom float64
	// ConcurrentNodes is on how many nodes probes run at the same time. Disk pressure evicts pods
	// past their disruption budgets; should a probe cause it against all odds, then on one node.
	ConcurrentNodes int
	// ConcurrentPodsPerNode is how many probes a node has at the same time; 0 means one.
	ConcurrentPodsPerNode int
	// SchedulingTimeout is how long the scheduler may take to put a pod on its node.
	SchedulingTimeout time.Duration
	// PullTimeout is how long a pull may take. It tells slow from impossible: a node waits for ever
	// for a registry that accepts the connection and never answers.
	PullTimeout time.Duration
	// RetryDelay is the pause before a probe that has not succeeded is made again; it doubles up to
	// MaxRetryDelay.
	RetryDelay    time.Duration
	MaxRetryDelay time.Duration
}

// DefaultLimits are small enough for a node of 100 GiB not to notice.
func DefaultLimits() Limits {
	return Limits{
		BytesPerNode: 300 << 20, PodsPerNode: 4, Headroom: 0.15, ConcurrentNodes: 1,
		SchedulingTimeout: time.Minute, PullTimeout: 5 * time.Minute, RetryDelay: time.Minute,
		MaxRetryDelay: 30 * time.Minute,
	}
}

// CanaryLimits are for the pulls on a node that has the new configuration. It pulls what it would
// pull anyway once pods come to it, so the bounds are those of a node's ordinary life; a release
// waits for it, so it is looked at again sooner.
func CanaryLimits() Limits {
	return Limits{
		BytesPerNode: 4 << 30, PodsPerNode: 40, Headroom: 0.15, ConcurrentNodes: 4, ConcurrentPodsPerNode: 3,
		SchedulingTimeout: time.Minute, PullTimeout: 10 * time.Minute, RetryDelay: 20 * time.Second,
		MaxRetryDelay: 5 * time.Minute,
	}
}

// backoff is the pause after so many attempts without success: 1 min, 2 min, 4 min ... 30 min.
func (l Limits) backoff(attempts int) time.Duration {
	pause := l.RetryDelay
	for ; attempts > 1 && pause < l.MaxRetryDelay; attempts-- {
		pause *= 2
	}
	return min(pause, l.MaxRetryDelay)
}
